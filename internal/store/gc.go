package store

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
)

// Garbage is what retention no longer holds.
type Garbage struct {
	Releases []Release       `json:"releases"`
	Trees    []digest.Digest `json:"trees"`
}

// GC removes what retention no longer holds: releases out of use beyond
// Options.Keep of their source, once they have been out of use for
// Options.Grace, and the trees that no release names. With dryRun it only
// tells. A view that somebody reads keeps its trees.
func (s *Store) GC(dryRun bool) (Garbage, error) {
	if dryRun {
		s.mu.Lock()
		defer s.mu.Unlock()
		st, _ := s.dated()
		releases := s.outOfUse(st, s.options().Keep, wall())
		trees, err := s.unnamed(st.without(releases), true)
		return Garbage{Releases: releases, Trees: trees}, err
	}
	return s.remove("removed", func(st *state, now time.Time) []Release { return s.outOfUse(st, s.options().Keep, now) })
}

// remove takes the releases that choose returns out of the state, and then the trees that
// none names. The files go last, when others need not wait for it any more.
func (s *Store) remove(why string, choose func(st *state, now time.Time) []Release) (Garbage, error) {
	s.removing.RLock()
	defer s.removing.RUnlock()
	garbage, asides, err := s.takeOut(why, choose)
	errs := []error{err}
	for _, aside := range asides {
		errs = append(errs, s.removeAside(aside))
	}
	return garbage, errors.Join(errs...)
}

// takeOut is remove; asides are the folders of trees, which have lost their names.
func (s *Store) takeOut(why string, choose func(st *state, now time.Time) []Release) (garbage Garbage, asides []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return garbage, nil, errClosed
	}
	asides = s.takeNameless()
	s.versions.dropIdle()
	st, changed := s.dated()
	now := wall()
	releases := choose(st, now)
	next := st.without(releases)
	trees, err := s.unnamed(next, false)
	garbage.Releases = releases
	if err != nil {
		return garbage, asides, err
	}
	for _, r := range releases {
		next.event(now, "removed", r.Source, "%s %s (%s): out of use since %s", why, r.Tag, r.Manifest, r.Demoted.UTC().Format(time.RFC3339))
	}
	if changed || len(releases) > 0 {
		if err := s.save(next); err != nil {
			return garbage, asides, err
		}
	}
	for _, r := range releases {
		if !next.names(r.Layer) {
			s.repairs.drop(r.Layer) // nobody wants it whole any more
		}
	}
	if len(trees) > 0 { // what is at hand for the next reader may be one of them
		s.versions.drop()
		s.loaded.forgetPublished()
	}
	var errs []error
	for _, layer := range trees {
		if s.loaded.inUse(layer) {
			continue // by a slow reader; the next GC takes it
		}
		aside, err := s.putAside(layer)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if aside != "" {
			asides = append(asides, aside)
		}
		garbage.Trees = append(garbage.Trees, layer)
		s.repairs.drop(layer)
		s.metrics.treeDeleted()
	}
	if len(garbage.Trees) > 0 {
		s.wakeHousekeeping() // to measure what is left
	}
	return garbage, asides, errors.Join(errs...)
}

// names says whether a release has a layer.
func (s *state) names(layer digest.Digest) bool {
	return slices.ContainsFunc(s.Releases, func(r Release) bool { return r.Layer == layer })
}

// without is the state less some releases.
func (s *state) without(releases []Release) *state {
	next := s.clone()
	next.Releases = slices.DeleteFunc(next.Releases, func(r Release) bool {
		return slices.ContainsFunc(releases, func(g Release) bool { return g.Key() == r.Key() })
	})
	return next
}

// outOfUse are the releases beyond keep of each source that may go, those that somebody
// has forgotten first, then the one that is out of use for the longest. What a sync has
// claimed is in use.
func (s *Store) outOfUse(st *state, keep int, now time.Time) []Release {
	inUse := s.inUse(st, s.current.Load()) // where one view stands in for another, its date says otherwise
	bySource := make(map[string][]Release)
	for _, r := range st.Releases {
		if _, claimed := s.claimed[r.Key()]; !claimed && !r.Demoted.IsZero() && !inUse[r.Key()] {
			bySource[r.Source] = append(bySource[r.Source], r)
		}
	}
	// To one that is forgotten nobody can go back: it is kept, for who takes it back, only in
	// a place that no other needs.
	wanted := make(map[digest.Digest]int)
	for _, r := range st.Releases {
		if !slices.Contains(st.Forgotten, r.Manifest) {
			wanted[r.Manifest] = 1
		}
	}
	first := func(a, b Release) int {
		return cmp.Or(cmp.Compare(wanted[a.Manifest], wanted[b.Manifest]), a.Demoted.Compare(b.Demoted))
	}
	var out []Release
	for _, releases := range bySource {
		slices.SortFunc(releases, first)
		for _, r := range releases[:max(0, len(releases)-keep)] {
			if now.Sub(r.Demoted) >= s.options().Grace {
				out = append(out, r)
			}
		}
	}
	slices.SortFunc(out, first)
	return out
}

// unnamed are the trees on disk that no release of the state names, and no sync has
// claimed. One that was never seen in use before waits for the grace: it may be what a
// crash left between its rename and the state, and the next sync will want it. Where the
// state itself was lost, it waits for that sync.
func (s *Store) unnamed(st *state, dryRun bool) ([]digest.Digest, error) {
	named := make(map[digest.Digest]bool)
	for _, r := range st.Releases {
		named[r.Layer] = true
	}
	for _, layer := range s.claimed {
		named[layer] = true
	}
	was := make(map[digest.Digest]bool)
	for _, r := range s.state.Load().Releases {
		was[r.Layer] = true
	}
	layers, err := layersOnDisk(s.dir)
	if err != nil {
		return nil, err
	}
	awaiting := s.blank && slices.ContainsFunc(s.options().Sources, func(source string) bool { return len(s.state.Load().Following[source]) == 0 })
	var out []digest.Digest
	now := time.Now()
	for _, layer := range layers {
		if named[layer] {
			delete(s.orphans, layer)
			continue
		}
		since, known := s.orphans[layer]
		if !known && !dryRun {
			s.orphans[layer] = now
		}
		if was[layer] || known && !awaiting && now.Sub(since) >= s.options().Grace {
			out = append(out, layer)
		}
	}
	return out, nil
}

// putAside moves a tree's folder into staging, and returns where it is to be removed
// there, "" where somebody reads it still.
func (s *Store) putAside(layer digest.Digest) (string, error) {
	aside := s.newAside()
	t, err := s.loaded.moved(layer, func() error { return os.Rename(treeFolder(s.dir, layer), aside) })
	if err != nil {
		return "", spaceError(err)
	}
	step("gc: renamed")
	delete(s.orphans, layer)
	// A power cut must not undo the renaming and yet keep the removal.
	if err := s.flushNames(); err != nil {
		s.nameless = append(s.nameless, nameless{t, aside})
		return "", err
	}
	return s.loaded.unread(t, aside), nil
}

// newAside names a folder of staging that is not there. It is not made: on a volume
// that has no inode left, what goes must not need one.
func (s *Store) newAside() string {
	return filepath.Join(s.staging(), fmt.Sprintf("gone-%016x", rand.Uint64()))
}
