package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/specman/specman/internal/ops"
	"github.com/specman/specman/internal/store"
)

func newForgetCommand(app *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "forget VERSION",
		Short:   "Take a release out of the view, and remember it",
		GroupID: groupStore,
		Long: `Take a vanished, imported or bad release out of the view. Its digest is remembered:
it is neither served nor fetched again, even if the registry still has it, until
` + "`specman sync --force`" + ` takes it back, from the registry or from what is still held.
The same tag at another digest is followed.

VERSION is a tag or a manifest digest; all tags of that manifest go. What is all that
is served cannot be forgotten.`,
		Example: `  specman forget 4.5.13`,
		Args:    exactly("VERSION"),
	}
	format := addOutput(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		f, err := askOrDo(ctx, app,
			func(c ops.Client) (ops.Forgotten, error) { return c.Forget(ctx, args[0]) },
			func(s *store.Store) (ops.Forgotten, error) {
				return ops.ForgetRelease(s, args[0], byHand(cmd))
			})
		if err != nil {
			return err
		}
		if *format == outputJSON {
			return writeJSON(app.stdout, f)
		}
		_, err = fmt.Fprintf(app.stdout, "%s forgot %s of source %s (%s)\n", f.Replica, f.Release.Tag, f.Release.Source, f.Release.Manifest)
		for _, r := range f.Also {
			if err == nil {
				_, err = fmt.Fprintf(app.stdout, "  and %s of source %s, which is the same manifest\n", r.Tag, r.Source)
			}
		}
		if err == nil && f.Served {
			_, err = fmt.Fprintln(app.stdout, "  it is served until `specman unpin`: the view is pinned")
		}
		return err
	}
	return cmd
}
