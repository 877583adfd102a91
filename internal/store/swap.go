package store

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrNotHeld is wrapped where a release or view is asked for that the store
// does not have.
var ErrNotHeld = errors.New("not held")

// Acquire returns the served view, held; nil before anything was ever served.
// It takes no lock.
func (s *Store) Acquire() *View {
	for {
		v := s.current.Load()
		if v == nil {
			return nil
		}
		v.refs.Add(1)
		if s.current.Load() == v {
			return v
		}
		v.Close()
	}
}

func (v *View) keys() []ReleaseKey {
	keys := make([]ReleaseKey, len(v.releases))
	for n := range v.releases {
		keys[n] = v.releases[n].Key()
	}
	return keys
}

// isOf says whether the view is of those releases, in that order.
func (v *View) isOf(keys []ReleaseKey) bool {
	return slices.EqualFunc(v.releases, keys, func(r Release, k ReleaseKey) bool { return r.Key() == k })
}

// serve makes the view of keys the served one, and next the state. Nothing is
// ever replaced by nothing: without keys the served view stays.
func (s *Store) serve(next *state, keys []ReleaseKey) (swapped bool, err error) {
	old := s.current.Load()
	if len(keys) == 0 || old != nil && old.isOf(keys) {
		if len(keys) > 0 && !next.expects(old) {
			now := wall()
			next.record(old, now) // it stood in for another one; from now on it is the one
			next.serves(old, now)
		}
		return false, s.keepServing(next)
	}
	if old == nil {
		if part := s.readable(next, keys); len(part) > 0 {
			keys = part // better than nothing, until the rest is had again
		}
	}
	v, err := s.buildView(keys)
	if err != nil {
		return false, fmt.Errorf("lay the releases over each other: %w", err)
	}
	now := wall()
	if s.datesOff || now.Before(next.HighWater.Add(time.Second)) {
		v.date(0, old)
	} else {
		v.date(sinceSwap, old)
	}
	if now.After(next.HighWater) {
		next.HighWater = now
	}
	next.record(v, now)
	s.demote(next, v)
	next.serves(v, now)
	if err := s.save(next); err != nil {
		v.Close()
		return false, err
	}
	if old == nil {
		s.saveAgain() // the state before knows of nothing to serve
	}
	s.replace(old, v)
	s.log.Info("Serving "+v.id, "top", v.releases[0].Tag, "releases", len(v.releases))
	return true, nil
}

// replace is the swap.
func (s *Store) replace(old, v *View) {
	v.began = wall()
	s.current.Store(v)
	s.dateSwap(v)
	step("view: swapped")
	if old != nil {
		old.Close()
	}
	s.metrics.swapped()
	s.wakeHousekeeping()
	for _, f := range s.onSwap {
		f(v)
	}
}

// replaceForNow is the swap to a view that stands in for the one that should be served,
// which the state goes on naming.
func (s *Store) replaceForNow(old, v *View) {
	s.replace(old, v)
	next := s.state.Load().clone()
	next.serves(v, wall())
	if err := s.save(next); err != nil {
		s.log.Warn("The history cannot be written", "error", err)
	}
}

// dateSwap dates what is new in the view that has just become the served one: from now on
// nobody is given the one before. To write the state takes time, and a client that got the
// old content meanwhile, and asks with that second, must be told that it changed.
func (s *Store) dateSwap(v *View) {
	now, st := wall(), *s.state.Load()
	if now.Before(st.HighWater) { // the clock was set back
		return
	}
	v.swapped.Store(now.UnixNano())
	st.HighWater = now // the next state that is written has it
	s.state.Store(&st)
}

// serves notes in the history what is served, nil for nothing, if that is not what it says.
func (s *state) serves(v *View, now time.Time) {
	what := "nothing"
	if v != nil {
		what = fmt.Sprintf("%s: %s on top", v.id, v.releases[0].Tag)
	}
	if s.View != nil && !s.expects(v) {
		what += fmt.Sprintf(", in the place of %s, of which a tree is lost", s.View.ID)
	}
	what = "serving " + what
	for _, e := range slices.Backward(s.Events) {
		if e.Kind != "swap" {
			continue
		}
		if e.Message == what {
			return
		}
		break
	}
	s.event(now, "swap", "", "%s", what)
}

