package poller

import (
	"context"
	"fmt"
	"io"
	"io/fs"

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

// openIn opens a file of a view by its path.
func openIn(v *store.View, name string) (io.ReadCloser, error) {
	e, ok := v.Lookup(name)
	if !ok || e.Kind != store.File {
		return nil, fmt.Errorf("open %q: %w", name, fs.ErrNotExist)
	}
	f, err := v.Open(e)
	if err != nil {
		return nil, err
	}
	return f, nil
}
