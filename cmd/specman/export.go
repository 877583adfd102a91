package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/specman/specman/internal/config"
	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/archive"
)

func newExportCommand(app *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "export [VERSION]",
		Short:   "Write a held release, or the view, as an archive",
		GroupID: groupContent,
		Long: `Write what is held as an archive that can be pushed again: what the registry lost, or
what another site is to serve. VERSION is a tag or manifest digest, for that release
alone, or the id of a view; without it, it is the view that is served.

The archive is reproducible, as that of ` + "`specman pack`" + `: the same content gives the same
bytes. Pushed, it is served as what it was made of: of one release the symlinks stay
symlinks; where several releases lie over each other they become what they point to,
for each is resolved inside its own release.

Each file is checked against the sum with which it was published. The store is only
read: it makes no difference whether the service runs.`,
		Example: `  specman export 4.5.13 -f manifests.tgz
  specman push manifests.tgz harbor.example.com/spectro-packs/spectro-manifests/manifest:4.5.13

  # out of a pod
  kubectl exec specman-0 -n hubble-system -- specman export -f - > manifests.tgz`,
		Args: oneVersion,
	}
	file := cmd.Flags().StringP("file", "f", defaultArchive, "the archive to write; - is standard output")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		loaded, err := app.config()
		if err != nil {
			return err
		}
		version := ""
		if len(args) > 0 {
			version = args[0]
		}
		return app.export(cmd.Context(), &loaded.Config, version, *file)
	}
	return cmd
}

func (a *app) export(ctx context.Context, cfg *config.Config, version, file string) error {
	held, err := store.Read(cfg.Store.Dir, sourceNames(cfg)...)
	if errors.Is(err, fs.ErrNotExist) {
		err = withCure(fmt.Errorf("there is no store at %s: %w", cfg.Store.Dir, err), "name its folder with --store.dir")
	}
	if err != nil {
		return err
	}
	defer held.Close()
	view, err := viewToExport(held, version)
	if err != nil {
		return err
	}
	defer view.Close()

	var p packed
	err = a.writeOutput(file, func(w io.Writer, _ []fs.FileInfo) (err error) {
		measured := newMeasure(w, a.progress("exporting"))
		p.Report, err = archive.PackItems(ctx, measured, viewItems(view), archive.PackOptions{Limits: archiveLimits(cfg)})
		p.size, p.digest = measured.end()
		return err
	})
	if err != nil {
		return exportError(err)
	}
	a.printPacked(file, exported(view), p)
	return nil
}

// exported names what was exported.
func exported(view *store.View) string {
	releases := view.Releases()
	if len(releases) == 1 {
		return releases[0].Tag
	}
	return fmt.Sprintf("view %s of %s", view.ID(), count(len(releases), "release"))
}

func viewToExport(held *store.Snapshot, version string) (*store.View, error) {
	if version != "" {
		view, err := held.AcquireVersion(version)
		return view, askError(err)
	}
	if held.View == nil {
		return nil, withCure(errors.New("nothing whole is held"), "`specman sync` or `specman import` brings something")
	}
	return held.AcquireVersion(held.View.ID())
}

func exportError(err error) error {
	switch {
	case errors.Is(err, store.ErrDamaged):
		return withCure(err, "`specman verify --repair` mends it")
	case refused(err):
		return withCure(err, "the limits are now lower than when it was published; raise store.max* for this command")
	}
	return err
}
