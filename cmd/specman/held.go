package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"

	"github.com/specman/specman/internal/ops"
	"github.com/specman/specman/internal/store"
)

// askOrRead gets what a command that changes nothing tells: from the running
// service, or, where none runs, from the store on disk, without its lock.
// NotRunning is then why the service could not be asked.
func askOrRead[T any](a *app, ask func(ops.Client) (T, error), read func(*store.Snapshot) (T, error)) (value T, notRunning, err error) {
	loaded, err := a.config()
	if err != nil {
		value, err = askDespite(a, err, ask)
		return value, nil, askError(err)
	}
	cfg := &loaded.Config
	value, err = ask(ops.Client{Socket: cfg.Control.Socket})
	if !errors.Is(err, ops.ErrNotRunning) {
		return value, nil, askError(err)
	}
	notRunning = err
	held, err := store.Read(cfg.Store.Dir, sourceNames(cfg)...)
	if err != nil {
		return value, notRunning, readError(cfg.Store.Dir, notRunning, err)
	}
	defer held.Close()
	value, err = read(held)
	return value, notRunning, askError(err)
}

// askError adds the cure to what the service, or the store, says no to.
func askError(err error) error {
	const lists = "`specman releases` lists what is held, `specman status -o json` the views"
	var refused *ops.RefusedError
	switch {
	case errors.Is(err, store.ErrNotHeld):
		return withCure(err, lists)
	case errors.Is(err, context.DeadlineExceeded):
		return withCure(err, "its log may say why; `kubectl logs specman-0 -n hubble-system`")
	case errors.As(err, &refused) && refused.Status == http.StatusNotFound:
		return withCure(err, lists)
	}
	return err
}

// readError says why a store could not be read in place of the service.
func readError(dir string, notRunning, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return withCure(fmt.Errorf("%w, and there is no store at %s", notRunning, dir),
			"start it with `specman serve`, or name the folder with --store.dir")
	case errors.Is(err, fs.ErrPermission):
		return withCure(err, fmt.Sprintf("run it as the user of the service; this is uid %d", os.Getuid()))
	}
	return err
}
