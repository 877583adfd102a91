package store

import (
	"slices"
	"time"
)

// dated is the state with all that is out of use dated, and not in the future. What goes
// out of use without a swap, as when the sources of a pinned store change, or one stand-in
// takes the place of another, nobody has dated; changed says whether there is any.
func (s *Store) dated() (st *state, changed bool) {
	old := s.state.Load()
	st = old.clone()
	s.demote(st, s.current.Load())
	return st, !slices.EqualFunc(st.Releases, old.Releases, func(a, b Release) bool { return a.Demoted.Equal(b.Demoted) })
}

// inUse are the releases that are followed, pin or no pin, lost or not, in the served
// view, or in the one that should be served.
func (s *Store) inUse(st *state, served *View) map[ReleaseKey]bool {
	keys := s.followed(st)
	for _, source := range s.options().Sources {
		for _, c := range st.Following[source] {
			if c.Lost {
				keys = append(keys, ReleaseKey{source, c.Tag, c.Manifest})
			}
		}
	}
	if served != nil {
		keys = append(keys, served.keys()...)
	}
	if st.View != nil {
		keys = append(keys, st.View.Releases...)
	}
	inUse := make(map[ReleaseKey]bool)
	for _, k := range keys {
		inUse[k] = true
	}
	return inUse
}

// demote dates the releases that are not in use. What goes out of use now did so last,
// wherever the clock was before, and also where it was out of use before it stood in for
// another.
func (s *Store) demote(st *state, served *View) {
	inUse, was := s.inUse(st, served), s.inUse(s.state.Load(), s.current.Load())
	now := wall()
	var before, leaving []*Release
	for n := range st.Releases {
		r := &st.Releases[n]
		switch {
		case inUse[r.Key()]:
			r.Demoted = time.Time{}
		case r.Demoted.IsZero(), was[r.Key()]:
			leaving = append(leaving, r)
		default:
			before = append(before, r)
		}
	}
	putBefore(before, now) // what leaves now does so later, and nothing is held until a clock is there again
	for _, r := range leaving {
		r.Demoted = now.UTC()
	}
}

// demoted are the releases that went out of use.
func (s *state) demoted() (out []*Release) {
	for n := range s.Releases {
		if r := &s.Releases[n]; !r.Demoted.IsZero() {
			out = append(out, r)
		}
	}
	return out
}

// putBefore has releases that went out of use before now have dates before now, in the
// order that they have. Of what went out of use while the clock was ahead nobody knows when
// that was: it has its grace from when the clock is seen to be set back.
func putBefore(releases []*Release, now time.Time) {
	first := now.Add(-time.Duration(len(releases)))
	ahead := slices.DeleteFunc(releases, func(r *Release) bool { return r.Demoted.Before(first) })
	slices.SortStableFunc(ahead, func(a, b *Release) int { return a.Demoted.Compare(b.Demoted) })
	for n, r := range ahead {
		r.Demoted = now.Add(time.Duration(n - len(ahead))).UTC()
	}
}
