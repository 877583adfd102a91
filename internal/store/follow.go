package store

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"
)

// Add notes releases whose trees are published, and claims them. One of the same
// source, tag and manifest is replaced. After an error none is added.
func (s *Store) Add(releases ...Release) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.state.Load().clone()
	for _, r := range releases {
		if !s.HasTree(r.Layer) {
			return fmt.Errorf("add release %s (%s): its tree %s: %w", r.Tag, r.Manifest, r.Layer, ErrNotHeld)
		}
		next.add(r)
	}
	if s.unflushed {
		if err := s.flushNames(); err != nil {
			return fmt.Errorf("add releases: flush the names of their trees: %w", err)
		}
	}
	if next.View == nil {
		// Somebody waits for the first view. What following it will write is enough: until
		// then a start keeps the trees, whose they may be (Store.blank).
		s.state.Store(next)
	} else if err := s.save(next); err != nil {
		return err
	}
	for _, r := range releases {
		s.claimed[r.Key()] = r.Layer
	}
	return nil
}

func (s *state) add(r Release) {
	r.Fetched = r.Fetched.Round(0)
	for _, o := range s.Releases {
		// What came last is the latest, wherever the clock was set meanwhile.
		if o.Source == r.Source && o.Tag == r.Tag && !r.Fetched.After(o.Fetched) {
			r.Fetched = o.Fetched.Add(1)
		}
	}
	if old := s.release(r.Key()); old != nil {
		r.Demoted = old.Demoted
		*old = r
	} else {
		r.Demoted = wall() // until it is followed
		putBefore(s.demoted(), r.Demoted)
		s.Releases = append(s.Releases, r)
		s.event(wall(), "release", r.Source, "got %s: %d files, manifest %s", r.Tag, r.Files, r.Manifest)
	}
	s.Refused = slices.DeleteFunc(s.Refused, func(f Refusal) bool { return f.Source == r.Source && f.Manifest == r.Manifest })
}

// UnclaimAll lets go of what a source has claimed and never followed. It is for the
// beginning of a sync.
func (s *Store) UnclaimAll(source string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.claimed, func(k ReleaseKey, _ digest.Digest) bool { return k.Source == source })
}

// Follow notes what a source contributes to the view, top first, each of it
// held; and, unless the view is pinned, serves the view that results. It
// reports whether what is served changed. What is followed needs no claim any more.
// After an error nothing has changed.
func (s *Store) Follow(source string, order []Contribution) (swapped bool, err error) {
	return s.FollowOf(source, func() []Contribution { return order })
}

// FollowOf is Follow of what order returns; nothing that is held changes between the
// two. It must not change the store.
func (s *Store) FollowOf(source string, order func() []Contribution) (swapped bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.follow(source, order())
}

func (s *Store) follow(source string, order []Contribution) (swapped bool, err error) {
	defer func() {
		s.loaded.forgetPublished()
		for _, c := range order {
			if err == nil {
				delete(s.claimed, ReleaseKey{source, c.Tag, c.Manifest})
			}
		}
	}()
	next := s.state.Load().clone()
	// What somebody has forgotten since the sync made up its mind stays forgotten.
	order = slices.DeleteFunc(slices.Clone(order), func(c Contribution) bool { return slices.Contains(next.Forgotten, c.Manifest) })
	for _, c := range order {
		if next.release(ReleaseKey{source, c.Tag, c.Manifest}) == nil {
			return false, fmt.Errorf("follow %s (%s): %w", c.Tag, c.Manifest, ErrNotHeld)
		}
	}
	changed := !slices.Equal(next.Following[source], order)
	if changed {
		if next.Following == nil {
			next.Following = make(map[string][]Contribution)
		}
		next.Following[source] = order
	} else if next.Pin == nil && s.servesDesired(next) {
		return false, nil
	}
	swapped, err = s.serveFollowed(next, changed)
	if err == nil && changed && source == ImportSource {
		s.saveAgain() // what a person has imported no sync can bring back
	}
	return swapped, err
}

// serveFollowed makes next the state, and serves what it says should be served, pinned or
// followed. Changed says that next is another state.
func (s *Store) serveFollowed(next *state, changed bool) (swapped bool, err error) {
	if next.Pin != nil {
		return s.followPinned(next, changed)
	}
	return s.serveDesired(next, changed)
}

// serveDesired makes next the state, and serves what following leads to. While a part of
// that is lost, what is served stays, or the better stand-in takes its place: whatever
// else is followed, imported or forgotten meanwhile is noted, and is no failure. Changed
// says that next is another state.
func (s *Store) serveDesired(next *state, changed bool) (swapped bool, err error) {
	keys := s.desired(next)
	if swapped, err = s.serve(next, keys); err == nil {
		return swapped, nil
	}
	readable := s.readable(next, keys)
	if len(readable) == len(keys) || s.current.Load() == nil && len(readable) > 0 {
		return false, err // of something else than a lost tree
	}
	if changed {
		lost := slices.DeleteFunc(slices.Clone(keys), func(k ReleaseKey) bool { return slices.Contains(readable, k) })
		s.log.Warn("What is followed cannot be served as a whole: a tree is lost; what is served stands in for it", "lost", fmt.Sprint(lost),
			"cure", "its source's next sync fetches it anew")
		if err := s.keepServing(next); err != nil {
			return false, err
		}
	}
	return s.standInBetter(next, readable, func(now, then []ReleaseKey) bool {
		tagIn := func(keys []ReleaseKey, k ReleaseKey) bool {
			return slices.ContainsFunc(keys, func(o ReleaseKey) bool { return o.Source == k.Source && o.Tag == k.Tag })
		}
		loses := slices.ContainsFunc(now, func(k ReleaseKey) bool { return tagIn(keys, k) && !tagIn(then, k) })
		return !loses && !slices.Equal(now, then)
	})
}

