package importer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/gate"
	"github.com/specman/specman/internal/sync/unpack"
)

// judge asks the gate about what is to be imported under a tag, by itself. A person
// imports, but a person also makes the tar in the wrong folder, and where there is no
// registry nobody else would ask. Whoever means it says so with Force.
func (i *run) judge(ctx context.Context, tree *unpack.Tree, tag string) error {
	if i.Force {
		return nil
	}
	return gateError(i.Gate.Judge(ctx, i.store, gate.Candidate{Tree: tree.Staging, Last: i.last(tag)}))
}

// judgeTogether asks the gate about the view that would come of all that is staged. Of
// several releases of a layout one may bring what the view would lack with another
// alone. What is held back is given to refuse, and not imported; an error of refuse ends
// the import.
func (i *run) judgeTogether(refuse func(s *staged, why error) error) error {
	if i.Force {
		return nil
	}
	admitted, refused := gate.Admit(i.required, i.topFirst(), i.view)
	for _, s := range i.staged {
		if refused[s] == nil {
			continue
		}
		if err := refuse(s, gateError(refused[s])); err != nil {
			return err
		}
	}
	i.staged = slices.DeleteFunc(i.staged, func(s *staged) bool { return !slices.Contains(admitted, s) })
	for s := range refused {
		i.discardUnneeded(s.tree)
		i.store.Unclaim(s.Key())
	}
	return nil
}

// view returns the releases of the view, top first, that following would lead to if some
// of what is staged were imported.
func (i *run) view(with []*staged) []store.Release {
	var releases, contributes []store.Release
	for _, s := range with {
		releases = append(releases, s.Release)
	}
	for _, c := range order(i.store, releases...) {
		contributes = append(contributes, c.Release)
	}
	return i.store.DesiredWith(store.ImportSource, contributes)
}

// topFirst is what is staged, as it would lie in the view.
func (i *run) topFirst() []*staged {
	var releases []store.Release
	byKey := make(map[store.ReleaseKey]*staged)
	for _, s := range i.staged {
		releases = append(releases, s.Release)
		byKey[s.Key()] = s
	}
	var sorted []*staged
	for _, c := range order(i.store, releases...) {
		if s := byKey[c.Key()]; s != nil {
			sorted = append(sorted, s)
		}
	}
	return sorted
}

func gateError(err error) error {
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
