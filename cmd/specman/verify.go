package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/specman/specman/internal/human"
	"github.com/specman/specman/internal/ops"
	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/poller"
)

func newVerifyCommand(app *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "verify",
		Short:   "Read every file of the store and compare it with what was published",
		GroupID: groupStore,
		Long: `Read every held file and compare it with the checksum that was taken when it was
unpacked. A damaged file is listed, and never served again: a request for it gets
another held copy of the same content, or 503.

With --repair, damaged trees are made whole from other trees, or fetched anew from
the registry, beside what is served, and swapped in.

Ends with status 1 if damage is left. The running service does the reading, if
there is one; it also does this by itself (store.scrubInterval).`,
		Example: `  specman verify
  specman verify --repair -o json | jq '.left[].path'`,
	}
	repair := cmd.Flags().Bool("repair", false, "make whole what is damaged")
	format := addOutput(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx := cmd.Context()
		result, err := askOrDo(ctx, app,
			func(c ops.Client) (ops.VerifyResult, error) { return c.Verify(ctx, *repair) },
			func(s *store.Store) (ops.VerifyResult, error) { return app.verifyHere(ctx, s, *repair) })
		if err != nil {
			return err
		}
		if *format == outputJSON {
			err = writeJSON(app.stdout, result)
		} else {
			err = app.printVerify(result, *repair)
		}
		if err == nil && len(result.Left) > 0 {
			return errReported
		}
		return err
	}
	return cmd
}

func (a *app) verifyHere(ctx context.Context, st *store.Store, repair bool) (ops.VerifyResult, error) {
	fetch := func(ctx context.Context) (map[string]poller.Outcome, error) {
		s, err := newService(a)
		if err != nil {
			return nil, err
		}
		group, err := newSources(s.cfg, st, nil, s.log)
		if err != nil {
			return nil, err
		}
		outcomes := make(map[string]poller.Outcome)
		for _, p := range group.all() {
			outcomes[p.Name] = p.Once(ctx, poller.Ask{Mend: true})
		}
		return outcomes, nil
	}
	return ops.VerifyStore(ctx, st, store.VerifyOptions{}, repair, fetch)
}

func (a *app) printVerify(r ops.VerifyResult, repair bool) error {
	w := &textWriter{out: a.stdout}
	for _, d := range r.Left {
		path := strconv.Quote(d.Path)
		if d.Path == "" {
			path = "the tree as a whole"
		}
		w.line("damaged: %s of %s (%s): %s", path, strings.Join(d.Tags, ", "), d.Layer, d.Reason)
	}
	for _, f := range r.Foreign {
		w.line("not published, and not served: %s of %s; remove it, or it goes with the tree", strconv.Quote(f.Path), f.Layer)
	}
	w.line("%s: %s, %s, %s read; %d damaged, %s repaired, %s left",
		r.Replica, count(r.Trees, "tree"), count(r.Files, "file"), human.Bytes(r.Bytes), len(r.Damaged), count(r.Repaired, "tree"), count(len(r.Left), "damaged file"))
	if w.err != nil || len(r.Left) == 0 {
		return w.err
	}
	if !repair {
		fmt.Fprintln(a.stderr, "specman: `specman verify --repair` mends what the registry or another tree still has")
		return nil
	}
	for _, source := range slices.Sorted(maps.Keys(r.Failures)) {
		a.printFailures(source, r.Failures[source])
	}
	for _, layer := range slices.Sorted(maps.Keys(r.Faults)) {
		fmt.Fprintf(a.stderr, "specman: %s\n", r.Faults[layer])
	}
	if len(r.Faults) > 0 {
		fmt.Fprintln(a.stderr, "  what the volume lacks comes first; then `specman verify --repair` goes on")
		return w.err
	}
	fmt.Fprintln(a.stderr, "specman: what is left is in no other tree, and could not be fetched; the service tries again at each sync, and `specman import FILE` brings it without a registry")
	return w.err
}
