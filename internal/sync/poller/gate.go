package poller

import (
	"context"

	"github.com/opencontainers/go-digest"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/gate"
)

// gate returns why a tree may not become part of the view.
func (s *pass) gate(ctx context.Context, f *follow, tree gate.Tree) *Failure {
	if s.force {
		return nil
	}
	c := gate.Candidate{Tree: tree, Beside: s.beside(f)}
	if f.release != nil {
		c.Last = f.release.Layer
	}
	err := s.Gate.Judge(ctx, s.Store, c)
	if err == nil {
		return nil
	}
	failure := fail(StageGate, f.Reference, f.registry.String(), err)
	failure.refused = ctx.Err() == nil // else it was not let judge
	failure.Cure = "mend and push it again; if it is meant to be so, `specman sync --force` lets it pass"
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
