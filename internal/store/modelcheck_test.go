package store

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

// moment is what a store was like before an operation.
type moment struct {
	serves    string // the view, "" for nothing
	pin       *Pin
	spoilt    []digest.Digest // forgotten, and served without a pin
	uncertain bool            // on the disk may be what was to come of something that failed
}

func (w *world) moment() (m moment) {
	st, v := w.s.state.Load(), w.s.current.Load()
	m.pin, m.uncertain = st.Pin, w.failed == st
	if v == nil {
		return m
	}
	m.serves = v.id
	for _, k := range v.keys() {
		if st.Pin == nil && slices.Contains(st.Forgotten, k.Manifest) {
			m.spoilt = append(m.spoilt, k.Manifest)
		}
	}
	return m
}

// check looks at what must be true after every operation.
func (w *world) check(before moment) {
	w.t.Helper()
	w.checkLeftOver()
	w.noteOutOfUse()
	if w.s.current.Load() == nil {
		// A start is looked at by checkAfterStart.
		require.True(w.t, before.serves == "" || w.lost, "nothing is served any more")
		return
	}
	w.checkContentOf(w.s.current.Load(), w.lost)
	w.checkHeld()
	w.checkForgotten(before)
	if !w.lost && !w.unsettled {
		w.checkNothingStandsIn()
	}
	require.LessOrEqual(w.t, len(w.s.History()), maxHistory)
}

// checkContent reads a view that somebody may have held since something was lost.
func (w *world) checkContent(v *View) {
	w.t.Helper()
	w.checkContentOf(v, w.harmed)
}

// checkContentOf reads a view. What it serves is what was published or, of one that may
// have lost something, nothing.
func (w *world) checkContentOf(v *View, harmed bool) {
	w.t.Helper()
	var layers []content
	for _, r := range v.releases {
		layers = append(layers, w.contents[r.Layer])
	}
	want := copyOver(layers)
	files := 0
	for name, e := range v.All() {
		if e.Kind != File {
			continue
		}
		files++
		body := make([]byte, e.Size)
		if err := v.Read(e, body); errors.Is(err, ErrDamaged) && harmed {
			continue
		} else if err != nil {
			require.NoError(w.t, err, "read %s of %s", name, v.id)
		}
		if text, ok := want[name]; !ok || text != string(body) {
			require.Equal(w.t, text, string(body), "%s of %s", name, v.id)
		}
	}
	require.Equal(w.t, len(want), files, "files of %s", v.id)
}

// checkHeld: what is served, and what should be, is held.
func (w *world) checkHeld() {
	w.t.Helper()
	st := w.s.state.Load()
	for _, k := range slices.Concat(w.s.current.Load().keys(), st.View.Releases) {
		require.NotNil(w.t, st.release(k), "%v is served, or should be, and is not held", k)
	}
	for _, k := range w.s.followed(st) {
		require.NotContains(w.t, st.Forgotten, k.Manifest, "what was forgotten is followed")
	}
}

// checkForgotten: what was forgotten does not come to be served but by a pin, or where
// nothing else is whole.
func (w *world) checkForgotten(before moment) {
	w.t.Helper()
	now := slices.DeleteFunc(w.moment().spoilt, func(m digest.Digest) bool { return slices.Contains(before.spoilt, m) })
	if len(now) > 0 {
		require.Empty(w.t, w.whole(false), "%v is forgotten and served, and something else is whole", now)
	}
}

// checkNothingStandsIn: while nothing is lost, what is served is what is pinned, or what
// following leads to.
func (w *world) checkNothingStandsIn() {
	w.t.Helper()
	st, v := w.s.state.Load(), w.s.current.Load()
	if st.Pin != nil {
		require.Equal(w.t, st.Pin.View, v.id, "what is pinned is not served")
	} else if want := w.s.desired(st); len(want) > 0 {
		require.Equal(w.t, want, v.keys(), "what is followed is not served")
	}
}

// checkAfterStart: a start changes nothing of what somebody has asked for, and serves
// what it can.
func (w *world) checkAfterStart(before moment) {
	w.t.Helper()
	if !before.uncertain {
		require.Equal(w.t, before.pin, w.s.Pinned())
	}
	if w.s.Served() != nil && w.s.current.Load() == nil {
		require.Empty(w.t, w.whole(true), "nothing is served, and could be")
	}
}

// checkAfterSync: all sources have been asked. What is pinned is served if it is whole,
// what is followed likewise; of what is followed in part, all that can be read, unless
// what stands in is whole or has another release where one is lost.
func (w *world) checkAfterSync() {
	w.t.Helper()
	st, v := w.s.state.Load(), w.s.current.Load()
	want := w.s.desired(st)
	can := w.s.readable(st, want)
	if v == nil {
		require.Empty(w.t, can, "it could be served")
		return
	}
	switch {
	case st.Pin != nil && !slices.ContainsFunc(st.View.Releases, func(k ReleaseKey) bool { return !w.s.HasTree(st.release(k).Layer) }):
		require.Equal(w.t, st.Pin.View, v.id, "what is pinned is whole")
	case st.Pin != nil, len(can) == 0: // nothing is ever replaced by nothing
	case len(can) == len(want):
		require.Equal(w.t, want, v.keys(), "all that is followed can be read")
	case !st.expects(v) && !st.wasServed(v) && !w.standsInForLost(v, want, can):
		require.Equal(w.t, can, v.keys(), "of what is followed it can be read")
	}
}

