package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/specman/specman/internal/human"
	"github.com/specman/specman/internal/ops"
	"github.com/specman/specman/internal/store"
)

func newReleasesCommand(app *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "releases",
		Short:   "List what the store holds, and why it lies where it lies",
		GroupID: groupStore,
		Long: `List the releases that the store holds: first those of the served view, from the
top to the bottom, each with the reason of its rank and how many of its files are
served, or covered by a release above; then the others, and what was refused.

Works with the service stopped, too.`,
		Example: `  specman releases

  # the digests, for --source.exclude or specman pin
  specman releases -o json | jq -r '.[] | "\(.tag) \(.digest)"'`,
	}
	format := addOutput(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return app.releases(cmd.Context(), *format) }
	return cmd
}

func (a *app) releases(ctx context.Context, format outputFormat) error {
	releases, _, err := askOrRead(a,
		func(c ops.Client) ([]ops.Release, error) { return c.Releases(ctx) },
		func(p *store.Snapshot) ([]ops.Release, error) { return ops.ReleasesOf(p), nil })
	if err != nil {
		return err
	}
	if format == outputJSON {
		return writeJSON(a.stdout, releases)
	}
	w := &textWriter{out: a.stdout, now: time.Now()}
	if len(releases) == 0 {
		w.line("nothing is held yet")
	}
	for n, r := range releases {
		if n > 0 {
			w.line("")
		}
		w.release(r)
	}
	return w.err
}

func (w *textWriter) release(r ops.Release) {
	w.line("%s%s  %s", of(r.Source), r.Tag, strings.Join(releaseState(r), ", "))
	if r.Reason != "" {
		w.line("  why       %s", r.Reason)
	}
	w.line("  manifest  %s", r.Digest)
	if r.Held {
		w.line("  layer     %s", r.Layer)
		w.line("  created   %s", w.created(r.Created))
		w.line("  fetched   %s", w.when(r.Fetched))
		w.line("  holds     %s, %s%s", count(r.Files, "file"), human.Bytes(r.Bytes), notServed(r.Skipped))
	}
	if r.Rank > 0 {
		w.line("  served    %s; %d covered, %d of them by other content", count(r.Served, "file"), r.Covered, r.Differs)
	}
	if r.Refused != nil {
		w.line("  refused   %s at stage %s: %s", w.when(r.Refused.At), r.Refused.Stage, r.Refused.Reason)
	}
}

// releaseState says in a few words what is up with a release.
func releaseState(r ops.Release) []string {
	var words []string
	switch {
	case r.Rank == 1:
		words = append(words, "served, on top")
	case r.Rank > 1:
		words = append(words, fmt.Sprintf("served, %d from the top", r.Rank))
	case r.Lost:
		words = append(words, "lost")
	case r.Held:
		words = append(words, "held")
	}
	if r.Held && r.Followed && r.Rank == 0 {
		words = append(words, "followed")
	}
	if r.Pinned {
		words = append(words, "pinned")
	}
	if r.Forgotten {
		words = append(words, "forgotten")
	}
	if r.Damaged > 0 {
		words = append(words, count(r.Damaged, "damaged file"))
	}
	if r.Refused != nil {
		words = append(words, "refused")
	}
	return words
}

func (w *textWriter) created(t time.Time) string {
	if t.IsZero() {
		return "not said"
	}
	return w.when(t)
}

func notServed(n int) string {
	switch n {
	case 0:
		return ""
	case 1:
		return "; 1 entry of the archive is not served"
	}
	return fmt.Sprintf("; %d entries of the archive are not served", n)
}
