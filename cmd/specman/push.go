package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/specman/specman/internal/config"
	"github.com/specman/specman/internal/sync/archive"
	"github.com/specman/specman/internal/sync/oci"
)

func newPushCommand(app *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "push DIR|FILE REF",
		Short:   "Push a folder or an archive, as oras push does",
		GroupID: groupContent,
		Long: `Push an archive to REF, which is host/repository:tag or oci-layout:DIR:TAG. Of a
folder the archive is made first, as ` + "`specman pack`" + ` makes it.

What arrives there is what ` + "`oras push REF FILE`" + ` makes, so ` + "`oras pull`" + ` and all other
readers take it. The layer's title is the file's name, manifests.tgz for a folder.
The tag moves last: a reader sees the old artifact or the new one, whole.

What ` + "`specman serve`" + ` would refuse is not pushed; with --force a FILE is, all the same.

The connection is that of the source.* settings: plainHTTP, tls.*, auth.*, timeout.
Of several sources those count whose repository is that of REF, else those of one at
the same host, else the first. A folder is packed to a temporary file in TMPDIR, or
beside the layout.`,
		Example: `  specman push /var/www/html harbor.example.com/spectro-packs/spectro-manifests/manifest:0.0.0 \
    --source.auth.username 'robot$palette' --source.auth.passwordFile password

  # an OCI image layout, to try out or to carry over an air gap
  specman push ./www oci-layout:./registry:0.0.0
  specman serve --source.repository oci-layout:./registry`,
		Args: exactly("DIR or FILE", "REF"),
	}
	force := cmd.Flags().Bool("force", false, "push a FILE also if specman serve would refuse it")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		loaded, err := app.config()
		if err != nil {
			return err
		}
		log, err := app.logger()
		if err != nil {
			return err
		}
		ref, err := parseReference(args[1])
		if err != nil {
			return err
		}
		if ref.isDigest() {
			return usageError{withCure(errNeedsTag, refShape)}
		}
		repository, source, err := app.openReference(&loaded.Config, ref, log)
		if err != nil {
			return err
		}
		p := pusher{app: app, repository: repository, ref: ref, limits: archiveLimits(&loaded.Config), force: *force}
		if err := p.push(cmd.Context(), args[0]); err != nil || p.forced {
			return err
		}
		return app.explainPush(ref, source)
	}
	return cmd
}

// pusher is one run of push.
type pusher struct {
	app        *app
	repository *oci.Repository
	ref        reference
	limits     archive.Limits
	force      bool
	forced     bool // something was pushed that serve would refuse
}

func (p *pusher) push(ctx context.Context, path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return p.folder(ctx, path)
	}
	if err := p.check(ctx, path); err != nil {
		return err
	}
	return p.send(ctx, path, filepath.Base(path))
}

// folder packs a folder to a temporary file and sends that.
func (p *pusher) folder(ctx context.Context, dir string) error {
	f, err := p.temporary()
	if err != nil {
		return withCure(fmt.Errorf("pack %s before it is pushed: %w", dir, err), "set TMPDIR to a folder with room for the archive")
	}
	defer os.Remove(f.Name())
	defer f.Close()
	own, err := f.Stat()
	if err != nil {
		return err
	}
	packed, err := p.app.pack(ctx, f, dir, archive.PackOptions{Exclude: []os.FileInfo{own}, Limits: p.limits})
	if err != nil {
		return err
	}
	fmt.Fprintf(p.app.stdout, "packed %s: %s\n", dir, packed)
	return p.send(ctx, f.Name(), defaultArchive)
}

// temporary makes the file to pack into: beside a layout, where there must be room
// for the archive anyway, else, or if that cannot be written to, in TMPDIR.
func (p *pusher) temporary() (*os.File, error) {
	const pattern = "specman-push-*.tgz"
	if p.ref.isLayout() {
		if f, err := os.CreateTemp(filepath.Dir(filepath.Clean(p.ref.layoutDir())), "."+pattern); err == nil {
			return f, nil
		}
	}
	return os.CreateTemp(cmp.Or(p.app.getenv("TMPDIR"), "/tmp"), pattern)
}

// check reads an archive as serve would.
func (p *pusher) check(ctx context.Context, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	total := int64(0)
	if info, err := f.Stat(); err == nil {
		total = info.Size()
	}
	progress := p.app.progress("checking " + path)
	report, err := archive.Check(ctx, progress.reader(f, total), p.limits, nil)
	progress.end()
	printSkipped(p.app.stderr, report)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s: %w", path, err)
	switch {
	case !refused(err):
		return err
	case p.force:
		p.forced = true
		fmt.Fprintf(p.app.stderr, "specman: warning: no Specman is going to serve this: %v\n", err)
		return nil
	}
	return withCure(err, "`specman serve` would refuse it; --force pushes it all the same")
}

func (p *pusher) send(ctx context.Context, path, title string) error {
	progress := p.app.progress("pushing to " + p.ref.repository)
	desc, err := p.repository.Push(ctx, oci.PushRequest{File: path, Tag: p.ref.tag, Title: title, Progress: progress.at})
	progress.end()
	if err != nil {
		return err
	}
	fmt.Fprintf(p.app.stdout, "pushed %s:%s\ndigest: %s\n", p.ref.repository, p.ref.tag, desc.Digest)
	return nil
}

// explainPush says what makes a service serve what was pushed. It goes to stderr: it
// is advice, and no result.
func (a *app) explainPush(ref reference, source *config.Source) error {
	follows, _, err := followed(source, ref.tag)
	if err != nil {
		return err
	}
	selectors := strings.Join(source.Select, ",")
	switch {
	case follows:
		fmt.Fprintln(a.stderr, "A service that follows this repository serves it after its next poll; `specman sync` makes it poll now.")
	case slices.Contains(source.Exclude, ref.tag):
		fmt.Fprintln(a.stderr, "source.exclude names this tag: no service with this configuration serves it.")
	default:
		fmt.Fprintf(a.stderr, "The selectors %s do not follow this tag: a service serves it with --source.select=%s,%s.\n", selectors, selectors, ref.tag)
	}
	return nil
}

// getenv looks a variable up in the program's environment, "" if it is not there.
func (a *app) getenv(name string) string {
	value := ""
	for _, pair := range a.env {
		if v, ok := strings.CutPrefix(pair, name+"="); ok {
			value = v
		}
	}
	return value
}
