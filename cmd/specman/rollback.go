package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/specman/specman/internal/ops"
	"github.com/specman/specman/internal/store"
)

const versionHelp = `VERSION is a view's id (v-…), or a tag or manifest digest: then the newest held
view, other than the served one, in which that release lay on top; with --alone,
the release by itself.`

func newRollbackCommand(app *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "rollback [VERSION]",
		Short:   "Serve an earlier view, and stay there",
		GroupID: groupStore,
		Long: `Serve an earlier view and hold it: new releases go on being fetched, but are not
served until ` + "`specman unpin`" + `. Without VERSION, the view before the served one; again,
the one before that.

` + versionHelp + `

Acts on this replica only, and says which one it is. Works with the registry gone,
with the service stopped, and on a full volume.`,
		Example: `  # what would change?
  specman rollback --dry-run

  kubectl exec specman-0 -n hubble-system -- specman rollback
  specman rollback 4.5.13`,
		Args: oneVersion,
	}
	return moveCommand(app, cmd, ops.Rollback, (*ops.Client).Rollback)
}

func newPinCommand(app *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "pin [VERSION]",
		Short:   "Hold the served view, or a held release",
		GroupID: groupStore,
		Long: `Hold what is served, or go to VERSION and hold that: new releases go on being
fetched, but are not served until ` + "`specman unpin`" + `.

` + versionHelp,
		Example: `  # keep everything as it is during a maintenance window
  specman pin

  specman pin 4.5.13 --alone`,
		Args: oneVersion,
	}
	return moveCommand(app, cmd, ops.PinTo, (*ops.Client).Pin)
}

func newUnpinCommand(app *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "unpin",
		Short:   "Go back to following the selectors",
		GroupID: groupStore,
		Long: `End a pin or a rollback: what the selectors lead to is served at once, and what
comes from then on.`,
		Example: `  # what would change?
  specman unpin --dry-run

  specman unpin`,
	}
	return moveCommand(app, cmd, ops.Follow, (*ops.Client).Unpin)
}

// moveCommand is what the commands that change the served view have in common.
func moveCommand(app *app, cmd *cobra.Command, do func(ops.Mover, ops.MoveRequest) (ops.Move, error),
	ask func(*ops.Client, context.Context, ops.MoveRequest) (ops.Move, error)) *cobra.Command {
	var request ops.MoveRequest
	cmd.Flags().BoolVar(&request.DryRun, "dry-run", false, "only print what would change")
	if cmd.Args != nil {
		cmd.Flags().BoolVar(&request.Alone, "alone", false, "serve the release by itself, without those it lay upon")
	}
	format := addOutput(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		if len(args) > 0 {
			request.Version = args[0]
		} else if request.Alone {
			return usageError{withCure(errors.New("--alone is of a release, and none is named"), "give its tag or manifest digest: specman "+cmd.Name()+" VERSION --alone")}
		}
		stopped := false
		m, err := askOrDo(ctx, app,
			func(c ops.Client) (ops.Move, error) { return ask(&c, ctx, request) },
			func(s *store.Store) (ops.Move, error) {
				request.By, stopped = byHand(cmd), true
				return do(s, request)
			})
		if err != nil {
			return err
		}
		if *format == outputJSON {
			return writeJSON(app.stdout, m)
		}
		return app.printMove(m, stopped)
	}
	return cmd
}

// byHand names, for the history, who changes a store that no service has.
func byHand(cmd *cobra.Command) string { return "specman " + cmd.Name() + ", the service stopped" }

// maxPrintedPaths bounds the list of paths that a move prints; -o json and
// diff have them all.
const maxPrintedPaths = 20

// printMove tells what changed; stopped says that no service runs, so that nothing is
// served yet.
func (a *app) printMove(m ops.Move, stopped bool) error {
	w := &textWriter{out: a.stdout}
	verb := map[bool]string{true: "would serve", false: "serves"}[m.DryRun || stopped]
	w.line("%s %s %s", m.Replica, verb, m.To)
	if stopped && !m.DryRun {
		w.line("once the service runs: it does not now")
	}
	for _, r := range m.Top {
		w.line("  %s  %s", r.Tag, r.Digest)
	}
	if m.Pinned {
		w.line("held there until `specman unpin`")
	}
	printed := 0
	for _, part := range []struct {
		sign  string
		paths []string
	}{{"-", m.Removed}, {"~", m.Changed}, {"+", m.Added}} {
		for _, path := range part.paths {
			if printed++; printed <= maxPrintedPaths {
				w.path(part.sign, path)
			}
		}
	}
	if printed > maxPrintedPaths {
		w.line("… and %d more", printed-maxPrintedPaths)
	}
	w.line(fmt.Sprintf("%d added, %d removed, %d changed", len(m.Added), len(m.Removed), len(m.Changed)))
	return w.err
}
