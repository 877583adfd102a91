package poller

import (
	"cmp"
	"slices"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/gate"
	"github.com/specman/specman/internal/sync/selector"
)

// What the view must hold (gate.requirePaths) may come from any release. The top of the
// view is got first: while the view would lack a path with it, it waits for those below
// it, which may bring that path. So it does not matter what is there already, and each
// replica comes to the same view.

// take has a release contribute whose tree is held, and what waits with it, unless the
// view would lack a required path: then it waits, too.
func (s *pass) take(f *follow, r *store.Release) (goOn bool) {
	f.waiting = r
	waiting := s.waiting()
	switch {
	case len(s.required.Lacking(s.view(waiting))) == 0:
		return s.add(waiting)
	case s.exempt(f, r):
		return s.add([]*follow{f})
	}
	return true
}

// decide settles, when nothing more is to be had, what still waits. Where another follow
// was not had that may bring what is lacking, what fails is not refused, and waits on.
func (s *pass) decide() (goOn bool) {
	waiting := s.waiting()
	if len(waiting) == 0 {
		return true
	}
	admitted, refused := gate.Admit(s.required, waiting, s.view)
	goOn = len(admitted) == 0 || s.add(admitted)
	again := slices.ContainsFunc(s.follows, func(f *follow) bool { return f.waiting == nil && !f.decided() })
	for _, f := range waiting {
		err := refused[f]
		if err == nil {
			continue
		}
		failure := s.gateFailure(f, err)
		if !again {
			goOn = s.giveUp(f, failure) && goOn
			continue
		}
		failure.refused = false
		failure.Cure = "see why another release could not be had: it may bring what is lacking, and then this one is judged again"
		f.failure = failure
		goOn = s.failed(failure) && goOn
	}
	return goOn
}

// waiting are the follows whose releases wait, top first.
func (s *pass) waiting() []*follow {
	var waiting []*follow
	for _, r := range s.rank(func(f *follow) *selector.Candidate { return facts(cmp.Or(f.waiting, f.release)) }) {
		if r.waiting != nil {
			waiting = append(waiting, r.follow)
		}
	}
	return waiting
}

// view returns the releases of the view, top first, that following would lead to if what
// waits of some follows contributed.
func (s *pass) view(with []*follow) []store.Release {
	release := func(f *follow) *store.Release {
		if slices.Contains(with, f) {
			return f.waiting
		}
		return f.release
	}
	var contributes []store.Release
	for _, r := range s.rank(func(f *follow) *selector.Candidate { return facts(release(f)) }) {
		contributes = append(contributes, *release(r.follow))
	}
	return s.Store.DesiredWith(s.Name, contributes)
}

// open says whether what other follows will contribute is not known yet.
func (s *pass) open(but *follow) bool {
	return slices.ContainsFunc(s.follows, func(f *follow) bool { return f != but && !f.decided() })
}

// decided says whether it is known what a follow contributes after this sync, for as long
// as the registry stays as it is.
func (f *follow) decided() bool {
	switch {
	case f.vanished:
		return true
	case !f.asked:
		return false
	case f.refusal != nil, f.passedOver, f.forgotten, f.excluded:
		return true
	}
	return f.release != nil && f.release.Manifest == f.registry
}
