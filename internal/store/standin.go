package store

import "slices"

// While a tree of the view that should be served is lost, another view stands in for it,
// and the state goes on naming the one that is lost.

// standIns are the views of the history that may stand in for the one that should be
// served, newest first. Where that is pinned, what is newer was not to be served, and is
// only where no older one is whole and nothing of the pinned one can be read. What somebody
// has forgotten comes last.
func (s *state) standIns() (views, newer, spoilt []ViewRecord) {
	known := map[string]bool{}
	if s.Pin != nil || !s.spoilt(s.View.Releases) {
		known[s.View.ID] = true
	}
	for _, h := range s.History {
		if known[h.ID] || h.Alone { // somebody's trial
			continue
		}
		known[h.ID] = true
		switch {
		case s.spoilt(h.Releases):
			spoilt = append(spoilt, h)
		case s.Pin != nil && h.Number > s.View.Number:
			newer = append(newer, h)
		default:
			views = append(views, h)
		}
	}
	return views, newer, spoilt
}

// standInKeys are the releases that stand in where no whole view can: what can be read of
// the pinned view, and of what is followed where none is, or nothing of it can be read.
func (s *Store) standInKeys(st *state) []ReleaseKey {
	if st.Pin != nil {
		if keys := s.readable(st, st.View.Releases); len(keys) > 0 {
			return keys
		}
	}
	return s.readable(st, s.desired(st))
}

// standIn returns a view of some releases, none of them known to be lost, for where no
// view that was to be served is whole; nil where there are none.
func (s *Store) standIn(keys []ReleaseKey, old *View) (*View, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	v, err := s.buildView(keys)
	if err != nil {
		return nil, err
	}
	v.date(0, old)
	return v, nil
}

// standInBetter has what can be read of what is followed served, where nothing is, or
// where better prefers it to a part of it that already stands in. A view of the history
// stays: it was whole.
func (s *Store) standInBetter(st *state, readable []ReleaseKey, better func(now, then []ReleaseKey) bool) (swapped bool, err error) {
	old := s.current.Load()
	if old != nil && (st.expects(old) || st.wasServed(old) || !better(old.keys(), readable)) {
		return false, nil
	}
	v, err := s.standIn(readable, old)
	if err != nil && old != nil { // what is followed is noted by now, and something is served
		s.log.Warn("What should be served is lost, and what can be read of what is followed cannot be laid out; the next sync tries again", "error", err)
		return false, nil
	}
	if v == nil {
		return false, err
	}
	s.replaceForNow(old, v)
	s.log.Warn("What should be served is lost; what can be read of what is followed stands in for it", "serving", v.id)
	return true, nil
}

// wasServed says whether following, or somebody, once led to a view.
func (s *state) wasServed(v *View) bool {
	return slices.ContainsFunc(s.History, func(h ViewRecord) bool { return h.ID == v.id })
}

// partOf says whether a view of some releases has none but those of another one.
func partOf(some, all []ReleaseKey) bool {
	return !slices.ContainsFunc(some, func(k ReleaseKey) bool { return !slices.Contains(all, k) })
}
