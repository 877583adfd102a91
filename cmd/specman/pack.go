package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/specman/specman/internal/config"
	"github.com/specman/specman/internal/human"
	"github.com/specman/specman/internal/sync/archive"
)

// defaultArchive is the file that pack and export write unless told otherwise.
const defaultArchive = "manifests.tgz"

func newPackCommand(app *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "pack DIR",
		Short:   "Pack a folder as a reproducible archive",
		GroupID: groupContent,
		Long: `Pack what lies in DIR as an archive for ` + "`oras push`" + ` or ` + "`specman push`" + `.

The same content gives the same bytes, on any machine and at any time: names are
sorted, and dates, modes and owners are fixed. So a registry that holds the layer
already stores nothing new, and a service that holds it has nothing to unpack.

The archive is read while it is written. What ` + "`specman serve`" + ` would refuse, ends
with status 1 and leaves no file; what it would skip (symlinks that lead nowhere or
outside, devices, pipes, sockets) is named. The archive itself is left out where
FILE lies inside DIR. The limits are those of store.max*.

--zstd makes an archive that unpacks faster. Specman knows it by its first bytes,
whatever it is called; other readers may not know it at all.`,
		Example: `  # what the guide does with tar
  specman pack /var/www/html
  oras push harbor.example.com/spectro-packs/spectro-manifests/manifest:0.0.0 manifests.tgz

  # does anything differ from what was packed before?
  specman pack /var/www/html -f - | sha256sum`,
		Args: exactly("DIR"),
	}
	file := cmd.Flags().StringP("file", "f", defaultArchive, "the archive to write; - is standard output")
	zstd := cmd.Flags().Bool("zstd", false, "compress with zstd instead of gzip")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		loaded, err := app.config()
		if err != nil {
			return err
		}
		if err := needFolder(args[0]); err != nil {
			return err
		}
		var p packed
		err = app.writeOutput(*file, func(w io.Writer, exclude []fs.FileInfo) (err error) {
			p, err = app.pack(cmd.Context(), w, args[0], archive.PackOptions{Zstd: *zstd, Exclude: exclude, Limits: archiveLimits(&loaded.Config)})
			return err
		})
		if err != nil {
			return err
		}
		app.printPacked(*file, args[0], p)
		return nil
	}
	return cmd
}

// packed is what an archive came to.
type packed struct {
	archive.Report
	size   int64 // of the archive
	digest digest.Digest
}

// pack writes a folder to w, shows how far it is, and names what is skipped.
func (a *app) pack(ctx context.Context, w io.Writer, dir string, opts archive.PackOptions) (packed, error) {
	measured := newMeasure(w, a.progress("packing "+dir))
	report, err := archive.Pack(ctx, measured, dir, opts)
	size, dgst := measured.end()
	if err != nil {
		return packed{}, err
	}
	printSkipped(a.stderr, report)
	return packed{report, size, dgst}, nil
}

// summary says in a few words what an archive of size bytes holds.
func summary(format string, size, unpacked int64, files, folders int) string {
	return fmt.Sprintf("%s, %s; unpacked %s (%d bytes) in %s and %s", format, human.Bytes(size), human.Bytes(unpacked), unpacked, count(files, "file"), count(folders, "folder"))
}

func (p packed) String() string {
	return summary(p.Format, p.size, p.Bytes, p.Files, p.Dirs)
}

// printPacked says what was written of what: to stderr, if the archive itself went to
// standard output.
func (a *app) printPacked(file, what string, p packed) {
	w := a.stdout
	if file == "-" {
		w, file = a.stderr, "standard output"
	}
	fmt.Fprintf(w, "packed %s to %s: %s\ndigest: %s\n", what, file, p, p.digest)
}

// measure is a writer that knows the size and digest of what went through it.
type measure struct {
	w        io.Writer
	progress *progress
	size     int64
	hash     hash.Hash
}

func newMeasure(w io.Writer, p *progress) *measure {
	return &measure{w: w, progress: p, hash: sha256.New()}
}

func (m *measure) Write(b []byte) (int, error) {
	n, err := m.w.Write(b)
	m.hash.Write(b[:n])
	m.size += int64(n)
	m.progress.at(m.size, 0)
	return n, err
}

// end ends the progress and gives the size and digest.
func (m *measure) end() (int64, digest.Digest) {
	m.progress.end()
	return m.size, digest.NewDigest(digest.SHA256, m.hash)
}

// printSkipped names what an archive holds that is not served.
func printSkipped(w io.Writer, r archive.Report) {
	for _, s := range r.Skipped {
		fmt.Fprintf(w, "specman: not served: %s\n", s)
	}
	if more := r.SkippedTotal - len(r.Skipped); more > 0 {
		fmt.Fprintf(w, "specman: not served: %d more\n", more)
	}
}

// refused says that an archive itself is at fault, and not the reading of it.
func refused(err error) bool {
	return errors.As(err, new(*archive.RefusedError))
}

// archiveLimits are what an archive must keep to.
func archiveLimits(cfg *config.Config) archive.Limits {
	return archive.Limits{TreeBytes: cfg.Store.MaxTreeBytes, Files: cfg.Store.MaxFiles, FileBytes: cfg.Store.MaxFileBytes}
}

func needFolder(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return withCure(fmt.Errorf("%s is no folder", dir), "to look at an archive: specman inspect "+dir)
	}
	return nil
}

// exactly wants one argument for each name.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return fmt.Errorf("%s: %s is missing", cmd.CommandPath(), names[len(args)])
		case len(args) > len(names):
			return fmt.Errorf("%s: %q is one argument too many", cmd.CommandPath(), args[len(names)])
		}
		return nil
	}
}
