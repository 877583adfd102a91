package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/specman/specman/internal/config"
	"github.com/specman/specman/internal/httpserve"
	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/variant"
)

// variants makes the compressed forms of what is served, in the background
// after each swap, and where one turned out to be damaged. Without
// http.compress it does nothing.
type variants struct {
	store *variant.Store // nil: off
	views *store.Store
	log   *slog.Logger
	// Both have capacity 1: what they tell is that there is something to do.
	swaps, forgotten chan struct{}
}

// gatherForgotten is how long after one variant was found damaged others are
// waited for: rarely is it only one, and each is found when somebody asks for it.
// It also keeps a disk that returns nothing right from being written all the time.
const gatherForgotten = time.Second

func newVariants(cfg *config.Config, st *store.Store, log *slog.Logger) (*variants, error) {
	v := &variants{views: st, log: log, swaps: make(chan struct{}, 1), forgotten: make(chan struct{}, 1)}
	if !cfg.HTTP.Compress {
		return v, nil
	}
	var err error
	space := func(bytes int64) error { return st.CheckSpace(bytes, 1) }
	v.store, err = variant.Open(variant.Options{
		Dir: filepath.Join(st.Dir(), "variants"), Space: space, Logger: log,
		Forgotten: func() { wake(v.forgotten) },
	})
	if err != nil {
		// A tree that is served as it is, is served.
		log.Warn("Compressed variants are off: their folder cannot be used", "error", err)
		v.store = nil
		return v, nil
	}
	wake(v.swaps)
	st.OnSwap(func(*store.View) { wake(v.swaps) })
	return v, nil
}

// run makes what is missing after each swap and each damage, until ctx ends. A
// swap meanwhile begins it anew.
func (v *variants) run(ctx context.Context) {
	if v.store == nil {
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-v.swaps:
		case <-v.forgotten:
			select {
			case <-ctx.Done():
				return
			case <-v.swaps:
			case <-time.After(gatherForgotten):
			}
			select { // told again meanwhile: once is enough
			case <-v.forgotten:
			default:
			}
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
		wake(v.swaps) // for the new view
	}
	cancel()
}

// wake has the variants of the served view made.
func wake(why chan struct{}) {
	select {
	case why <- struct{}{}:
	default:
	}
}

func (v *variants) make(ctx context.Context) error {
	view := v.views.Acquire()
	if view == nil {
		return nil
	}
	defer view.Close()
	// Before, not after: on a volume that is short of room those that nobody needs are
	// in the way of what is new, and would stay for as long as nothing new fits.
	if err := v.removeUnneeded(); err != nil {
		v.log.Warn("Compressed variants that nobody needs any more cannot be removed yet", "error", err)
	}
	return v.store.Make(ctx, httpserve.TextFiles(view))
}

// removeUnneeded removes the variants of what no held release has.
func (v *variants) removeUnneeded() error {
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
