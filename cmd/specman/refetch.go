package main

import (
	"context"
	"fmt"

	"github.com/specman/specman/internal/config"
	"github.com/specman/specman/internal/sync/archive"
	"github.com/specman/specman/internal/sync/oci"
	"github.com/specman/specman/internal/sync/poller"
)

// refetch fetches the layers of damaged trees that the sync before it did not bring:
// what is not followed and could not be had lately, a sync asks for again after an
// hour only, and whoever repairs now wants to know now. What the registry has no more
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
		if err := poller.FetchTree(ctx, repository, g.store, r, limits, g.store.MakeSpace); err != nil {
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
