package poller

import (
	"context"
	"io"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/selector"
)

// takeHeld makes a release of a tree that is held already, under another tag or from
// before: nothing is fetched, and the gate is asked all the same.
func (s *pass) takeHeld(ctx context.Context, f *follow, r *store.Release) *Failure {
	v, err := s.Store.AcquireTree(r.Layer)
	if err != nil {
		return fail(StagePublish, f.Reference, r.Manifest.String(), err)
	}
	defer v.Close()
	r.Files, r.Bytes = v.Files()
	_, r.Skipped = v.Skipped(0)
	r.IndexVersion = s.indexVersion(f.Reference, func(name string) (io.ReadCloser, error) { return openIn(v, name) })
	return s.gate(ctx, f, r, v)
}

func (s *pass) indexVersion(tag string, open func(string) (io.ReadCloser, error)) string {
	version, warnings := selector.HighestIndexVersion(open)
	for _, w := range warnings {
		s.log.Warn("The index of "+tag+" is read in part", "warning", w)
	}
	return version
}