// followPinned makes next the state, which changes nothing of what is served while the
// pinned view is; or else what can be had of it, or stands in for it, is served. Changed
// says that next is another state.
func (s *Store) followPinned(next *state, changed bool) (swapped bool, err error) {
	if changed {
		if err := s.keepServing(next); err != nil {
			return false, err
		}
	}
	swapped, err = s.servePinned()
	switch {
	case err == nil:
		return swapped, nil
	case !errors.Is(err, ErrNotHeld) && s.current.Load() != nil:
		return false, nil // what is followed is noted; the next sync tries again
	case !errors.Is(err, ErrNotHeld):
		return false, err
	}
	// A pin holds: what stands in for its view gets what it lacked, and nothing newer.
	pinned := next.View.Releases
	return s.standInBetter(next, s.standInKeys(next), func(now, then []ReleaseKey) bool {
		return len(then) > len(now) && partOf(now, then) || partOf(then, pinned) && !partOf(now, pinned)
	})
}

// keepServing makes next the state; what is served stays.
func (s *Store) keepServing(next *state) error {
	s.demote(next, s.current.Load())
	return s.save(next)
}

// desired is the view that following leads to: what is followed, but for imports whose
// trees are lost. No sync brings them, and all others would wait for them.
func (s *Store) desired(st *state) []ReleaseKey {
	return slices.DeleteFunc(s.followed(st), func(k ReleaseKey) bool {
		return k.Source == ImportSource && !s.canRead(st.release(k).Layer)
	})
}

// followed is what each source contributes, the first source on top, imports below them
// all. It looks at the state alone.
func (s *Store) followed(st *state) []ReleaseKey {
	var keys []ReleaseKey
	for _, r := range s.arrange(st.contributed) {
		keys = append(keys, r.Key())
	}
	return keys
}

// DesiredWith returns the releases of the view, top first, that following would lead to
// if a source contributed others than it does, held or not, top first too.
func (s *Store) DesiredWith(source string, contributes []Release) []Release {
	st := s.state.Load()
	return s.arrange(func(of string) []Release {
		if of == source {
			return contributes
		}
		return st.contributed(of)
	})
}

// arrange puts what each source contributes in its place in a view.
func (s *Store) arrange(contributed func(source string) []Release) []Release {
	var view []Release
	tags := make(map[string]bool)
	for _, source := range s.options().Sources {
		for _, r := range contributed(source) {
			tags[r.Tag] = true
			view = append(view, r)
		}
	}
	for _, r := range contributed(ImportSource) {
		if !tags[r.Tag] { // an import stands in until a registry holds the tag
			view = append(view, r)
		}
	}
	return view
}

// contributed are the releases that a source brings into the view, top first. It may
// have lost some: while it was out of the configuration or, of imports, while they were
// not needed.
func (s *state) contributed(source string) []Release {
	var releases []Release
	for _, c := range s.Following[source] {
		if r := s.release(ReleaseKey{source, c.Tag, c.Manifest}); r != nil && !c.Lost {
			releases = append(releases, *r)
		}
	}
	return releases
}

// servesDesired says whether the served view is the one that following leads to, where
// nothing is pinned.
func (s *Store) servesDesired(st *state) bool {
	v := s.current.Load()
	want := s.desired(st)
	if v == nil {
		return len(want) == 0
	}
	return v.isOf(want) && st.expects(v) // or else it stands in, and is now what is wanted
}

// Follows says whether what is served is what following leads to, and is not held where
// it is.
func (s *Store) Follows() bool {
	st, v := s.state.Load(), s.current.Load()
	return st.Pin == nil && v != nil && v.isOf(s.desired(st))
}

// ServePinned goes back to the pinned view, where another one stands in for it because
// a tree of it was lost, and is had again. It does nothing where it is served, or
// nothing is pinned; the error wraps ErrNotHeld while it cannot be served.
func (s *Store) ServePinned() (swapped bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.servePinned()
}

func (s *Store) servePinned() (swapped bool, err error) {
	st := s.state.Load()
	if v := s.current.Load(); st.Pin == nil || st.View == nil || v != nil && v.isOf(st.View.Releases) {
		return false, nil
	}
	for _, k := range st.View.Releases {
		if r := st.release(k); r == nil || !s.HasTree(r.Layer) {
			return false, fmt.Errorf("the pinned view %s: %s (%s): %w", st.View.ID, k.Tag, k.Manifest, ErrNotHeld)
		}
	}
	return s.serve(st.clone(), st.View.Releases)
}
