package importer

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/archive"
	"github.com/specman/specman/internal/sync/gate"
	"github.com/specman/specman/internal/sync/oci"
)

// maxIndexBytes bounds the two small files of a layout that are read here.
const maxIndexBytes = 16 << 20

// isLayout says whether a staged tree is an OCI image layout (image-spec,
// image-layout.md), by its marker file.
func isLayout(staged *store.Staging) bool {
	var mark ocispec.ImageLayout
	return staged.Has(ocispec.ImageIndexFile) &&
		decodeFile(filepath.Join(staged.Folder(), ocispec.ImageLayoutFile), &mark) == nil && mark.Version != ""
}

func decodeFile(name string, into any) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return json.NewDecoder(io.LimitReader(f, maxIndexBytes)).Decode(into)
}

// layout imports what an unpacked layout holds.
func (i *run) layout(ctx context.Context, folder string) error {
	repository, err := oci.OpenLayoutFS(os.DirFS(folder), "the OCI layout")
	if err != nil {
		return err
	}
	references, err := i.choose(ctx, repository, folder)
	if err != nil {
		return fmt.Errorf("import an OCI layout: %w", err)
	}
	several := len(references) > 1
	for _, reference := range references {
		err := i.artifact(ctx, repository, reference, several)
		switch {
		case err == nil:
		case several && isItsFault(err):
			i.passedOver = append(i.passedOver, PassedOver{reference, err.Error(), !errors.Is(err, oci.ErrNoArchive)})
		default:
			return fmt.Errorf("import %s of an OCI layout: %w", reference, err)
		}
	}
	if len(i.imported) == 0 {
		return fmt.Errorf("import an OCI layout: none of its %d tags can be served; %s: %s", len(references), i.passedOver[0].Tag, i.passedOver[0].Reason)
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
func (i *run) choose(ctx context.Context, repository *oci.Repository, folder string) ([]string, error) {
	tags, err := repository.Tags(ctx)
	if err != nil {
		return nil, err
	}
	switch {
	case len(tags) == 0:
		return onlyManifest(folder)
	case len(tags) == 1 || i.Tag == "":
		return tags, nil
	case slices.Contains(tags, i.Tag):
		return []string{i.Tag}, nil
	}
	return nil, fmt.Errorf("none of its %d tags is %s: %s", len(tags), i.Tag, strings.Join(tags[:min(len(tags), 20)], ", "))
}

func onlyManifest(folder string) ([]string, error) {
	var index ocispec.Index
	if err := decodeFile(filepath.Join(folder, ocispec.ImageIndexFile), &index); err != nil {
		return nil, err
	}
	if len(index.Manifests) != 1 {
		return nil, fmt.Errorf("it holds %d manifests, and no tag that names one", len(index.Manifests))
	}
	return []string{index.Manifests[0].Digest.String()}, nil
}

// artifact imports what one tag, or the only manifest, holds.
func (i *run) artifact(ctx context.Context, repository *oci.Repository, reference string, several bool) error {
	m, err := repository.Manifest(ctx, reference)
	if err != nil {
		return err
	}
	layer, err := oci.ChooseLayer(m, i.Archive, several)
	if err != nil {
		return err
	}
	body, err := repository.Blob(ctx, layer)
	if err != nil {
		return err
	}
	defer body.Close()
	tree, err := i.unpack(ctx, body, layer.Digest, layer.Size)
	if err != nil {
		return err
	}
	defer tree.Staging.Discard()
	r := store.Release{Tag: cmp.Or(i.Tag, reference), Archive: i.Archive, Manifest: m.Digest, Created: m.Created}
	if r.Tag == m.Digest.String() {
		r.Tag = defaultTag
	}
	if title := layer.Annotations[ocispec.AnnotationTitle]; title != "" {
		r.Archive = path.Base(title)
	}
	return i.publish(ctx, tree, r)
}
