package poller

import (
	"context"
	"errors"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/gate"
)

// gate returns why the tree of a layer may not become part of the view. What is held
// under the tag already has been judged, or was let pass by a person: a new manifest of
// it, a source that was renamed, or a repair is no reason to judge it again.
func (s *pass) gate(ctx context.Context, f *follow, layer digest.Digest, tree gate.Tree) *Failure {
	judged := func(r store.Release) bool { return r.Tag == f.Reference && r.Layer == layer }
	if s.ask.Force || slices.ContainsFunc(s.Store.Releases(), judged) {
		return nil
	}
	c := gate.Candidate{Tree: tree, Beside: s.beside(f)}
	if f.release != nil {
		c.Last = f.release.Layer
	}
	if err := s.Gate.Judge(ctx, s.Store, c); err != nil {
		return s.gateFailure(f, err)
	}
	return nil
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

// beside are the layers that the view would hold beside a follow's: those that this
// source contributes after the pass, which may not be followed yet, and those of the
// other sources.
func (s *pass) beside(but *follow) []digest.Digest {
	layers := gate.Layers(s.Store, func(k store.ReleaseKey) bool { return k.Source != s.Name })
	for _, f := range s.follows {
		if f != but && f.release != nil {
			layers = append(layers, f.release.Layer)
		}
	}
	return layers
}
