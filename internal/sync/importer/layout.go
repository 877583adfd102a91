package importer

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/archive"
	"github.com/specman/specman/internal/sync/gate"
	"github.com/specman/specman/internal/sync/oci"
	"github.com/specman/specman/internal/sync/unpack"
)

// maxIndexBytes bounds the two small files of a layout that are read here.
const maxIndexBytes = 16 << 20

// IsLayout says whether an archive that holds an index.json is an OCI image layout
// (image-spec, image-layout.md), by its marker file, oci-layout.
func IsLayout(mark io.Reader) bool {
	var layout ocispec.ImageLayout
	return decode(mark, &layout) == nil && layout.Version != ""
}

func isLayout(staged *store.Staging) bool {
	if !staged.Has(ocispec.ImageIndexFile) {
		return false
	}
	mark, err := os.Open(filepath.Join(staged.Folder(), ocispec.ImageLayoutFile))
	if err != nil {
		return false
	}
	defer mark.Close()
	return IsLayout(mark)
}

func decode(r io.Reader, into any) error {
	return json.NewDecoder(io.LimitReader(r, maxIndexBytes)).Decode(into)
}

// Layout is an OCI image layout with what of it is to be imported.
type Layout struct {
	*oci.Repository
	// References are tags, or the digest of the only manifest where that has no tag.
	References []string
}

// OpenLayout opens the files of a layout; name is for people. With a tag, it is that
// release alone which is to be imported, of a layout with several.
func OpenLayout(ctx context.Context, files fs.FS, name, tag string) (*Layout, error) {
	repository, err := oci.OpenLayoutFS(files, name)
	if err != nil {
		return nil, err
	}
	l := &Layout{Repository: repository}
	l.References, err = choose(ctx, repository, files, tag)
	return l, err
}

// Several says that nobody named the releases one by one, so that what holds no archive
// is passed over.
func (l *Layout) Several() bool { return len(l.References) > 1 }

// layout imports what an unpacked layout holds.
func (i *run) layout(ctx context.Context, folder string) error {
	l, err := OpenLayout(ctx, os.DirFS(folder), "the OCI layout", i.Tag)
	if err != nil {
		return fmt.Errorf("import an OCI layout: %w", err)
	}
	refuse := func(reference string, why error) error {
		if !l.Several() || !isItsFault(why) {
			return fmt.Errorf("import %s of an OCI layout: %w", reference, why)
		}
		i.passedOver = append(i.passedOver, PassedOver{reference, why.Error(), !errors.Is(why, oci.ErrNoArchive)})
		return nil
	}
	for _, reference := range l.References {
		if err := i.artifact(ctx, l, reference); err != nil {
			if err := refuse(reference, err); err != nil {
				return err
			}
		}
	}
	if err := i.judgeTogether(func(s *staged, why error) error { return refuse(s.reference, why) }); err != nil {
		return err
	}
	place := func(p PassedOver) int { return slices.Index(l.References, p.Tag) }
	slices.SortFunc(i.passedOver, func(a, b PassedOver) int { return place(a) - place(b) })
	if len(i.staged) == 0 {
		return fmt.Errorf("import an OCI layout: none of its %d tags can be served; %s: %s", len(l.References), i.passedOver[0].Tag, i.passedOver[0].Reason)
	}
	return nil
}

// isItsFault says that an artifact cannot be served, rather than that the store, or
// whoever asks, cannot go on.
func isItsFault(err error) bool {
	var transport *oci.Error
	return errors.Is(err, oci.ErrNoArchive) || errors.As(err, new(*archive.RefusedError)) || errors.As(err, new(*gate.RefusedError)) ||
		errors.As(err, &transport) && transport.Kind != oci.Canceled
}

// choose returns the tags to import, or the digest of the only manifest where that has
// no tag.
func choose(ctx context.Context, repository *oci.Repository, files fs.FS, tag string) ([]string, error) {
	tags, err := repository.Tags(ctx)
	if err != nil {
		return nil, err
	}
	switch {
	case len(tags) == 0:
		return onlyManifest(files)
	case len(tags) == 1 || tag == "":
		return tags, nil
	case slices.Contains(tags, tag):
		return []string{tag}, nil
	}
	return nil, fmt.Errorf("none of its %d tags is %s: %s", len(tags), tag, strings.Join(tags[:min(len(tags), 20)], ", "))
}

func onlyManifest(files fs.FS) ([]string, error) {
	f, err := files.Open(ocispec.ImageIndexFile)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var index ocispec.Index
	if err := decode(f, &index); err != nil {
		return nil, err
	}
	if len(index.Manifests) != 1 {
		return nil, fmt.Errorf("it holds %d manifests, and no tag that names one", len(index.Manifests))
	}
	return []string{index.Manifests[0].Digest.String()}, nil
}

// artifact imports what one tag, or the only manifest, holds.
func (i *run) artifact(ctx context.Context, l *Layout, reference string) error {
	m, err := l.Manifest(ctx, reference)
	if err != nil {
		return err
	}
	layer, err := oci.ChooseLayer(m, i.Archive, l.Several())
	if err != nil {
		return err
	}
	tree, err := i.unpackLayer(ctx, l, layer)
	if err != nil {
		return err
	}
	defer i.discardUnneeded(tree)
	r := store.Release{Tag: cmp.Or(i.Tag, reference), Archive: oci.LayerName(layer, i.Archive), Manifest: m.Digest, Created: m.Created}
	if r.Tag == m.Digest.String() {
		r.Tag = defaultTag
	}
	return i.stage(ctx, tree, &staged{Release: r, reference: reference})
}

// unpackLayer stages a layer, or finds it staged for another tag.
func (i *run) unpackLayer(ctx context.Context, l *Layout, layer ocispec.Descriptor) (*unpack.Tree, error) {
	for _, s := range i.staged {
		if s.Layer == layer.Digest {
			return s.tree, nil
		}
	}
	body, err := l.Blob(ctx, layer)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return i.unpack(ctx, body, layer.Digest, layer.Size)
}