// standsInForLost says whether a view has a release under a tag of which the wanted one
// cannot be read.
func (w *world) standsInForLost(v *View, want, can []ReleaseKey) bool {
	has := func(keys []ReleaseKey, r Release) bool {
		return slices.ContainsFunc(keys, func(k ReleaseKey) bool { return k.Source == r.Source && k.Tag == r.Tag })
	}
	return slices.ContainsFunc(v.releases, func(r Release) bool { return has(want, r) && !has(can, r) })
}

// whole are the views that a start without a pin could serve: what can be read of what is
// followed, and those of the history that are whole; but for those of which something was
// forgotten, unless spoilt is set.
func (w *world) whole(spoilt bool) (views [][]ReleaseKey) {
	st := w.s.state.Load()
	if can := w.s.readable(st, w.s.desired(st)); len(can) > 0 {
		views = append(views, can)
	}
	for _, h := range st.History {
		forgotten := slices.ContainsFunc(h.Releases, func(k ReleaseKey) bool { return slices.Contains(st.Forgotten, k.Manifest) })
		if !h.Alone && w.s.holds(st, h) && (spoilt || !forgotten) {
			views = append(views, h.Releases)
		}
	}
	return views
}

// contributed are the held releases that the configured sources contribute.
func (w *world) contributed() (keys []ReleaseKey) {
	for _, source := range w.opts.Sources {
		for _, c := range w.s.Following(source) {
			if k := (ReleaseKey{source, c.Tag, c.Manifest}); w.s.state.Load().release(k) != nil {
				keys = append(keys, k)
			}
		}
	}
	return keys
}

// checkLeftOver: no tree is loaded that nobody has, and nothing is in staging but what
// somebody still reads.
func (w *world) checkLeftOver() {
	w.t.Helper()
	held := w.heldTrees()
	for _, t := range w.s.loaded.trees {
		if t != w.s.loaded.last && !slices.Contains(held, t) {
			require.Fail(w.t, "a tree is loaded, and nobody has it", t.layer)
		}
	}
	w.checkStaging(held)
}

// heldTrees are those of the served view, of the readers' and of what clients have asked
// for by name.
func (w *world) heldTrees() (trees []*tree) {
	for _, v := range slices.Concat(w.readers, w.s.versions.views) {
		trees = append(trees, v.trees...)
	}
	if v := w.s.current.Load(); v != nil {
		trees = append(trees, v.trees...)
	}
	return trees
}

// patience is how long something may take in the background, on a machine that others
// keep busy.
const patience = 30 * time.Second

// checkStaging: what is in staging are held trees whose place others have taken. What has
// lost its last reader is removed in the background, and Close does not wait for that.
func (w *world) checkStaging(held []*tree) {
	w.t.Helper()
	var asides []string
	for _, t := range held {
		if t.aside != "" {
			asides = append(asides, filepath.Base(t.aside))
		}
	}
	slices.Sort(asides)
	asides = slices.Compact(asides)
	tidy := func() bool {
		left, err := os.ReadDir(filepath.Join(w.opts.Dir, stagingFolder))
		return err == nil && slices.EqualFunc(left, asides, func(e os.DirEntry, name string) bool { return e.Name() == name })
	}
	if !w.untidy && !tidy() {
		require.Eventually(w.t, tidy, patience, time.Millisecond, "staging has something else than %v", asides)
	}
}

// checkLetGo: after the end no more is open than was before. A removal that goes on in the
// background has the folder of staging open, and may not even have begun: how much is open
// tells nothing before staging is empty.
func (w *world) checkLetGo(before int) {
	w.t.Helper()
	w.checkStaging(nil)
	closed := func() bool {
		open, err := os.ReadDir("/proc/self/fd")
		return err == nil && len(open) <= before
	}
	if !closed() {
		require.Eventually(w.t, closed, patience, time.Millisecond, "something is still open")
	}
}

// outOfUse is when a release went out of use, in steps, and how often the clock had been
// set by then.
type outOfUse struct{ step, jumps int }

func (w *world) noteOutOfUse() {
	w.steps++
	st := w.s.state.Load()
	inUse := w.s.inUse(st, w.s.current.Load())
	for k := range w.out {
		if inUse[k] || st.release(k) == nil {
			delete(w.out, k)
		}
	}
	for _, r := range st.Releases {
		if _, known := w.out[r.Key()]; !known && !inUse[r.Key()] {
			w.out[r.Key()] = outOfUse{w.steps, w.jumps}
		}
	}
}

// checkCollected: of what was out of use of each source the latest are held, so are those
// that were in use a moment ago, and no others, but for those that are spared.
func (w *world) checkCollected(keep int, spared func(Release) bool) {
	w.t.Helper()
	for _, source := range []string{"a", "b", "c", ImportSource} {
		var out []ReleaseKey
		for k := range w.out {
			if _, claimed := w.s.claimed[k]; k.Source == source && !claimed {
				out = append(out, k)
			}
		}
		// What is forgotten counts as out of use before all others.
		step := func(k ReleaseKey) int {
			if w.s.Forgotten(k.Manifest) {
				return w.out[k].step - w.steps - 1
			}
			return w.out[k].step
		}
		slices.SortFunc(out, func(k, l ReleaseKey) int { return step(l) - step(k) })
		held := 0
		for n, k := range out {
			r, ok := w.s.Release(k)
			if ok && !spared(r) {
				held++
			}
			if n < keep && (keep >= len(out) || step(out[keep]) < step(k)) {
				require.True(w.t, ok, "%v is removed, and one of the latest %d: %v", k, keep, w.out[k])
			}
			if w.opts.Grace > 0 && w.out[k].jumps == w.jumps {
				require.True(w.t, ok, "%v is removed, and was in use a moment ago", k)
			}
		}
		if w.opts.Grace == 0 && w.jumps == 0 {
			require.LessOrEqual(w.t, held, keep, "of %s", source)
		}
	}
}
