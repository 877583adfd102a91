package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/specman/specman/internal/config"
	"github.com/specman/specman/internal/ops"
	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/importer"
	"github.com/specman/specman/internal/sync/poller"
)

func newSyncCommand(app *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "sync",
		Short:   "Poll the sources once, now",
		GroupID: groupService,
		Long: `Make one sync of every source and print the releases that are held after it. The
running service is asked to do it, if there is one; else it is done here, into the
store, which is then ready for a service: for init containers and cron.

Ends with status 1 if something could not be had, or if nothing is held after it,
as where all there is was refused before; what is held is kept.`,
		Example: `  # in an init container: bring a tree, unless there is one
  specman sync --if-empty

  # after the archive was mended, or when a gate refused what was meant
  kubectl exec specman-0 -n hubble-system -- specman sync --force`,
	}
	force := cmd.Flags().Bool("force", false, "fetch refused and forgotten releases again, and let pass what only a gate refused")
	ifEmpty := cmd.Flags().Bool("if-empty", false, "do nothing where a whole view is held")
	format := addOutput(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return app.sync(cmd.Context(), *force, *ifEmpty, byHand(cmd), *format)
	}
	return cmd
}

// syncResult is what `sync -o json` prints.
type syncResult struct {
	Replica  string                    `json:"replica"`  // the one whose store it is
	Outcomes map[string]poller.Outcome `json:"outcomes"` // by source
	Releases []store.Release           `json:"releases"` // held after it

	serves bool // a view is held after it
}

func (a *app) sync(ctx context.Context, force, ifEmpty bool, by string, format outputFormat) error {
	loaded, err := a.config()
	if err != nil {
		return err
	}
	cfg := &loaded.Config
	if ifEmpty && wholeViewHeld(cfg) {
		return nil
	}
	var result syncResult
	client := ops.Client{Socket: cfg.Control.Socket}
	asked, err := client.Sync(ctx, force)
	result.Replica, result.Outcomes = asked.Replica, asked.Outcomes
	switch {
	case errors.Is(err, ops.ErrNotRunning):
		result, err = a.syncHere(ctx, force, by)
	case err == nil:
		err = result.read(cfg)
	}
	if err != nil {
		return err
	}
	if err := a.printSync(result, format); err != nil {
		return err
	}
	if !result.serves { // who waits for this command is about to serve it
		return withCure(errors.New("nothing is held that could be served"),
			"what was refused is remembered, and what is no archive is passed over: `specman status` and `specman releases` tell; mend it and push it again, or `specman sync --force`")
	}
	return nil
}

// read puts in what the running service holds, from its disk.
func (r *syncResult) read(cfg *config.Config) error {
	held, err := store.Read(cfg.Store.Dir, sourceNames(cfg)...)
	if err != nil {
		return err
	}
	defer held.Close()
	r.Releases, r.serves = held.Releases, held.View != nil
	return nil
}

// wholeViewHeld says whether the store would serve something as it is.
func wholeViewHeld(cfg *config.Config) bool {
	var held syncResult
	return held.read(cfg) == nil && held.serves // a store that cannot be read is for the sync to report
}

// syncHere syncs without a service: it takes the store itself. By is who asked for it.
func (a *app) syncHere(ctx context.Context, force bool, by string) (result syncResult, err error) {
	boundHeadroom(headroom(0), startOfOneSync)
	s, err := newService(a)
	if err != nil {
		return result, err
	}
	noSource := withCure(errors.New("no source is configured"), "set source.repository")
	if len(plansOf(s.cfg)) == 0 && !force {
		return result, noSource // before a store is made for nothing
	}
	opts := storeOptions(s.cfg, s.log)
	opts.LockWait = 0
	st, err := store.Open(ctx, opts)
	if err != nil {
		return result, storeError(err)
	}
	defer st.Close()
	group, err := newSources(s.cfg, st, nil, s.log)
	if err != nil {
		return result, err
	}
	var back []store.Release
	if force {
		if back, err = importer.TakeBack(st, by, group.unpolled()...); err != nil {
			return result, err
		}
	}
	result.Replica, result.Outcomes = ops.Replica(), make(map[string]poller.Outcome)
	for _, p := range group.all() {
		result.Outcomes[p.Name] = p.Once(ctx, poller.Ask{Force: force, By: by})
	}
	if len(result.Outcomes) == 0 && len(back) == 0 {
		return result, noSource
	}
	if ctx.Err() != nil && failedOutcome(result.Outcomes) != nil {
		return result, ctx.Err() // what was cut off has no failures that say so
	}
	_, err = st.GC(false)
	result.Releases = st.Releases()
	if v := st.Acquire(); v != nil {
		v.Close()
		result.serves = true
	}
	return result, err
}

func (a *app) printSync(result syncResult, format outputFormat) error {
	if format == outputJSON {
		if result.Releases == nil {
			result.Releases = []store.Release{} // lists are never null
		}
		if err := writeJSON(a.stdout, result); err != nil {
			return err
		}
	} else {
		w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "SOURCE\tTAG\tMANIFEST\tFILES\tFETCHED")
		for _, r := range result.Releases {
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\n", r.Source, r.Tag, r.Manifest, r.Files, r.Fetched.Format("2006-01-02T15:04:05Z"))
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(result.Outcomes)) {
		a.printFailures(name, result.Outcomes[name].Failures)
	}
	return failedOutcome(result.Outcomes)
}

// printFailures tells of what a sync of a source could not have.
func (a *app) printFailures(source string, failures []*poller.Failure) {
	for _, f := range failures {
		fmt.Fprintf(a.stderr, "specman: %s: stage %s: %s\n", source, f.Stage, f.Reason)
		if f.Cure != "" {
			fmt.Fprintln(a.stderr, "  "+f.Cure)
		}
	}
}

func failedOutcome(outcomes map[string]poller.Outcome) error {
	for _, o := range outcomes {
		if o.Result == poller.Failed {
			return errReported
		}
	}
	return nil
}
