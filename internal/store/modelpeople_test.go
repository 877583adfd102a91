package store

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stretchr/testify/require"
)

// What operators do, and readers.

func (w *world) rollBack() string {
	target, err := w.s.Target("", false)
	if err != nil {
		return err.Error()
	}
	before := *w.s.Served()
	require.NoError(w.t, w.s.Pin(target, "rollback", "rollback"))
	now := *w.s.Served()
	require.NotEqual(w.t, before.ID, now.ID)
	if before.Alone {
		before.Number++
	}
	require.Less(w.t, now.Number, before.Number, "a rollback goes back")
	require.False(w.t, now.Alone)
	return target.ID
}

// pinAny may fail only where what was asked for alone is lost: Target finds no view that is.
func (w *world) pinAny() string {
	version, alone := w.anyVersion(), w.r.IntN(3) == 0
	target, err := w.s.Target(version, alone)
	if err != nil {
		return err.Error()
	}
	err = w.s.Pin(target, "pin", "pin "+version)
	if !alone || w.s.holds(w.s.state.Load(), target) {
		require.NoError(w.t, err)
	}
	return fmt.Sprintf("%s %s alone %t: %v", version, target.ID, alone, err)
}

func (w *world) unpin() string {
	if w.s.Pinned() == nil {
		return "nothing is pinned"
	}
	swapped, err := w.s.Unpin("")
	require.NoError(w.t, err)
	return fmt.Sprintf("swapped %t", swapped)
}

// forget may be refused where nothing else is followed, for no other reason that has to do
// with trees.
func (w *world) forget() string {
	version, st := w.anyVersion(), w.s.state.Load()
	named := w.s.named(st, version)
	_, err := w.s.Forget(version, "")
	switch {
	case err == nil:
	case named == nil:
		require.ErrorIs(w.t, err, ErrNotHeld)
	case slices.Contains(st.Forgotten, named.Manifest):
		require.True(w.t, errors.Is(err, errForgotten) || errors.Is(err, ErrAmbiguous), err)
	case st.Pin != nil || slices.ContainsFunc(w.s.desired(st), func(k ReleaseKey) bool { return k.Manifest != named.Manifest }):
		require.ErrorIs(w.t, err, ErrAmbiguous)
	}
	return fmt.Sprintf("%s: %v", version, err)
}

func (w *world) configure() string {
	sources := []string{"a", "b", "c"}
	w.r.Shuffle(3, func(n, m int) { sources[n], sources[m] = sources[m], sources[n] })
	sources = sources[:1+w.r.IntN(3)]
	w.opts.Sources, w.opts.Keep, w.opts.Grace = sources, []int{0, 1, 3}[w.r.IntN(3)], []time.Duration{0, time.Hour}[w.r.IntN(2)]
	require.NoError(w.t, w.s.Configure(w.opts))
	return fmt.Sprintf("%v, keep %d", sources, w.opts.Keep)
}

func (w *world) collect() string {
	kept := w.needed()
	garbage, err := w.s.GC(false)
	require.NoError(w.t, err)
	w.checkKept(kept)
	w.checkCollected(w.opts.Keep, func(Release) bool { return false })
	return fmt.Sprintf("%d releases, %d trees", len(garbage.Releases), len(garbage.Trees))
}

func (w *world) readVersion() string {
	version := w.anyVersion()
	v, err := w.s.AcquireVersion(version)
	if err != nil {
		if !w.harmed || !errors.Is(err, errIndex) {
			require.ErrorIs(w.t, err, ErrNotHeld)
		}
		return err.Error()
	}
	defer v.Close()
	w.checkContent(v)
	return version
}

func (w *world) beginReading() string {
	v := w.s.Acquire()
	if v == nil {
		return "nothing is served"
	}
	w.readers = append(w.readers, v)
	return v.id
}

func (w *world) goOnReading() string {
	if len(w.readers) == 0 {
		return "nobody reads"
	}
	v := w.readers[w.r.IntN(len(w.readers))]
	w.checkContent(v)
	return v.id
}

// endReading has the reader end who has read for the longest.
func (w *world) endReading() string {
	if len(w.readers) == 0 {
		return "nobody reads"
	}
	v := w.readers[0]
	w.checkContent(v)
	v.Close()
	w.readers = w.readers[1:]
	return v.id
}

// anyVersion is anything by which people may name a release or a view.
func (w *world) anyVersion() string {
	var all []string
	for _, r := range w.s.Releases() {
		all = append(all, r.Tag, r.Manifest.String())
	}
	for _, h := range w.s.History() {
		all = append(all, h.ID)
	}
	if len(all) == 0 {
		return "none"
	}
	return all[w.r.IntN(len(all))]
}
