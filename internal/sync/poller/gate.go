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

// exempt says whether a release is not to be judged. What is held under the tag already
// has been, or was let pass by a person: a new manifest of it, a source that was
// renamed, or a repair is no reason to judge it again.
func (s *pass) exempt(f *follow, r *store.Release) bool {
	judged := func(o store.Release) bool { return o.Tag == f.Reference && o.Layer == r.Layer }
	return s.ask.Force || slices.ContainsFunc(s.Store.Releases(), judged)
}

func (s *pass) gateFailure(f *follow, err error) *Failure {
	failure := fail(StageGate, f.Reference, f.registry.String(), err)
	var refused *gate.RefusedError
	if failure.refused = errors.As(err, &refused); failure.refused {
		failure.Cure = "mend and push it again; if it is meant to be so, `specman sync --force` lets it pass"
	} else {
		failure.Cure = "check gate.command: until it can be asked, no new release is served"
	}
	return failure
}
