package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/specman/specman/internal/config"
	"github.com/specman/specman/internal/sync/oci"
)

// The exit statuses.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2 // wrong usage or configuration
)

// errReported ends a command with status 1 when its output has said why already.
var errReported = errors.New("failed, as the output says")

// usageError is a mistake in the command line: status 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// curer is an error that knows what a person can do about it. Any package's error
// may be one.
type curer interface{ Cure() string }

type curedError struct {
	error
	cure string
}

func (e curedError) Unwrap() error { return e.error }
func (e curedError) Cure() string  { return e.cure }

// withCure adds what to do about an error; it is printed on a line of its own.
func withCure(err error, cure string) error {
	if err == nil || cure == "" {
		return err
	}
	return curedError{err, cure}
}

// report prints what a command ended with, and gives the exit status for it.
func report(stderr io.Writer, err error) int {
	if err == nil {
		return exitDone
	}
	switch {
	case errors.Is(err, errReported):
		return exitFailed
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(stderr, "specman: interrupted")
	default:
		fmt.Fprintln(stderr, "specman:", err)
	}
	if cure := cureOf(err); cure != "" {
		fmt.Fprintln(stderr, "  "+cure)
	}
	var usage usageError
	var wrong *config.Error
	if errors.As(err, &usage) || errors.As(err, &wrong) {
		return exitUsage
	}
	return exitFailed
}

// cureOf is what a person can do about err, or "".
func cureOf(err error) string {
	var cured curer
	if errors.As(err, &cured) {
		return cured.Cure()
	}
	var transport *oci.Error
	if errors.As(err, &transport) {
		return transport.Cure
	}
	return ""
}