// record makes v the served view, with the place in the history that it has, or
// a new one.
func (s *state) record(v *View, now time.Time) {
	r := ViewRecord{ID: v.id, Releases: v.keys(), Since: now.UTC()}
	switch {
	case s.Pin != nil && s.View != nil && s.View.ID == v.id: // another one stood in for it
		r.Number, r.Alone = s.View.Number, s.View.Alone
	case s.Pin != nil && slices.ContainsFunc(s.History, func(h ViewRecord) bool { return h.ID == v.id && h.Number == s.Pin.Number && !h.Alone }):
		r.Number = s.Pin.Number
	case s.Pin != nil:
		if r.Alone = true; s.View != nil {
			r.Number = s.View.Number
		}
		s.History = slices.DeleteFunc(s.History, func(h ViewRecord) bool { return h.Alone && h.ID == v.id })
		s.remember(r)
	default:
		r.Number = s.lastNumber() + 1
		s.remember(r)
	}
	s.View = &r
}

// remember puts a view on top of the history. Of a full one the oldest goes that is there
// once more: to go back and forth between two views must not push out all others, to which
// nobody could go back then.
func (s *state) remember(r ViewRecord) {
	s.History = slices.Insert(s.History, 0, r)
	if len(s.History) <= maxHistory {
		return
	}
	for n := len(s.History) - 1; n > 0; n-- {
		if slices.ContainsFunc(s.History[:n], func(newer ViewRecord) bool { return newer.ID == s.History[n].ID && !newer.Alone }) {
			s.History = slices.Delete(s.History, n, n+1)
			return
		}
	}
	s.History = s.History[:maxHistory]
}

// lastNumber is that of the view that following led to last, 0 if there is none.
func (s *state) lastNumber() int {
	last := 0
	for _, h := range s.History {
		last = max(last, h.Number)
	}
	return last
}

// buildView loads the trees of releases and lays them over each other. The
// caller owns the one hold that the view begins with.
func (s *Store) buildView(keys []ReleaseKey) (v *View, err error) {
	st := s.state.Load()
	var releases []Release
	var trees []*tree
	defer func() {
		if err != nil {
			for _, t := range trees {
				s.loaded.release(t)
			}
		}
	}()
	for _, k := range keys {
		r := st.release(k)
		if r == nil {
			return nil, fmt.Errorf("release %s (%s): %w", k.Tag, k.Manifest, ErrNotHeld)
		}
		t, err := s.loaded.acquire(r.Layer)
		if err != nil && !isTransient(err) {
			err = fmt.Errorf("%w; `specman verify --repair` has it made or fetched anew", err)
		}
		if err != nil {
			return nil, err
		}
		releases, trees = append(releases, *r), append(trees, t)
	}
	return s.viewOf(releases, trees), nil
}

// sinceSwap is the date of what is new in a view that is dated by its swap.
const sinceSwap = -1

// date notes since when each content is served at its path: since before holds it there,
// else since then, in nanoseconds since 1970. 0 is a date that is not safe to tell.
func (v *View) date(since int64, before *View) {
	for n := range v.nodes {
		nd := &v.nodes[n]
		nd.since = since
		r := nd.record(v.trees)
		if before == nil || r == nil || r.kind != File {
			continue
		}
		if at, ok := before.find(nd.path(v.trees)); ok {
			if old := &before.nodes[at]; old.kind(before.trees) == File && old.record(before.trees).sum == r.sum {
				nd.since = before.since(old)
			}
		}
	}
}

// since is the date of a node.
func (v *View) since(nd *node) int64 {
	if nd.since == sinceSwap {
		return v.swapped.Load()
	}
	return nd.since
}
