package main

import (
	"cmp"
	"context"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/specman/specman/internal/config"
	"github.com/specman/specman/internal/doctor"
	"github.com/specman/specman/internal/ops"
)

func newDoctorCommand(app *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "doctor",
		Short:   "Find out why a source cannot be followed, or the store not be used",
		GroupID: groupService,
		Long: `Go the way of a sync, step by step, and say in one line each what was found: the
configuration; the store's service, folder, room and content; and of each source its
name in DNS, the connection, the certificate, the login, the list of tags, what the
selectors follow, the manifests, the beginning of a layer, and the clock against the
registry's.

  ok    it is well
  warn  it works, but a person should look
  fail  it does not work; the cure follows
  skip  it could not be tried, because another check failed

Nothing is changed, no check takes longer than 10 s, and no secret is printed. Ends
with status 1 if a check failed.

With -o json: ok, and checks (status, where, check, detail, cure).`,
		Example: `  kubectl exec specman-0 -n hubble-system -- specman doctor

  # before the first start, with a configuration that is yet to be rolled out
  specman doctor --config new.yaml --store.dir /tmp/specman`,
	}
	format := addOutput(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		loaded, err := app.config()
		if err != nil {
			return err // it names every mistake
		}
		return app.doctor(cmd.Context(), loaded, *format)
	}
	return cmd
}

// doctorResult is what `doctor -o json` prints.
type doctorResult struct {
	OK     bool           `json:"ok"` // no check failed
	Checks []doctor.Check `json:"checks"`
}

func (a *app) doctor(ctx context.Context, loaded *config.Loaded, format outputFormat) error {
	cfg := &loaded.Config
	width := len("config")
	for _, name := range sourceNames(cfg) {
		width = max(width, len(name))
	}
	var result doctorResult
	w := &textWriter{out: a.stdout}
	tell := func(c doctor.Check) {
		result.Checks = append(result.Checks, c)
		if format == outputText {
			w.line("%-4s  %-*s  %-10s  %s", c.Status, width, c.Where, c.What, c)
		}
	}
	checkConfig(loaded, tell)
	result.OK = doctor.Run(ctx, doctorOptions(cfg), tell)
	if err := ctx.Err(); err != nil {
		return err
	}
	if format == outputJSON {
		w.err = writeJSON(a.stdout, result)
	}
	if w.err != nil {
		return w.err
	}
	if !result.OK {
		return errReported
	}
	return nil
}

func checkConfig(loaded *config.Loaded, tell func(doctor.Check)) {
	c := doctor.Check{Where: "config", What: "settings"}
	for _, warning := range loaded.Warnings {
		c.Status, c.Detail = doctor.Warn, warning
		tell(c)
	}
	c.Status, c.Detail = doctor.OK, cmp.Or(loaded.File, "no file")+", environment and flags are right"
	tell(c)
}

func doctorOptions(cfg *config.Config) doctor.Options {
	socket := ops.Client{Socket: cfg.Control.Socket}
	o := doctor.Options{Store: doctor.Store{
		Dir: cfg.Store.Dir, Sources: sourceNames(cfg), MinFree: cfg.Store.MinFree,
		NotRunning: ops.ErrNotRunning,
		Service: func(ctx context.Context) error {
			_, err := socket.Status(ctx)
			return err
		},
	}}
	for n := range cfg.Sources {
		s := &cfg.Sources[n]
		o.Sources = append(o.Sources, doctor.Source{
			Name: s.Name, Connection: connection(s, nil, slog.New(slog.DiscardHandler)), // the checks say what the log would
			Select: s.Select, Exclude: s.Exclude, MaxReleases: s.MaxReleases, Archive: s.Archive,
		})
	}
	return o
}
