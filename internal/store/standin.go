package store

import "slices"

// While a tree of the view that should be served is lost, another view stands in for it,
// and the state goes on naming the one that is lost.

// candidate is a view that may stand in for the one that should be served.
type candidate struct {
	ViewRecord
	part      bool // what can be had of it will do, too
	newer     bool // it is newer than the pinned view, and was not to be served
	forgotten bool // a release of it is
}

// standIns are the views that may stand in for the one that should be served, best first:
// those of the history, the newest first, then what can be had of what is followed. Where a
// view is pinned what is newer was not to be served, and comes after what is older and what
// can be had of the pinned one. What somebody has forgotten comes last.
func (s *Store) standIns(st *state) (all []candidate) {
	known := map[string]bool{}
	if st.Pin != nil || !st.spoilt(st.View.Releases) {
		known[st.View.ID] = true
	}
	var newer, forgotten []candidate
	for _, h := range st.History {
		if known[h.ID] || h.Alone { // somebody's trial
			continue
		}
		known[h.ID] = true
		switch {
		case st.spoilt(h.Releases):
			forgotten = append(forgotten, candidate{ViewRecord: h, forgotten: true})
		case st.Pin != nil && h.Number > st.View.Number:
			newer = append(newer, candidate{ViewRecord: h, newer: true})
		default:
			all = append(all, candidate{ViewRecord: h})
		}
	}
	if st.Pin != nil {
		all = append(all, candidate{ViewRecord: *st.View, part: true})
	}
	all = append(all, newer...)
	all = append(all, candidate{ViewRecord: ViewRecord{Releases: s.desired(st)}, part: true, newer: st.Pin != nil})
	return append(all, forgotten...)
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
