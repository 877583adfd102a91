package store

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
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
	if v := s.current.Load(); st.View != nil && st.expects(v) { // or else another view stands in for it
		served = v.id
	}
	if version == served {
		return ViewRecord{}, fmt.Errorf("view %s: %w", version, ErrAlreadyThere)
	}
	there, lost := false, ""
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
		lost = cmp.Or(lost, h.ID)
	}
	r := s.named(st, version)
	switch {
	case lost != "" && !there && !alone:
		return ViewRecord{}, fmt.Errorf("%s, in view %s: a tree of that view is lost, until its source brings it again; with --alone a release is served by itself: %w", version, lost, ErrNotHeld)
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
	below := st.View.Number
	if st.View.Alone {
		below++
	}
	for _, h := range st.History {
		if h.Number < below && !h.Alone && h.ID != st.View.ID && s.holds(st, h) && !st.spoilt(h.Releases) {
			return h, nil
		}
	}
	return ViewRecord{}, fmt.Errorf("a view before %s that can be served: %w", st.View.ID, ErrNotHeld)
}

// holds says whether all releases of a view are held, with a tree each.
func (s *Store) holds(st *state, h ViewRecord) bool {
	return len(s.readable(st, h.Releases)) == len(h.Releases)
}

// readable are those of some releases that are held, with a tree that is not known to be
// lost.
func (s *Store) readable(st *state, keys []ReleaseKey) (readable []ReleaseKey) {
	for _, k := range keys {
		if r := st.release(k); r != nil && s.canRead(r.Layer) {
			readable = append(readable, k)
		}
	}
	return readable
}

// canRead says whether the tree of a layer can be had, as far as is known.
func (s *Store) canRead(layer digest.Digest) bool {
	t, err := s.loaded.acquire(layer)
	if err == nil {
		s.loaded.release(t)
	}
	// A tree that may not be read stays so until somebody comes: nobody can wait for it.
	return err == nil || isTransient(err) && !errors.Is(err, fs.ErrPermission)
}

// Pin serves a view that Target found and stays there: what sources contribute
// from then on is held but not served, until Unpin. Kind is what the history calls
// it, pin or rollback; reason says, for people, what was asked for. To hold the
// served view itself is no error here.
func (s *Store) Pin(target ViewRecord, kind, reason string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.state.Load().clone()
	if target.Number == 0 {
		target.Number = next.numberOf(target.ID)
	}
	now := wall()
	next.Pin = &Pin{View: target.ID, Number: target.Number, Since: now.UTC(), Reason: reason}
	next.event(now, kind, "", "%s: holding %s", reason, target.ID)
	if _, err := s.serve(next, target.Releases); err != nil {
		return fmt.Errorf("hold view %s: %w", target.ID, err)
	}
	s.saveAgain()
	return nil
}

// numberOf is the number of the view that should be served, where it is meant, else of the
// newest that following led to; 0 if it is none of them.
func (s *state) numberOf(id string) int {
	if s.View != nil && s.View.ID == id {
		return s.View.Number
	}
	for _, h := range s.History {
		if h.ID == id && !h.Alone {
			return h.Number
		}
	}
	return 0
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
	if swapped, err = s.serveDesired(next, true); err != nil {
		return false, fmt.Errorf("go back to following: %w", err)
	}
	s.standInClean()
	s.saveAgain()
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
