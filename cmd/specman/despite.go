package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/specman/specman/internal/config"
	"github.com/specman/specman/internal/ops"
)

// askDespite asks the running service although the configuration on disk is
// wrong: the service goes on with the one before, and to see that is just what
// somebody may want now. Where it listens is then known from the flags, the
// environment and the defaults alone. If it does not answer, the error is what
// is wrong; and so it is where the mistake is not in a file: no service goes on
// with another command line, and whoever erred in it may not mean this service.
func askDespite[T any](a *app, wrong error, ask func(ops.Client) (T, error)) (value T, err error) {
	var mistakes *config.Error
	if !errors.As(wrong, &mistakes) || slices.ContainsFunc(mistakes.Mistakes, func(m config.Mistake) bool { return m.Origin.From != "file" }) {
		return value, wrong
	}
	env := slices.DeleteFunc(slices.Clone(a.env), func(v string) bool { return strings.HasPrefix(v, "SPECMAN_CONFIG=") })
	without, err := config.Load(config.LoadOptions{Env: env, Flags: a.flags.WithoutFile()})
	if err != nil {
		return value, wrong
	}
	value, err = ask(ops.Client{Socket: without.Config.Control.Socket})
	if errors.Is(err, ops.ErrNotRunning) {
		return value, wrong
	}
	fmt.Fprintln(a.stderr, "specman: warning:", wrong)
	return value, err
}
