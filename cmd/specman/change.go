package main

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/specman/specman/internal/ops"
	"github.com/specman/specman/internal/store"
)

// askOrDo makes a change: the running service makes it, or, where none runs,
// this process, which takes the store for it. There must be one.
func askOrDo[T any](ctx context.Context, a *app, ask func(ops.Client) (T, error), do func(*store.Store) (T, error)) (value T, err error) {
	return askOr(ctx, a, false, ask, do)
}

// askOrMake is askOrDo for a change that may begin a store.
func askOrMake[T any](ctx context.Context, a *app, ask func(ops.Client) (T, error), do func(*store.Store) (T, error)) (value T, err error) {
	return askOr(ctx, a, true, ask, do)
}

func askOr[T any](ctx context.Context, a *app, mayMake bool, ask func(ops.Client) (T, error), do func(*store.Store) (T, error)) (value T, err error) {
	loaded, err := a.config()
	if err != nil {
		value, err = askDespite(a, err, ask)
		return value, moveError(err)
	}
	value, err = ask(ops.Client{Socket: loaded.Config.Control.Socket})
	if !errors.Is(err, ops.ErrNotRunning) {
		return value, moveError(err)
	}
	dir := loaded.Config.Store.Dir
	if _, missing := os.Stat(dir); !mayMake && errors.Is(missing, fs.ErrNotExist) {
		return value, readError(dir, err, missing)
	}
	log, err := a.logger()
	if err != nil {
		return value, err
	}
	opts := storeOptions(&loaded.Config, log)
	opts.LockWait = 0
	st, err := store.Open(ctx, opts)
	if err != nil {
		return value, storeError(err)
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	value, err = do(st)
	return value, moveError(err)
}

// moveError adds the cure to what a change was refused for.
func moveError(err error) error {
	if errors.Is(err, store.ErrNeverOnTop) {
		return withCure(err, "add --alone to serve it by itself, or name a view: `specman status -o json` lists those that were served")
	}
	if errors.Is(err, unix.EROFS) {
		return withCure(err, store.ReadOnlyCure)
	}
	return askError(err)
}
