package oci

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// orasConfigTypes are the config media types of what `oras push` makes: 1.0's,
// that of 1.1 and later, and none at all for the short-lived artifact manifest.
var orasConfigTypes = []string{
	"application/vnd.unknown.config.v1+json",
	ocispec.MediaTypeEmptyJSON,
	"",
}

// ChooseLayer picks the archive among a manifest's layers: the one whose title
// has the base name of title (titles can be paths), else the only layer there
// is. For a tag that a pattern selected, the only layer counts just under
// ORAS's own config types, since patterns also meet charts and images.
//
// What holds no such layer is an error that is [ErrNoArchive].
func ChooseLayer(m *Manifest, title string, byPattern bool) (ocispec.Descriptor, error) {
	if m.isIndex() {
		return ocispec.Descriptor{}, fmt.Errorf("an index of several manifests: %w", ErrNoArchive)
	}
	files := slices.DeleteFunc(slices.Clone(m.Layers), func(layer ocispec.Descriptor) bool {
		return layer.MediaType == ocispec.MediaTypeEmptyJSON // stands for "no file"
	})

	var titled []ocispec.Descriptor
	for _, layer := range files {
		if name := baseName(layerTitle(layer)); name != "" && name == baseName(title) {
			titled = append(titled, layer)
		}
	}
	if len(titled) > 1 {
		titled = slices.DeleteFunc(titled, func(layer ocispec.Descriptor) bool { return layerTitle(layer) != title })
		if len(titled) != 1 {
			return ocispec.Descriptor{}, fmt.Errorf("several layers are titled %q: %w", baseName(title), ErrNoArchive)
		}
	}
	if len(titled) == 1 {
		return titled[0], nil
	}

	switch {
	case len(files) == 0:
		return ocispec.Descriptor{}, fmt.Errorf("it holds no layer: %w", ErrNoArchive)
	case len(files) > 1:
		return ocispec.Descriptor{}, fmt.Errorf("none of its %d layers is titled %q: %w", len(files), title, ErrNoArchive)
	case byPattern && !slices.Contains(orasConfigTypes, m.ConfigMediaType):
		return ocispec.Descriptor{}, fmt.Errorf("its layer is not titled %q, and its config is %s, not one of ORAS: %w", title, m.ConfigMediaType, ErrNoArchive)
	case byPattern && strings.HasSuffix(files[0].MediaType, "+json"):
		// Signatures and attestations come under ORAS's config types too.
		return ocispec.Descriptor{}, fmt.Errorf("its layer is %s: %w", files[0].MediaType, ErrNoArchive)
	}
	return files[0], nil
}

// LayerName is the file name under which a layer was pushed, otherwise
// where it has no title.
func LayerName(layer ocispec.Descriptor, otherwise string) string {
	return cmp.Or(baseName(layerTitle(layer)), otherwise)
}

func layerTitle(layer ocispec.Descriptor) string {
	return layer.Annotations[ocispec.AnnotationTitle]
}

func baseName(title string) string {
	if title == "" {
		return ""
	}
	return path.Base(strings.ReplaceAll(title, `\`, "/"))
}
