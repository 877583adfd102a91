package poller

import (
	"context"
	"errors"
	"slices"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/gate"
)

// gate returns why the tree of a release may not become part of the view. What another
// release may still bring is asked for when that was had: see take and decide.
func (s *pass) gate(ctx context.Context, f *follow, r *store.Release, tree gate.Tree) *Failure {
	if s.exempt(f, r) {
		return nil
	}
	c := gate.Candidate{Tree: tree}
	if f.release != nil {
		c.Last = f.release.Layer
	}
	if err := s.Gate.Judge(ctx, s.Store, c); err != nil {
		return s.gateFailure(f, err)
	}
	s.required.Learn(r.Layer, tree)
	if s.open(f) {
		return nil
	}
	f.waiting = r
	if err := s.required.Judge(s.view([]*follow{f})); err != nil {
		return s.gateFailure(f, err)
	}
	return nil
}

// exempt says whether a release is not to be judged. What the tag contributes already has
// been, or was let pass by a person: a new manifest of it or a repair is no reason to judge
// it again. Where the tag contributes nothing, as after a source was renamed, that goes for
// all that is held under it.
func (s *pass) exempt(f *follow, r *store.Release) bool {
	switch {
	case s.ask.Force:
		return true
	case f.release != nil:
		return f.release.Layer == r.Layer
	}
	judged := func(o store.Release) bool { return o.Tag == f.Reference && o.Layer == r.Layer }
	return slices.ContainsFunc(s.Store.Releases(), judged)
}

// takeOrJudge has a follow contribute a release that is held, or has fetch ask the gate
// first: that a tag moves back does not make it what is meant now, and a replica that does
// not hold the release any more would ask, too.
func (s *pass) takeOrJudge(f *follow, r *store.Release) {
	switch {
	case !s.Gate.Any() || s.exempt(f, r):
		if f.release == nil || f.release.Manifest != r.Manifest {
			s.overrule(f, r)
		}
		f.release = r
	case s.recall(f):
		s.Store.Unclaim(r.Key())
	default:
		f.moving = r
	}
}

// overrule drops what a gate's refusal has left of a release that is held, and is to
// contribute all the same.
func (s *pass) overrule(f *follow, r *store.Release) {
	refused := func(o store.Refusal) bool {
		return o.Manifest == r.Manifest && o.Tag == r.Tag && o.Stage == string(StageGate)
	}
	refusals := s.Store.Refusals(s.Name)
	n := slices.IndexFunc(refusals, refused)
	if n < 0 {
		return
	}
	if err := s.Store.Add(*r); err != nil {
		s.log.Warn("The refusal cannot be dropped", "tag", f.Reference, "error", err)
	}
	if s.ask.Force {
		f.overruled = &refusals[n]
	}
}

func (s *pass) gateFailure(f *follow, err error) *Failure {
	failure := fail(StageGate, f.Reference, f.registry.String(), err)
	var refused *gate.RefusedError
	if failure.refused = errors.As(err, &refused); errors.Is(err, gate.ErrWritten) {
		failure.Cure = "mend gate.command, so that it writes elsewhere; then push the release again, or let it pass with `specman sync --force`"
	} else if failure.refused {
		failure.Cure = "mend and push it again; if it is meant to be so, `specman sync --force` lets it pass"
	} else {
		failure.Cure = "check gate.command: until it can be asked, no new release is served"
	}
	return failure
}
