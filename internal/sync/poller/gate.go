package poller

import (
	"context"

	"github.com/opencontainers/go-digest"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/gate"
)

// gate returns why a sealed tree may not become part of the view.
func (s *pass) gate(ctx context.Context, f *follow, staged *store.Staging) error {
	if s.force {
		return nil
	}
	c := gate.Candidate{Staged: staged, Beside: s.beside(f)}
	if f.release != nil {
		c.Last = f.release.Layer
	}
	return s.Gate.Judge(ctx, s.Store, c)
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
