package kube

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"os"
	"runtime"

	digest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// PauseImage is what holds a pod's namespaces.
const PauseImage = "localhost/pause:test"

// WriteImage writes an OCI archive of an image that holds one static program, /program.
func WriteImage(archive, name, program string) error {
	content, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	layer := tarOf(file{"program", content, 0o755})
	config, err := json.Marshal(ocispec.Image{
		Platform: ocispec.Platform{Architecture: runtime.GOARCH, OS: "linux"},
		Config:   ocispec.ImageConfig{Entrypoint: []string{"/program"}},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(layer)}},
	})
	if err != nil {
		return err
	}
	manifest, err := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    descriptor(ocispec.MediaTypeImageConfig, config),
		Layers:    []ocispec.Descriptor{descriptor(ocispec.MediaTypeImageLayer, layer)},
	})
	if err != nil {
		return err
	}
	top := descriptor(ocispec.MediaTypeImageManifest, manifest)
	// The first is for containerd, the second for everybody else.
	top.Annotations = map[string]string{"io.containerd.image.name": name, ocispec.AnnotationRefName: name}
	index, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{top}})
	if err != nil {
		return err
	}
	files := []file{
		{ocispec.ImageLayoutFile, []byte(`{"imageLayoutVersion": "1.0.0"}`), 0o644},
		{ocispec.ImageIndexFile, index, 0o644},
	}
	for _, blob := range [][]byte{layer, config, manifest} {
		files = append(files, file{"blobs/sha256/" + digest.FromBytes(blob).Encoded(), blob, 0o644})
	}
	return os.WriteFile(archive, tarOf(files...), 0o600)
}

func descriptor(mediaType string, content []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(content), Size: int64(len(content))}
}

type file struct {
	name    string
	content []byte
	mode    int64
}

func tarOf(files ...file) []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		// A buffer takes every write, and the headers are well formed.
		_ = w.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.content)), Typeflag: tar.TypeReg})
		_, _ = w.Write(f.content)
	}
	_ = w.Close()
	return out.Bytes()
}
