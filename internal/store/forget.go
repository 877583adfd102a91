package store

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
)

// errForgotten is wrapped where there is nothing left to forget.
var errForgotten = errors.New("it is forgotten already")

// Forget takes a release out of what its source contributes, and has its
// digest neither followed nor fetched until Unforget. The last release that is
// served cannot be forgotten; one of a pinned view is served until Unpin. By is who
// asked for it, for the history. The error wraps ErrNotHeld, or ErrAmbiguous where
// several sources follow other releases under the tag.
func (s *Store) Forget(version, by string) (Release, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.state.Load()
	r := s.named(st, version)
	if r == nil {
		return Release{}, fmt.Errorf("release %q: %w", version, ErrNotHeld)
	}
	for _, k := range s.desired(st) {
		if k.is(version) && k.Manifest != r.Manifest {
			return Release{}, fmt.Errorf("forget %s: %w: %s of source %s, %s of source %s", version, ErrAmbiguous, r.Manifest, r.Source, k.Manifest, k.Source)
		}
	}
	follows := func(c Contribution) bool { return c.Manifest == r.Manifest }
	followed := false
	for _, contributes := range st.Following {
		followed = followed || slices.ContainsFunc(contributes, follows)
	}
	if !followed && slices.Contains(st.Forgotten, r.Manifest) {
		return Release{}, fmt.Errorf("forget %s (%s): %w; `specman sync --force` takes it back", r.Tag, r.Manifest, errForgotten)
	}
	next := st.clone()
	for source, contributes := range next.Following {
		next.Following[source] = slices.DeleteFunc(slices.Clone(contributes), follows)
	}
	if len(s.desired(next)) == 0 && next.Pin == nil {
		return Release{}, fmt.Errorf("forget %s (%s): it is all that is served; push another release first", r.Tag, r.Manifest)
	}
	next.Forgotten = append(next.Forgotten, r.Manifest)
	slices.Sort(next.Forgotten)
	next.Forgotten = slices.Compact(next.Forgotten)
	next.event(wall(), "forget", r.Source, "forgot %s (%s)%s", r.Tag, r.Manifest, actor(by))
	var err error
	if next.Pin != nil {
		err = s.keepServing(next)
	} else {
		_, err = s.serveDesired(next, true)
	}
	if err != nil {
		return Release{}, fmt.Errorf("forget %s: %w", cmp.Or(r.Tag, version), err)
	}
	s.standInClean()
	s.saveAgain()
	return *r, nil
}

// standInClean takes what somebody has forgotten out of what stands in for another view, or
// is not held any more: where nothing is left of it, an earlier view takes its place, or
// what can be read of what is followed.
func (s *Store) standInClean() {
	st, v := s.state.Load(), s.current.Load()
	if v == nil || st.Pin != nil || !st.spoilt(v.keys()) {
		return
	}
	rest := slices.DeleteFunc(v.keys(), func(k ReleaseKey) bool { return slices.Contains(st.Forgotten, k.Manifest) })
	if len(rest) == 0 {
		rest = s.readable(st, s.desired(st))
		for _, h := range st.History {
			if !h.Alone && !st.spoilt(h.Releases) && s.holds(st, h) {
				rest = h.Releases
				break
			}
		}
	}
	if clean, err := s.standIn(rest, v); err != nil {
		s.log.Warn("What was forgotten is served until what should be served can be read again", "error", err)
	} else if clean != nil {
		s.replaceForNow(v, clean)
	}
}

// spoilt says whether somebody has forgotten one of some releases.
func (s *state) spoilt(keys []ReleaseKey) bool {
	return slices.ContainsFunc(keys, func(k ReleaseKey) bool { return slices.Contains(s.Forgotten, k.Manifest) })
}

// actor puts who did something into a message of the history.
func actor(by string) string {
	if by == "" {
		return ""
	}
	return ", by " + by
}

// UnforgetAll undoes Forget for all that is held of a source: a vanished release is
// contributed again where its source has brought nothing else under the tag, below
// the others until the source's next Follow; an import, by who follows imports next.
// It serves nothing, and returns what it took back. By is who asked for it, for the
// history.
func (s *Store) UnforgetAll(source, by string) ([]Release, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.state.Load().clone()
	var back []Release
	for _, r := range next.Releases {
		if r.Source == source && slices.Contains(next.Forgotten, r.Manifest) {
			back = append(back, r)
		}
	}
	if len(back) == 0 {
		return nil, nil
	}
	slices.SortFunc(back, func(a, b Release) int { return b.Fetched.Compare(a.Fetched) })
	if next.Following == nil {
		next.Following = make(map[string][]Contribution)
	}
	for _, r := range back {
		next.Forgotten = slices.DeleteFunc(next.Forgotten, func(d digest.Digest) bool { return d == r.Manifest })
		next.event(wall(), "forget", r.Source, "took back %s (%s)%s", r.Tag, r.Manifest, actor(by))
		has := slices.ContainsFunc(next.Following[r.Source], func(c Contribution) bool { return c.Tag == r.Tag })
		if r.Source != ImportSource && !has {
			next.Following[r.Source] = append(slices.Clone(next.Following[r.Source]), Contribution{Tag: r.Tag, Manifest: r.Manifest, Reason: "taken back"})
		}
	}
	if err := s.save(next); err != nil {
		return nil, err
	}
	s.saveAgain()
	return back, nil
}

// Unforget undoes Forget.
func (s *Store) Unforget(manifest digest.Digest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.state.Load().clone()
	if next.Forgotten = slices.DeleteFunc(next.Forgotten, func(d digest.Digest) bool { return d == manifest }); len(next.Forgotten) == len(s.state.Load().Forgotten) {
		return nil
	}
	if err := s.save(next); err != nil {
		return err
	}
	s.saveAgain()
	return nil
}
