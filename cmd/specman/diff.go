package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/specman/specman/internal/ops"
	"github.com/specman/specman/internal/store"
)

func newDiffCommand(app *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "diff [A B]",
		Short:   "List the files that differ between two releases or views",
		GroupID: groupStore,
		Long: `List the files that are added (+), removed (-) and changed (~) from A to B. Each is
a tag, a manifest digest, or the id of a view. A release is taken alone, as it was
pushed; a view is its releases laid over each other. A path with characters in it that
do not print, with " or with \ is quoted.

Without arguments: from the served view to the one that following leads to. They
differ while a pin or a rollback holds the served one.

Works with the service stopped, too.`,
		Example: `  # what the next upgrade brings
  specman diff 4.5.13 4.6.0

  # what unpin would change
  specman diff

  specman diff 4.5.13 4.6.0 -o json | jq -r '.removed[]'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 0 && len(args) != 2 {
				return fmt.Errorf("%s takes two releases or views, or none, but was given %d", cmd.CommandPath(), len(args))
			}
			return nil
		},
	}
	format := addOutput(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		args = append(args, "", "")
		return app.diff(cmd.Context(), args[0], args[1], *format)
	}
	return cmd
}

func (a *app) diff(ctx context.Context, from, to string, format outputFormat) error {
	d, _, err := askOrRead(a,
		func(c ops.Client) (ops.Diff, error) { return c.Diff(ctx, from, to) },
		func(p *store.Snapshot) (ops.Diff, error) { return ops.DiffOf(p, from, to) })
	if err != nil {
		return err
	}
	if format == outputJSON {
		return writeJSON(a.stdout, d)
	}
	w := &textWriter{out: a.stdout}
	for _, part := range []struct {
		sign  string
		paths []string
	}{{"-", d.Removed}, {"~", d.Changed}, {"+", d.Added}} {
		for _, path := range part.paths {
			w.path(part.sign, path)
		}
	}
	if w.err == nil {
		fmt.Fprintf(a.stderr, "%d added, %d removed, %d changed from %s to %s\n", len(d.Added), len(d.Removed), len(d.Changed), d.From, d.To)
	}
	return w.err
}
