package oci_test

import (
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/assert"

	"github.com/specman/specman/internal/sync/oci"
)

func TestChooseLayer(t *testing.T) {
	const (
		oras10  = "application/vnd.unknown.config.v1+json"
		oras11  = "application/vnd.oci.empty.v1+json"
		helm    = "application/vnd.cncf.helm.config.v1+json"
		image   = "application/vnd.oci.image.config.v1+json"
		tarGzip = "application/vnd.oci.image.layer.v1.tar+gzip"
	)
	type layers []ocispec.Descriptor
	layer := func(title string, mediaType ...string) ocispec.Descriptor {
		d := ocispec.Descriptor{MediaType: tarGzip, Digest: digest.FromString(title)}
		if title != "" {
			d.Annotations = map[string]string{ocispec.AnnotationTitle: title}
		}
		if len(mediaType) > 0 {
			d.MediaType = mediaType[0]
		}
		return d
	}
	tests := []struct {
		name      string
		config    string
		layers    layers
		byPattern int // index of the layer chosen, -1 for none
		named     int
	}{
		{"ORAS 1.0", oras10, layers{layer("manifests.tgz")}, 0, 0},
		{"ORAS 1.1", oras11, layers{layer("manifests.tgz")}, 0, 0},
		{"an artifact manifest", "", layers{layer("manifests.tgz")}, 0, 0},
		{"a title that is a path", oras11, layers{layer("readme.md"), layer("/var/www/html/manifests.tgz")}, 1, 1},
		{"a title that is a path of Windows", oras11, layers{layer("readme.md"), layer(`C:\www\manifests.tgz`)}, 1, 1},
		{"another title, alone", oras11, layers{layer("content.tgz")}, 0, 0},
		{"a folder", oras11, layers{layer("html")}, 0, 0},
		{"no title, alone", oras10, layers{layer("")}, 0, 0},
		{"titled, in an image", image, layers{layer("x"), layer("manifests.tgz")}, 1, 1},
		{"an image of one layer", image, layers{layer("")}, -1, 0},
		{"a chart", helm, layers{layer("", "application/vnd.cncf.helm.chart.content.v1.tar+gzip")}, -1, 0},
		{"a signature", image, layers{layer("", "application/vnd.dev.cosign.simplesigning.v1+json")}, -1, 0},
		{"a signature of the new form", oras11, layers{layer("", "application/vnd.dev.sigstore.bundle.v0.3+json")}, -1, 0},
		{"no file", oras11, layers{layer("", oras11)}, -1, -1},
		{"no layer", oras11, nil, -1, -1},
		{"two, none titled", oras11, layers{layer("a"), layer("b")}, -1, -1},
		{"two of the base name", oras11, layers{layer("a/manifests.tgz"), layer("b/manifests.tgz")}, -1, -1},
		{"two of the base name, one exact", oras11, layers{layer("a/manifests.tgz"), layer("manifests.tgz")}, 1, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := &oci.Manifest{MediaType: ocispec.MediaTypeImageManifest, ConfigMediaType: tt.config, Layers: tt.layers}
			for byPattern, want := range map[bool]int{true: tt.byPattern, false: tt.named} {
				got, err := oci.ChooseLayer(m, "manifests.tgz", byPattern)
				if want < 0 {
					assert.ErrorIs(t, err, oci.ErrNoArchive, "by pattern: %t", byPattern)
					continue
				}
				if assert.NoError(t, err, "by pattern: %t", byPattern) {
					assert.Equal(t, tt.layers[want], got)
				}
			}
		})
	}
}

func TestLayerName(t *testing.T) {
	for title, want := range map[string]string{
		"":                       "otherwise.tgz",
		"manifests.tgz":          "manifests.tgz",
		"/var/www/manifests.tgz": "manifests.tgz",
		`C:\www\manifests.tgz`:   "manifests.tgz",
	} {
		layer := ocispec.Descriptor{Annotations: map[string]string{ocispec.AnnotationTitle: title}}
		assert.Equal(t, want, oci.LayerName(layer, "otherwise.tgz"))
	}
}
