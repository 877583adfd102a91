package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"path/filepath"

	"github.com/specman/specman/internal/config"
	"github.com/specman/specman/internal/httpserve"
	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/variant"
)

// variants makes the compressed forms of what is served, in the background
// after each swap. Without http.compress it does nothing.
type variants struct {
	store *variant.Store // nil: off
	views *store.Store
	log   *slog.Logger
	swaps chan struct{} // capacity 1
}

func newVariants(cfg *config.Config, st *store.Store, log *slog.Logger) (*variants, error) {
	v := &variants{views: st, log: log, swaps: make(chan struct{}, 1)}
	if !cfg.HTTP.Compress {
		return v, nil
	}
	var err error
	space := func(bytes int64) error { return st.CheckSpace(bytes, 1) }
	v.store, err = variant.Open(variant.Options{Dir: filepath.Join(st.Dir(), "variants"), Space: space, Logger: log})
	if err != nil {
		// A tree that is served as it is, is served.
		log.Warn("Compressed variants are off: their folder cannot be used", "error", err)
		v.store = nil
		return v, nil
	}
	v.wake()
	st.OnSwap(func(*store.View) { v.wake() })
	return v, nil
}

// run makes what is missing after each swap, until ctx ends. A swap meanwhile
// begins it anew.
func (v *variants) run(ctx context.Context) {
	if v.store == nil {
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-v.swaps:
		}
		v.makeUntilSwap(ctx)
	}
}

// makeUntilSwap holds the view no longer than it is the served one: what is
// left of it is of little use then, and its trees are to go.
func (v *variants) makeUntilSwap(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- v.make(ctx) }()
	select {
	case err := <-done:
		if err != nil && !errors.Is(err, context.Canceled) {
			v.log.Warn("Compressed variants are incomplete; files are served as they are", "error", err)
		}
	case <-v.swaps:
		cancel()
		<-done
		v.wake() // for the new view
	}
	cancel()
}

// wake has the variants of the served view made.
func (v *variants) wake() {
	select {
	case v.swaps <- struct{}{}:
	default:
	}
}

func (v *variants) make(ctx context.Context) error {
	view := v.views.Acquire()
	if view == nil {
		return nil
	}
	defer view.Close()
	if err := v.store.Make(ctx, httpserve.TextFiles(view)); err != nil {
		return err
	}
	keep, err := v.views.Contents()
	if err != nil {
		return err
	}
	return v.store.Keep(func(sum [sha256.Size]byte) bool { return keep[sum] })
}

func (v *variants) close() {
	if v.store != nil {
		if err := v.store.Close(); err != nil {
			v.log.Warn("The folder of compressed variants did not close well", "error", err)
		}
	}
}
