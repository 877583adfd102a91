//go:build kube

// Package image_test builds the container image as `make image` does and looks at
// what is in it. What it does in a cluster is in test/kube. It is run by `make
// test-kube`, since it compiles for two platforms.
package image_test

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/testenv/image"
)

const name = "localhost/specman:test"

func TestImage(t *testing.T) {
	if _, err := exec.LookPath("buildah"); err != nil || os.Getuid() != 0 {
		t.Skip("building an image here takes root and buildah: apt-get install buildah")
	}
	b, err := image.NewBuilder(t.Context(), t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, b.Close()) })
	build := func(t *testing.T, platform string) archive {
		file := filepath.Join(t.TempDir(), "image.tar")
		require.NoError(t, b.Build(t.Context(), name, "1.2.3", platform, file))
		return read(t, file)
	}

	got := build(t, "linux/amd64")
	t.Run("says what it is", func(t *testing.T) {
		assert.Equal(t, "amd64", got.image.Architecture)
		labels := got.image.Config.Labels
		assert.Equal(t, "1.2.3", labels[ocispec.AnnotationVersion])
		for _, label := range []string{ocispec.AnnotationTitle, ocispec.AnnotationDescription, ocispec.AnnotationLicenses,
			ocispec.AnnotationSource, ocispec.AnnotationRevision, ocispec.AnnotationCreated} {
			assert.NotEmpty(t, labels[label], label)
		}
		assert.NotContains(t, string(got.config), "Healthcheck", "the ops port is for whoever watches it")
	})
	t.Run("runs as nobody and as a service", func(t *testing.T) {
		assert.Equal(t, "65532:65532", got.image.Config.User)
		assert.Equal(t, []string{"/usr/bin/specman"}, got.image.Config.Entrypoint)
		assert.Equal(t, []string{"serve"}, got.image.Config.Cmd)
		assert.Contains(t, got.image.Config.Env, "PATH=/usr/bin", "so that kubectl exec finds it")
	})
	t.Run("holds what is needed and nothing else", func(t *testing.T) {
		var files []string
		for _, header := range got.files {
			if header.Typeflag != tar.TypeDir {
				files = append(files, header.Name)
			}
		}
		slices.Sort(files)
		assert.Equal(t, []string{"LICENSE", "etc/ssl/certs/ca-certificates.crt", "usr/bin/specman"}, files)
		store := got.find(t, "var/lib/specman/")
		assert.Equal(t, 65532, store.Uid)
	})
	t.Run("is small", func(t *testing.T) {
		assert.Less(t, got.bytes, int64(25_000_000))
	})
	t.Run("runs", func(t *testing.T) {
		out, err := b.Run(t.Context(), name, "specman", "version")
		require.NoError(t, err)
		assert.Contains(t, out, "1.2.3")
	})
	t.Run("knows the time zones", func(t *testing.T) {
		assert.Contains(t, string(got.program), "Europe/Berlin")
	})
	t.Run("is the same again", func(t *testing.T) {
		again := build(t, "linux/amd64")
		assert.Equal(t, got.image.RootFS.DiffIDs, again.image.RootFS.DiffIDs)
		assert.Equal(t, digest.FromBytes(got.config), digest.FromBytes(again.config))
	})
	t.Run("for arm64 too", func(t *testing.T) {
		arm := build(t, "linux/arm64")
		assert.Equal(t, "arm64", arm.image.Architecture)
		assert.NotEqual(t, got.image.RootFS.DiffIDs, arm.image.RootFS.DiffIDs)
	})
}

// An archive is an OCI archive, read.
type archive struct {
	config []byte
	image  ocispec.Image
	files  []tar.Header
	bytes  int64 // of all files, as they lie on a node

	program []byte
}

func (a archive) find(t *testing.T, name string) tar.Header {
	t.Helper()
	i := slices.IndexFunc(a.files, func(h tar.Header) bool { return h.Name == name })
	require.GreaterOrEqual(t, i, 0, "there is no %s", name)
	return a.files[i]
}

func read(t *testing.T, file string) archive {
	t.Helper()
	blobs := map[string][]byte{}
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	for tr := tar.NewReader(f); ; {
		header, err := tr.Next()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		blobs[header.Name], err = io.ReadAll(tr)
		require.NoError(t, err)
	}
	blob := func(d digest.Digest) []byte { return blobs["blobs/sha256/"+d.Encoded()] }

	var index ocispec.Index
	require.NoError(t, json.Unmarshal(blobs["index.json"], &index))
	var manifest ocispec.Manifest
	require.NoError(t, json.Unmarshal(blob(index.Manifests[0].Digest), &manifest))
	a := archive{config: blob(manifest.Config.Digest)}
	require.NoError(t, json.Unmarshal(a.config, &a.image))
	for _, layer := range manifest.Layers {
		unzipped, err := gzip.NewReader(strings.NewReader(string(blob(layer.Digest))))
		require.NoError(t, err)
		for tr := tar.NewReader(unzipped); ; {
			header, err := tr.Next()
			if err == io.EOF {
				break
			}
			require.NoError(t, err)
			a.files = append(a.files, *header)
			a.bytes += header.Size
			if header.Name == "usr/bin/specman" {
				a.program, err = io.ReadAll(tr)
				require.NoError(t, err)
			}
		}
	}
	return a
}
