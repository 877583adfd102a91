package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/specman/specman/internal/human"
	"github.com/specman/specman/internal/ops"
	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/poller"
)

func newStatusCommand(app *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Tell what is served, since when, and what stands in the way",
		GroupID: groupService,
		Long: `Tell how the service is doing: first what a person should know and what to do
about it, then what is served, since when, from which tag and digest, and for each
source the last attempt, the last success, the next attempt and why the last one
failed.

The running service is asked through its control socket, so no token is needed.
Where none runs, the store on disk is read, without its lock: then this tells what
would be served, and ends with status 1.`,
		Example: `  kubectl exec specman-0 -n hubble-system -- specman status

  # for a script: what stands
  specman status -o json | jq -r '.notices[].what'`,
	}
	format := addOutput(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return app.status(cmd.Context(), *format) }
	return cmd
}

func (a *app) status(ctx context.Context, format outputFormat) error {
	st, notRunning, err := askOrRead(a,
		func(c ops.Client) (ops.Status, error) { return c.Status(ctx) },
		func(p *store.Snapshot) (ops.Status, error) { return ops.StatusOfStopped(p), nil })
	if err != nil {
		return err
	}
	if notRunning != nil {
		st.Version, st.Revision = build().Version, build().Revision
		st.Reason = notRunning.Error()
		st.Notices = slices.Insert(st.Notices, 0, ops.Notice{What: notRunning.Error(), Cure: "start it with `specman serve`; what follows is what its store holds"})
	}
	if format == outputJSON {
		err = writeJSON(a.stdout, st)
	} else {
		err = writeStatus(a.stdout, st, time.Now())
	}
	if err == nil && notRunning != nil {
		return errReported
	}
	return err
}

// writeStatus prints a status for people.
func writeStatus(out io.Writer, st ops.Status, now time.Time) error {
	w := &textWriter{out: out, now: now}
	for _, n := range st.Notices {
		w.line("! %s%s", of(n.Source), n.What)
		w.cure("  ", n.Cure)
	}
	if len(st.Notices) > 0 {
		w.line("")
	}
	w.served(st)
	for _, s := range st.Sources {
		w.source(s)
	}
	w.line("\nstore %s: %s, %s free%s", st.Store.Dir, count(st.Store.Releases, "release"), human.Bytes(st.Store.Free), used(st.Store.Space))
	started := ""
	if st.Running {
		started = ", running since " + w.when(st.Started)
	}
	w.line("replica %s, specman %s%s", st.Replica, st.Version, started)
	return w.err
}

// textWriter keeps the first error of many lines.
type textWriter struct {
	out io.Writer
	now time.Time
	err error
}

func (w *textWriter) line(format string, args ...any) {
	if w.err == nil {
		_, w.err = fmt.Fprintf(w.out, format+"\n", args...)
	}
}

func (w *textWriter) cure(indent, cure string) {
	if cure != "" {
		w.line("%s%s", indent, cure)
	}
}

// path is a line for what became of a file. An archive brings names that a terminal
// would obey, or that go on on a line of their own and tell there of another file: a
// name that is not all plain text is quoted.
func (w *textWriter) path(sign, path string) {
	if quoted := strconv.Quote(path); quoted != `"`+path+`"` {
		path = quoted
	}
	w.line("%s %s", sign, path)
}

// when is a moment for people and for scripts.
func (w *textWriter) when(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return fmt.Sprintf("%s (%s)", t.UTC().Format(time.RFC3339), human.Ago(t, w.now))
}

func (w *textWriter) served(st ops.Status) {
	v := st.Served
	if v == nil {
		w.line("nothing is served: %s", cmp.Or(st.Reason, "nothing is held yet"))
		return
	}
	if st.Running {
		w.line("serving %s since %s", v.View, w.when(v.Since))
	} else {
		w.line("would serve %s", v.View)
	}
	top := v.Releases[0]
	w.line("  %s on top, %s", top.Tag, top.Digest)
	incomplete := ""
	if v.Incomplete {
		incomplete = "; incomplete, something is followed that is not held"
	}
	w.line("  %s, %s, of %s%s", count(v.Files, "file"), human.Bytes(v.Bytes), count(len(v.Releases), "release"), incomplete)
	if w.err != nil {
		return
	}
	table := tabwriter.NewWriter(w.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\n  RANK\tTAG\tSERVED\tCOVERED\tDIFFERING\tWHY")
	for _, r := range v.Releases {
		fmt.Fprintf(table, "  %d\t%s%s\t%d\t%d\t%d\t%s\n", r.Rank, of(r.Source), r.Tag, r.Served, r.Covered, r.Differs, r.Reason)
	}
	w.err = table.Flush()
}

func (w *textWriter) source(s poller.Status) {
	w.line("\nsource %s: %s", s.Source, s.Repository)
	result := ""
	if s.LastResult != "" {
		result = ": " + string(s.LastResult)
	}
	next := w.when(s.NextAttempt)
	if s.Syncing {
		next, result = "under way", ""
	}
	w.line("  last attempt  %s%s", w.when(s.LastAttempt), result)
	w.line("  last success  %s", w.when(s.LastSuccess))
	w.line("  next attempt  %s", next)
	if s.ConsecutiveFailures > 0 {
		w.line("  failures      %d in a row", s.ConsecutiveFailures)
	}
	if len(s.LeftOut) > 0 {
		w.line("  left out      %s, beyond source.maxReleases", strings.Join(s.LeftOut, ", "))
	}
	for _, f := range s.Failures {
		what := ""
		if f.Tag != "" {
			what = ", " + f.Tag
		}
		if f.Digest != "" {
			what += " (" + f.Digest + ")"
		}
		w.line("  failed at stage %s%s: %s", f.Stage, what, f.Reason)
		w.cure("    ", f.Cure)
	}
}

// of names a source where there may be several.
func of(source string) string {
	if source == "" || source == "default" {
		return ""
	}
	return source + ": "
}

func used(space store.Space) string {
	if space.Bytes == 0 {
		return ""
	}
	return fmt.Sprintf(", %s used by %s", human.Bytes(space.Bytes), count(space.Trees, "tree"))
}
