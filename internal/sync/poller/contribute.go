package poller

import (
	"slices"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/selector"
)

// contribute ranks what the follows contribute and tells the store. It is also
// called before the end of a sync, when the first release of an empty store is
// there.
func (s *pass) contribute() {
	var order []store.Contribution
	for _, ranked := range s.rank(func(f *follow) *selector.Candidate { return facts(f.release) }) {
		f := ranked.follow
		f.rank = ranked.Reason
		order = append(order, store.Contribution{Tag: f.Reference, Manifest: f.release.Manifest, Reason: f.rank})
	}
	if len(order) == 0 && len(s.failures) > 0 {
		return // what was contributed stays until something whole takes its place
	}
	contributes := order
	for _, f := range s.follows {
		if s.mayReturn(f) {
			contributes = append(contributes, store.Contribution{Tag: f.Reference, Manifest: f.lost.Manifest, Reason: "lost", Lost: true})
		}
	}
	if len(contributes) > len(order) && (len(order) == 0 || s.Store.Pinned() != nil || s.wouldLose(order)) {
		// What stands in for it, or is pinned, is whole: a part of what is followed must
		// not take its place because the registry, or the disk, has a bad moment.
		return
	}
	swapped, err := s.Store.Follow(s.Name, contributes)
	if err != nil {
		s.failed(fail(StagePublish, "", "", err))
		return
	}
	s.swapped = s.swapped || swapped
	if len(order) > 0 {
		slices.SortStableFunc(s.follows, func(a, b *follow) int { return place(order, a) - place(order, b) })
	}
}

// wouldLose says whether something of this source is served that is no part of order.
func (s *pass) wouldLose(order []store.Contribution) bool {
	v := s.Store.Acquire()
	if v == nil {
		return false
	}
	defer v.Close()
	return slices.ContainsFunc(v.Releases(), func(r store.Release) bool {
		return r.Source == s.Name && !slices.ContainsFunc(order, func(c store.Contribution) bool { return c.Tag == r.Tag && c.Manifest == r.Manifest })
	})
}

// ranked is a follow in its place in the view.
type ranked struct {
	*follow
	selector.Ranked
}

// facts are what the place of a release depends on; nil for none.
func facts(r *store.Release) *selector.Candidate {
	if r == nil {
		return nil
	}
	return &selector.Candidate{Manifest: r.Manifest.String(), Created: r.Created, IndexVersion: r.IndexVersion}
}

// rank orders the follows of which facts returns what is known; nil leaves one out.
func (s *pass) rank(facts func(*follow) *selector.Candidate) []ranked {
	var candidates []selector.Candidate
	follows := make(map[string]*follow)
	for _, f := range s.follows {
		if c := facts(f); c != nil {
			c.Selector, c.Tag = f.Selector, f.Tag()
			candidates = append(candidates, *c)
			follows[c.Tag+" "+c.Manifest] = f
		}
	}
	var order []ranked
	for _, r := range selector.Rank(candidates) {
		order = append(order, ranked{follows[r.Tag+" "+r.Manifest], r})
	}
	return order
}

// place is where a follow lies in the view; what contributes nothing comes last.
func place(order []store.Contribution, f *follow) int {
	if n := slices.IndexFunc(order, func(c store.Contribution) bool { return c.Tag == f.Reference }); n >= 0 {
		return n
	}
	return len(order)
}
