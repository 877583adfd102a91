package store

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
)

// Releases returns all that are held, in no particular order.
func (s *Store) Releases() []Release { return slices.Clone(s.state.Load().Releases) }

// Release returns what is noted of a release, whatever became of its tree.
func (s *Store) Release(key ReleaseKey) (r Release, ok bool) {
	if found := s.state.Load().release(key); found != nil {
		return *found, true
	}
	return Release{}, false
}

// Held returns a release whose tree is in the store; ok is false also where the
// tree is missing or its index damaged, so that it will be fetched again.
func (s *Store) Held(key ReleaseKey) (r Release, ok bool) {
	if r, ok = s.Release(key); ok && s.HasTree(r.Layer) {
		return r, true
	}
	return Release{}, false
}

// Claim is Held, and has GC and MakeSpace leave the release alone until its source
// follows it, or begins another sync: one that will contribute it may take hours, in
// which it is out of use.
func (s *Store) Claim(key ReleaseKey) (r Release, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, ok = s.Held(key); ok {
		s.claimed[key] = r.Layer
	}
	return r, ok
}

// ClaimTree has GC and MakeSpace leave the tree of a release alone, there or not, that may
// be added before the source's next sync, unless Unclaim says that it will not be.
func (s *Store) ClaimTree(r Release) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claimed[r.Key()] = r.Layer
}

// Unclaim ends the claim of a release.
func (s *Store) Unclaim(key ReleaseKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.claimed, key)
}

// Following returns what a source contributes, top first.
func (s *Store) Following(source string) []Contribution {
	return slices.Clone(s.state.Load().Following[source])
}

// Pinned returns what holds the served view where it is, nil if nothing does.
func (s *Store) Pinned() *Pin { return s.state.Load().Pin }

// Served returns the record of the served view, nil before there is one.
func (s *Store) Served() *ViewRecord { return s.state.Load().View }

// History returns the views that following, or somebody, led to, newest first, the served
// one included.
func (s *Store) History() []ViewRecord { return slices.Clone(s.state.Load().History) }

// Events returns what happened, oldest first, as far back as it is kept.
func (s *Store) Events() []Event { return slices.Clone(s.state.Load().Events) }

// Note adds an event for people to look up later.
func (s *Store) Note(kind, source, message string) error {
	return s.change(func(next *state) { next.event(time.Now(), kind, source, "%s", message) })
}

// Refusals returns what is remembered as refused of a source.
func (s *Store) Refusals(source string) []Refusal {
	return slices.DeleteFunc(slices.Clone(s.state.Load().Refused), func(r Refusal) bool { return r.Source != source })
}

// Refuse remembers a refusal, in place of an earlier one of the same manifest
// under the same tag.
func (s *Store) Refuse(r Refusal) error {
	return s.change(func(next *state) {
		next.Refused = append(slices.DeleteFunc(next.Refused, func(o Refusal) bool {
			return o.Source == r.Source && o.Manifest == r.Manifest && o.Tag == r.Tag
		}), r)
		next.Refused = next.Refused[max(0, len(next.Refused)-maxRefusals):]
		next.event(r.At, "refused", r.Source, "%s (%s) at %s: %s", r.Tag, r.Manifest, r.Stage, r.Reason)
	})
}

// Forgotten says whether a manifest was taken out by Forget.
func (s *Store) Forgotten(manifest digest.Digest) bool {
	return slices.Contains(s.state.Load().Forgotten, manifest)
}

// change writes a changed state that does not touch what is served.
func (s *Store) change(f func(next *state)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.state.Load().clone()
	f(next)
	return s.save(next)
}

// AcquireTree returns a view, held, of one tree alone, whether a release names
// it or not. Its releases have no more than the layer.
func (s *Store) AcquireTree(layer digest.Digest) (*View, error) {
	t, err := s.loaded.acquire(layer)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotHeld, err)
	}
	return s.viewOf([]Release{{Layer: layer}}, []*tree{t}), nil
}

// viewOf lays taken trees over each other. The view begins with one hold, the
// caller's.
func (s *Store) viewOf(releases []Release, trees []*tree) *View {
	v := &View{overlay: newOverlay(trees), id: viewID(releases), releases: releases, loaded: &s.loaded}
	v.refs.Store(1)
	return v
}

// Contents returns the sha256 of every file of every held release whose tree is not lost.
func (s *Store) Contents() (map[[sha256.Size]byte]bool, error) {
	sums := make(map[[sha256.Size]byte]bool)
	for _, r := range s.state.Load().Releases {
		t, err := s.loaded.acquire(r.Layer)
		if err != nil && !isTransient(err) {
			continue // nothing of it is served
		}
		if err != nil {
			return nil, err
		}
		for n := range t.records {
			if t.records[n].kind == File {
				sums[t.records[n].sum] = true
			}
		}
		s.loaded.release(t)
	}
	return sums, nil
}
