package main

import (
	"github.com/spf13/cobra"

	"github.com/specman/specman/internal/ops"
	"github.com/specman/specman/internal/store"
)

func newGCCommand(app *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "gc",
		Short:   "Remove what retention no longer holds",
		GroupID: groupStore,
		Long: `Remove the releases out of use beyond store.keep of their source, once they have
been out of use for store.grace, and the trees that nothing names. What is served,
pinned or being read stays. The running service does this by itself after each
change.`,
		Example: `  specman gc --dry-run
  specman gc`,
	}
	dryRun := cmd.Flags().Bool("dry-run", false, "only list what would be removed")
	format := addOutput(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx := cmd.Context()
		result, err := askOrDo(ctx, app,
			func(c ops.Client) (ops.GCResult, error) { return c.GC(ctx, *dryRun) },
			func(s *store.Store) (ops.GCResult, error) { return ops.CollectGarbage(s, *dryRun, byHand(cmd)) })
		if err != nil {
			return err
		}
		if *format == outputJSON {
			return writeJSON(app.stdout, result)
		}
		return app.printGC(result)
	}
	return cmd
}

func (a *app) printGC(r ops.GCResult) error {
	w := &textWriter{out: a.stdout}
	verb := map[bool]string{true: "would remove", false: "removed"}[r.DryRun]
	for _, release := range r.Releases {
		w.line("%s release %s of source %s (%s)", verb, release.Tag, release.Source, release.Manifest)
	}
	for _, layer := range r.Trees {
		w.line("%s tree %s", verb, layer)
	}
	if len(r.Releases)+len(r.Trees) == 0 {
		w.line("nothing to remove")
	}
	return w.err
}
