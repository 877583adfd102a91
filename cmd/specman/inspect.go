package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/specman/specman/internal/config"
	"github.com/specman/specman/internal/human"
)

func newInspectCommand(app *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "inspect FILE|REF",
		Short:   "Tell whether an archive or artifact would be accepted",
		GroupID: groupContent,
		Long: `Read an archive as ` + "`specman serve`" + ` would, and keep nothing. FILE is an archive, - is
standard input; of an OCI layout in a tar, each release that ` + "`specman import`" + ` would take
from it is judged. REF is host/repository:tag, host/repository@digest or
oci-layout:DIR:TAG, of which the manifest is judged, too: is there a layer in it that
is the archive, and do the selectors follow the tag?

Each entry that would be skipped is named with the reason, and the one for which the
archive would be refused. Status 1 means that it would be refused.

With -o json: accepted, refused (entry, reason), format, digest, archiveBytes, files,
folders, bytes, throughLinks (paths served through symlinks), skipped (name, reason; at
most 1,000) and skippedTotal; of a REF also artifact (reference, followed, manifest,
mediaType, artifactType, configMediaType, created, layers, layer); of an OCI layout also
releases: the same of each, with tag and passedOver (it is something else, and no fault).

The connection is that of the source.* settings, the limits are those of store.max*.`,
		Example: `  tar -czf - -C /var/www/html . | specman inspect -

  specman inspect harbor.example.com/spectro-packs/spectro-manifests/manifest:0.0.0

  # what of it is not served?
  specman inspect manifests.tgz -o json | jq -r '.skipped[] | [.name, .reason] | @tsv'`,
		Args: exactly("FILE or REF"),
	}
	format := addOutput(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		loaded, err := app.config()
		if err != nil {
			return err
		}
		ref, err := fileOrReference(args[0])
		if err != nil {
			return err
		}
		i := inspector{app: app, limits: archiveLimits(&loaded.Config)}
		if ref == nil {
			err = i.file(cmd.Context(), args[0], &loaded.Config.Sources[0])
		} else {
			err = app.inspectReference(cmd, &i, &loaded.Config, *ref)
		}
		if err != nil {
			return err
		}
		return app.printInspection(*format, args[0], &i.found)
	}
	return cmd
}

func (a *app) inspectReference(cmd *cobra.Command, i *inspector, cfg *config.Config, ref reference) error {
	log, err := a.logger()
	if err != nil {
		return err
	}
	repository, source, err := a.openReference(cfg, ref, log)
	if err != nil {
		return err
	}
	return i.artifact(cmd.Context(), repository, source, ref.tag)
}

// fileOrReference tells a REF from a FILE, for which it returns nil: what is there is
// a file.
func fileOrReference(text string) (*reference, error) {
	if text == "-" {
		return nil, nil
	}
	info, err := os.Stat(text)
	switch {
	case err == nil && info.IsDir():
		return nil, withCure(fmt.Errorf("%s is a folder", text),
			fmt.Sprintf("of a folder to be packed: specman pack %s -f - | specman inspect -; of an OCI layout: specman inspect oci-layout:%s:TAG", text, text))
	case err == nil:
		return nil, nil
	case !strings.HasPrefix(text, layoutScheme) && !strings.Contains(text, "/"), strings.HasPrefix(text, "/"), strings.HasPrefix(text, "."):
		if errors.Is(err, fs.ErrNotExist) {
			err = withCure(err, "it is no file, and no REF: "+refShape)
		}
		return nil, err
	}
	ref, err := parseReference(text)
	return &ref, err
}

// printInspection prints what was found, and ends the command with status 1 where it
// would be refused.
func (a *app) printInspection(format outputFormat, name string, found *inspection) error {
	if format == outputJSON {
		if err := writeJSON(a.stdout, found); err != nil {
			return err
		}
	} else {
		found.print(a.stdout, name)
	}
	if found.Accepted {
		return nil
	}
	return withCure(fmt.Errorf("%s would be refused: %s", name, found.Refused), found.cure)
}

func (f *inspection) print(w io.Writer, name string) {
	if len(f.Releases) > 0 {
		f.printLayout(w, name)
	} else {
		f.printFound(w, name)
		if a := f.Artifact; a != nil && !a.Followed {
			fmt.Fprintln(w, "the selectors do not follow it (source.select, source.exclude)")
		}
	}
	if f.Accepted {
		fmt.Fprintln(w, "would be accepted")
	}
}

// printFound prints what an archive, and the artifact around it, hold.
func (f *inspection) printFound(w io.Writer, name string) {
	if a := f.Artifact; a != nil {
		fmt.Fprintf(w, "%s: manifest %s\n", name, a.Manifest)
		for _, l := range a.Layers {
			mark := " "
			if l.Digest == a.Layer {
				mark = "*" // the archive
			}
			fmt.Fprintf(w, "%s layer %s, %s, %q, %s\n", mark, l.Digest, human.Bytes(l.Bytes), l.Title, l.MediaType)
		}
	}
	if f.Digest != "" {
		format := f.Format
		if format == "" {
			format = "no archive"
		}
		fmt.Fprintf(w, "%s: %s\ndigest: %s\n", name, summary(format, f.ArchiveBytes, f.Bytes, f.Files, f.Folders), f.Digest)
	}
	if f.ThroughLinks > 0 {
		fmt.Fprintf(w, "served through symlinks: %s\n", count(f.ThroughLinks, "path"))
	}
	for _, s := range f.Skipped {
		fmt.Fprintf(w, "not served: %q: %s\n", s.Name, s.Reason)
	}
	if more := f.SkippedTotal - len(f.Skipped); more > 0 {
		fmt.Fprintf(w, "not served: %d more\n", more)
	}
}
