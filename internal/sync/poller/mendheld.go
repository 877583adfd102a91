package poller

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/archive"
	"github.com/specman/specman/internal/sync/unpack"
)

// lostPause is how long a layer that could not be fetched anew is not asked for
// again: mostly the registry has it no more.
const lostPause = time.Hour

// mendHeld fetches anew what is damaged, held, and not followed: of a view that is
// pinned, or could be gone back to. A registry mostly still has a layer when its tag
// has moved on. What is damaged of what is followed, the sync itself brings. That it
// cannot be had is no failure of the sync: what is followed is as it should be.
func (s *pass) mendHeld(ctx context.Context) {
	for _, layer := range s.Store.Harmed() {
		r, ok := s.heldAside(layer)
		if !ok || !s.force && time.Now().Before(s.lost[layer]) {
			continue
		}
		err := FetchTree(ctx, s.Source, s.Store, r, s.Limits)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			if s.lost == nil {
				s.lost = make(map[digest.Digest]time.Time)
			}
			s.lost[layer] = time.Now().Add(lostPause)
			s.log.Warn("A damaged release cannot be fetched anew", "tag", r.Tag, "manifest", r.Manifest, "error", err,
				"cure", "push its archive again and run `specman verify --repair`, or import it")
			continue
		}
		delete(s.lost, layer)
		s.log.Info("A damaged release was fetched anew", "tag", r.Tag, "manifest", r.Manifest)
	}
}

// heldAside finds a release with that layer that this source has brought, and that
// none of its follows is about.
func (s *pass) heldAside(layer digest.Digest) (found store.Release, ok bool) {
	for _, r := range s.Store.Releases() {
		if r.Source != s.Name || r.Layer != layer {
			continue
		}
		for _, f := range s.follows {
			if f.Reference == r.Tag && f.registry == r.Manifest {
				return store.Release{}, false
			}
		}
		found, ok = r, true
	}
	return found, ok
}

// Blobs is where a layer is fetched from.
type Blobs interface {
	Blob(ctx context.Context, layer ocispec.Descriptor) (io.ReadCloser, error)
}

// FetchTree publishes the tree of a held release anew. It was judged when it was
// first had: the same digest is the same content.
func FetchTree(ctx context.Context, from Blobs, st *store.Store, r store.Release, limits archive.Limits) error {
	if err := st.MakeSpace(r.Size, int64(r.Files)); err != nil {
		return err
	}
	body, err := from.Blob(ctx, ocispec.Descriptor{Digest: r.Layer, Size: r.Size})
	if err != nil {
		return err
	}
	defer body.Close()
	tree, err := unpack.Stream(ctx, st, body, r.Layer, limits)
	if err != nil {
		return fmt.Errorf("unpack %s of %s: %w", r.Archive, r.Tag, err)
	}
	defer tree.Staging.Discard()
	return tree.Staging.Publish()
}
