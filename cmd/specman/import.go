package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/specman/specman/internal/config"
	"github.com/specman/specman/internal/human"
	"github.com/specman/specman/internal/ops"
	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/archive"
	"github.com/specman/specman/internal/sync/gate"
	"github.com/specman/specman/internal/sync/importer"
)

func newImportCommand(app *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "import FILE",
		Short:   "Put an archive into the store without a registry",
		GroupID: groupContent,
		Long: `Put an archive into the store and serve it, as a source below all others. FILE is

  manifests.tgz   or whatever it is called: its first bytes say what it is
  an OCI layout   a folder, or a tar of one, as ` + "`oras copy --to-oci-layout`" + ` makes it
  any folder      as ` + "`specman pack`" + ` would pack it
  -               standard input: an archive, or a layout in a tar

The release has the tag of the layout, else 0.0.0, or that of --tag; of a layout with
several tags all are imported, or the one of --tag. It is served until a registry's
source holds the same tag, or until ` + "`specman forget`" + `. Another import under that tag
takes its place.

The running service is asked to do it, also before it has anything to serve; else it
is done here. What ` + "`specman serve`" + ` would refuse is refused, what the rules of gate.* hold
back included: --force lets that pass.`,
		Example: `  # into a running pod, whose image has no tar for ` + "`kubectl cp`" + `
  kubectl exec -i specman-0 -n hubble-system -- specman import - < manifests.tgz

  # in an init container
  specman import /seed/layout --store.dir /var/lib/specman`,
		Args: exactly("FILE"),
	}
	tag := cmd.Flags().String("tag", "", "the release's tag; empty: the layout's, else 0.0.0")
	force := cmd.Flags().Bool("force", false, "let pass what only a gate refuses")
	format := addOutput(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		result, err := app.importFile(cmd.Context(), args[0], ops.ImportRequest{Tag: *tag, Force: *force, By: byHand(cmd)})
		if err != nil {
			return err
		}
		return app.printImport(result, *format)
	}
	return cmd
}

// importFile has the service, or if none runs this process, import a file.
func (a *app) importFile(ctx context.Context, name string, request ops.ImportRequest) (ops.ImportResult, error) {
	if err := importer.CheckTag(request.Tag); err != nil {
		return ops.ImportResult{}, usageError{fmt.Errorf("--tag: %w", err)}
	}
	loaded, err := a.config()
	if err != nil {
		return ops.ImportResult{}, err
	}
	input, size, err := a.openInput(ctx, name, archiveLimits(&loaded.Config))
	if err != nil {
		return ops.ImportResult{}, err
	}
	defer input.Close()
	progress := a.progress("importing " + name)
	defer progress.end()
	body := progress.reader(input, size)
	return askOrMake(ctx, a,
		func(c ops.Client) (ops.ImportResult, error) { return c.Import(ctx, body, request) },
		func(st *store.Store) (ops.ImportResult, error) {
			result, err := importInto(ctx, st, &loaded.Config, a.log, body, request)
			return ops.ImportResult{Replica: ops.Replica(), Result: result}, err
		})
}

// importInto is how archives get into a store, whoever asks for it.
func importInto(ctx context.Context, st *store.Store, cfg *config.Config, log *slog.Logger, body io.Reader, r ops.ImportRequest) (importer.Result, error) {
	return importer.Import(ctx, st, body, importer.Options{
		Tag: r.Tag, Archive: cfg.Sources[0].Archive, Limits: archiveLimits(cfg),
		Gate: gate.Rules(cfg.Gate), Force: r.Force, By: r.By, Logger: log,
	})
}

// openInput opens what is to be imported, as a stream; a size of 0 is not known.
func (a *app) openInput(ctx context.Context, name string, limits archive.Limits) (io.ReadCloser, int64, error) {
	if name == "-" {
		return io.NopCloser(a.stdin), 0, nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, 0, err
	}
	if info.IsDir() {
		return streamFolder(ctx, name, limits), 0, nil
	}
	f, err := os.Open(name)
	return f, info.Size(), err
}

// streamFolder packs a folder while it is read. It compresses little, since whoever
// reads it is near.
func streamFolder(ctx context.Context, dir string, limits archive.Limits) io.ReadCloser {
	out, in := io.Pipe()
	go func() {
		_, err := archive.Pack(ctx, in, dir, archive.PackOptions{Zstd: true, Limits: limits})
		in.CloseWithError(err) // nil: the end
	}()
	return out
}

func (a *app) printImport(result ops.ImportResult, format outputFormat) error {
	for _, p := range result.PassedOver {
		fmt.Fprintf(a.stderr, "specman: not imported: %s: %s\n", p.Tag, p.Reason)
	}
	for _, i := range result.Imported {
		printSkipped(a.stderr, skippedNames(i))
	}
	if format == outputJSON {
		if err := writeJSON(a.stdout, result); err != nil {
			return err
		}
	} else {
		printImportText(a.stdout, result)
	}
	for _, p := range result.PassedOver {
		if p.Fault {
			return errReported
		}
	}
	return nil
}

func printImportText(w io.Writer, result ops.ImportResult) {
	for _, i := range result.Imported {
		fmt.Fprintf(w, "%s imported %s (%s): %s in %s\n", result.Replica, i.Tag, i.Manifest, human.Bytes(i.Bytes), count(i.Files, "file"))
		if i.Covered {
			fmt.Fprintf(w, "  it stands by: the %s of a source is served in its place\n", i.Tag)
		}
	}
	switch {
	case result.Swapped:
		fmt.Fprintln(w, "what is served has changed")
	case result.Pinned:
		fmt.Fprintln(w, "the view is pinned; `specman unpin` serves it")
	}
}

// skippedNames is what of an imported archive is not served.
func skippedNames(i importer.Imported) archive.Report {
	r := archive.Report{SkippedTotal: i.Skipped}
	for _, s := range i.SkippedNames {
		r.Skipped = append(r.Skipped, archive.Skipped(s))
	}
	return r
}
