package store

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
)

// Errors of going somewhere.
var (
	// ErrAlreadyThere is wrapped where the view asked for is the served one.
	ErrAlreadyThere = errors.New("it is served already")
	// ErrNeverOnTop is wrapped where a release is held but no held view has it
	// on top: it can only be served alone.
	ErrNeverOnTop = errors.New("no earlier view has it on top")
	// ErrAmbiguous is wrapped where a tag names releases of several sources, and
	// which of them is meant is not to be guessed.
	ErrAmbiguous = errors.New("it names several releases; give a digest")
)

// Target finds the view to which a rollback or pin would go: by id, or by the
// tag or manifest digest of the release that lay on top of it, the newest that
// is held and is not the served one; with alone, of that release by itself.
// Without a version it is the view before the served one. The error wraps
// ErrNotHeld, ErrAlreadyThere or ErrNeverOnTop.
func (s *Store) Target(version string, alone bool) (ViewRecord, error) {
	st := s.state.Load()
	if version == "" {
		return s.before(st)
	}
	served := ""
	if st.View != nil {
		served = st.View.ID
	}
	if version == served {
		return ViewRecord{}, fmt.Errorf("view %s: %w", version, ErrAlreadyThere)
	}
	there := false
	for _, h := range st.History {
		top := h.Releases[0]
		if h.ID != version && (alone || h.Alone || top.Tag != version && top.Manifest != digest.Digest(version)) {
			continue
		}
		if h.ID == served {
			there = true
			continue
		}
		if s.holds(st, h) {
			return h, nil
		}
	}
	r := s.named(st, version)
	switch {
	case r == nil && there:
		return ViewRecord{}, fmt.Errorf("%s: %w", version, ErrAlreadyThere)
	case r == nil:
		return ViewRecord{}, fmt.Errorf("release or view %q: %w", version, ErrNotHeld)
	case there && !alone:
		return ViewRecord{}, fmt.Errorf("%s: %w", version, ErrAlreadyThere)
	case !alone:
		return ViewRecord{}, fmt.Errorf("release %s (%s) is held, but %w; with --alone it is served by itself", r.Tag, r.Manifest, ErrNeverOnTop)
	}
	record := ViewRecord{ID: viewID([]Release{*r}), Releases: []ReleaseKey{r.Key()}}
	if record.ID == served {
		return ViewRecord{}, fmt.Errorf("%s alone: %w", version, ErrAlreadyThere)
	}
	return record, nil
}

// before is the newest held view of the history that is older than the served one.
func (s *Store) before(st *state) (ViewRecord, error) {
	if st.View == nil {
		return ViewRecord{}, fmt.Errorf("the view before: nothing is served yet: %w", ErrNotHeld)
	}
	forgotten := func(k ReleaseKey) bool { return slices.Contains(st.Forgotten, k.Manifest) }
	below := st.View.Number
	if st.View.Alone {
		below++
	}
	for _, h := range st.History {
		if h.Number < below && !h.Alone && h.ID != st.View.ID && s.holds(st, h) && !slices.ContainsFunc(h.Releases, forgotten) {
			return h, nil
		}
	}
	return ViewRecord{}, fmt.Errorf("a view before %s: none is held that can be served: %w", st.View.ID, ErrNotHeld)
}

// holds says whether all releases of a view are held, with a tree each.
func (s *Store) holds(st *state, h ViewRecord) bool {
	return len(s.readable(st, h.Releases)) == len(h.Releases)
}

// readable are those of some releases that are held, with a tree that is not known to be
// lost.
func (s *Store) readable(st *state, keys []ReleaseKey) (readable []ReleaseKey) {
	for _, k := range keys {
		r := st.release(k)
		if r == nil {
			continue
		}
		t, err := s.loaded.take(r.Layer)
		if err == nil {
			s.loaded.give(t)
		}
		if err == nil || passing(err) {
			readable = append(readable, k)
		}
	}
	return readable
}

