package main

import (
	"context"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/specman/specman/internal/config"
	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/archive"
	"github.com/specman/specman/internal/sync/oci"
	"github.com/specman/specman/internal/sync/unpack"
)

// refetch fetches the layers of damaged trees that no sync would bring, because
// nothing that is followed has them: of a view that is pinned, or could be gone back
// to. A registry mostly still has a layer when the tag has moved on. What it has not
// is no error: the store says what is left.
func (g *sources) refetch(ctx context.Context) error {
	cfg := g.config()
	for n := range cfg.Sources {
		if s := &cfg.Sources[n]; s.Repository != "" {
			if err := g.refetchFrom(ctx, s, archiveLimits(cfg)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (g *sources) refetchFrom(ctx context.Context, s *config.Source, limits archive.Limits) error {
	var repository *oci.Repository // not the poller's: that is the poller's alone
	for _, r := range g.store.Releases() {
		if r.Source != s.Name || g.store.HasTree(r.Layer) {
			continue
		}
		if repository == nil {
			var err error
			if repository, err = oci.Open(connection(s, g.metrics.oci, g.log)); err != nil {
				return fmt.Errorf("source %s: %w", s.Name, err)
			}
		}
		if err := fetchTree(ctx, repository, g.store, r, limits); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			g.log.Warn("A damaged release cannot be fetched anew", "source", r.Source, "tag", r.Tag, "manifest", r.Manifest, "error", err)
			continue
		}
		g.log.Info("A damaged release was fetched anew", "source", r.Source, "tag", r.Tag, "manifest", r.Manifest)
	}
	return nil
}

// fetchTree publishes the tree of a held release anew. It was judged when it was
// first had: the same digest is the same content.
func fetchTree(ctx context.Context, repository *oci.Repository, st *store.Store, r store.Release, limits archive.Limits) error {
	if err := st.MakeSpace(r.Size, int64(r.Files)); err != nil {
		return err
	}
	body, err := repository.Blob(ctx, ocispec.Descriptor{Digest: r.Layer, Size: r.Size})
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
