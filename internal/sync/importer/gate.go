package importer

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/gate"
	"github.com/specman/specman/internal/sync/unpack"
)

// judge asks the gate about what is to be imported under a tag. A person imports, but a
// person also makes the tar in the wrong folder, and where there is no registry nobody
// else would ask. Whoever means it says so with Force.
func (i *run) judge(ctx context.Context, tree *unpack.Tree, tag string) error {
	if i.Force {
		return nil
	}
	c := gate.Candidate{Tree: tree.Staging, Last: i.last(tag), Beside: i.beside(tag)}
	err := i.Gate.Judge(ctx, i.store, c)
	if errors.As(err, new(*gate.RefusedError)) {
		return fmt.Errorf("the gate holds it back: %w (if it is meant to be so, --force imports it)", err)
	}
	return err
}

// last is the layer of the release that an import under tag takes the place of.
func (i *run) last(tag string) digest.Digest {
	for _, c := range i.store.Following(store.ImportSource) {
		if c.Tag == tag {
			r, _ := i.store.Release(store.ReleaseKey{Source: store.ImportSource, Tag: tag, Manifest: c.Manifest})
			return r.Layer
		}
	}
	return ""
}

// beside are the layers that the view would hold beside it: all that is followed, a
// registry's release of the same tag included, and what this run has imported so far.
func (i *run) beside(tag string) []digest.Digest {
	layers := gate.Layers(i.store, func(k store.ReleaseKey) bool { return k.Source != store.ImportSource || k.Tag != tag })
	for _, r := range i.imported {
		layers = append(layers, r.Layer)
	}
	return layers
}