// Hold serves a view that Target found and stays there: what sources contribute
// from then on is held but not served, until Unpin. Kind is what the history calls
// it, pin or rollback; reason says, for people, what was asked for. To hold the
// served view itself is no error here.
func (s *Store) Hold(target ViewRecord, kind, reason string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.state.Load().clone()
	now := wall()
	next.Pin = &Pin{View: target.ID, Number: target.Number, Since: now.UTC(), Reason: reason}
	next.event(now, kind, "", "%s: holding %s", reason, target.ID)
	if _, err := s.serve(next, target.Releases); err != nil {
		return fmt.Errorf("hold view %s: %w", target.ID, err)
	}
	s.saveAgain()
	s.metrics.show(s)
	return nil
}

// Unpin goes back to following, and to what following leads to now. By is who asked for
// it, for the history. It reports whether what is served changed.
func (s *Store) Unpin(by string) (swapped bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.state.Load().clone()
	if next.Pin == nil {
		return false, errors.New("nothing is pinned")
	}
	next.event(wall(), "unpin", "", "following again%s; %s was held since %s", actor(by), next.Pin.View, next.Pin.Since.Format(time.RFC3339))
	next.Pin = nil
	if v := s.current.Load(); v != nil && v.isOf(s.desired(next)) && next.expects(v) && (next.View.Alone || next.View.Number < next.lastNumber()) {
		next.record(v, wall()) // following leads here now: a step of its own, to which a later rollback goes
	}
	swapped, err = s.serve(next, s.desired(next))
	if errors.Is(err, errNoTree) { // what is served stands in for it until a sync, or a repair, brings it
		s.log.Warn("Nothing is pinned any more, but what is followed cannot be served yet", "error", err)
		s.demote(next, s.current.Load())
		err = s.save(next)
	}
	if err != nil {
		return false, fmt.Errorf("go back to following: %w", err)
	}
	s.saveAgain()
	s.metrics.show(s)
	return swapped, nil
}

// Desired returns the view that following leads to, pin or no pin.
func (s *Store) Desired() ViewRecord {
	st := s.state.Load()
	keys := s.desired(st)
	var releases []Release
	for _, k := range keys {
		if r := st.release(k); r != nil {
			releases = append(releases, *r)
		}
	}
	return ViewRecord{ID: viewID(releases), Releases: keys}
}

// RecordOf is the record of a view; its place in the history is not in it.
func RecordOf(v *View) ViewRecord { return ViewRecord{ID: v.id, Releases: v.keys()} }

// AcquireRecord returns a view, held, of the releases of a record.
func (s *Store) AcquireRecord(r ViewRecord) (*View, error) { return s.buildView(r.Releases) }

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
	next := st.clone()
	for source, contributes := range next.Following {
		next.Following[source] = slices.DeleteFunc(slices.Clone(contributes), func(c Contribution) bool { return c.Manifest == r.Manifest })
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
		s.demote(next, s.current.Load())
		err = s.save(next)
	} else {
		_, err = s.serve(next, s.desired(next))
	}
	if err != nil {
		return Release{}, fmt.Errorf("forget %s: %w", cmp.Or(r.Tag, version), err)
	}
	s.saveAgain()
	return *r, nil
}

// actor puts who did something into a message of the history.
func actor(by string) string {
	if by == "" {
		return ""
	}
	return ", by " + by
}

// TakeBack undoes Forget for all that is held of a source: a vanished release is
// contributed again where its source has brought nothing else under the tag, below
// the others until the source's next Follow; an import, by who follows imports next.
// It serves nothing, and returns what it took back.
func (s *Store) TakeBack(source string) ([]Release, error) {
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
		next.event(wall(), "forget", r.Source, "took back %s (%s)", r.Tag, r.Manifest)
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
	return s.change(func(next *state) {
		next.Forgotten = slices.DeleteFunc(next.Forgotten, func(d digest.Digest) bool { return d == manifest })
	})
}
