package oci_test

import (
	"net/http"
	"path/filepath"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/memory"

	"github.com/specman/specman/internal/sync/oci"
	"github.com/specman/specman/internal/sync/oci/ocitest"
)

// A registry's refusal of a push is explained.
func TestPushIsRefused(t *testing.T) {
	const start, upload, tag = "POST", "PUT blob", "PUT manifest"
	tests := []struct {
		name   string
		at     string
		answer ocitest.Answer
		kind   oci.Kind
		hint   string
	}{
		{"ECR's immutable tags", tag, ocitest.Status(400, "TAG_INVALID", "The image tag '0.0.0' already exists in the 'a' repository and cannot be overwritten because the tag is immutable."), oci.Refused, "push under another tag"},
		{"Harbor's immutable tags", tag, ocitest.Status(412, "PRECONDITION", "Failed to process request due to 'manifest:0.0.0' configured as immutable."), oci.Refused, "push under another tag"},
		{"no right to push", start, ocitest.Status(403, "DENIED", "requested access to the resource is denied"), oci.Forbidden, "push rights"},
		{"no such repository", start, ocitest.Status(404, "NAME_UNKNOWN", "The repository with name 'a' does not exist"), oci.Absent, "create it first"},
		{"too large for a proxy", upload, ocitest.Status(413, "", ""), oci.Refused, "client_max_body_size"},
		{"no login", start, ocitest.Status(401, "UNAUTHORIZED", ""), oci.Unauthorized, "source.auth.username"},
		{"disk full", upload, ocitest.Status(500, "UNKNOWN", "no space left on device"), oci.Unavailable, "down"},
		{"uploads elsewhere", start, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.Header().Set("Location", "http://elsewhere.example/upload")
			w.WriteHeader(http.StatusAccepted)
		}, oci.Malformed, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			registry := newRegistry()
			registry.Break(ocitest.Fault{Answer: func(w http.ResponseWriter, req *http.Request, honest http.Handler) {
				at := req.Method
				if at == http.MethodPut && req.URL.Path == "/upload" {
					at = upload
				} else if at == http.MethodPut {
					at = tag
				}
				switch {
				case at == tt.at:
					tt.answer(w, req, honest)
				case at == start:
					w.Header().Set("Location", "/upload")
					w.WriteHeader(http.StatusAccepted)
				case at == upload || at == tag:
					w.WriteHeader(http.StatusCreated)
				default:
					honest.ServeHTTP(w, req)
				}
			}})
			r := open(t, startHTTP(t, registry))
			_, err := r.Push(t.Context(), oci.PushRequest{File: write(t, filepath.Join(t.TempDir(), "manifests.tgz"), "archive"), Tag: "0.0.0"})
			e := failure(t, err)
			assert.Equal(t, "push", e.Operation)
			assert.Equal(t, tt.kind, e.Kind, "%v", e)
			assert.Contains(t, e.Error(), ":0.0.0: ")
			assert.Contains(t, e.Cure, tt.hint)
		})
	}
}

// A pushed manifest is the one that ORAS's own library packs, byte for byte, so
// that readers and registries see nothing new.
func TestPushedManifestIsThatOfORAS(t *testing.T) {
	dir := t.TempDir()
	created := time.Date(2026, 5, 1, 12, 30, 0, 0, time.FixedZone("", 2*60*60))
	r := open(t, "oci-layout:"+filepath.Join(dir, "layout"))
	desc, err := r.Push(t.Context(), oci.PushRequest{File: write(t, filepath.Join(dir, "a & b.tgz"), "archive"), Tag: "0.0.0", Created: created})
	require.NoError(t, err)
	m, err := r.Manifest(t.Context(), "0.0.0")
	require.NoError(t, err)

	memory := memory.New()
	want, err := oras.PackManifest(t.Context(), memory, oras.PackManifestVersion1_1, "application/vnd.unknown.artifact.v1", oras.PackManifestOptions{
		Layers:              m.Layers,
		ManifestAnnotations: map[string]string{ocispec.AnnotationCreated: "2026-05-01T10:30:00Z"},
	})
	require.NoError(t, err)
	raw, err := content.FetchAll(t.Context(), memory, want)
	require.NoError(t, err)
	assert.Equal(t, string(raw), string(m.Raw))
	want.Annotations = nil // they stand in the manifest
	assert.Equal(t, want, desc)
	assert.Equal(t, "a & b.tgz", m.Layers[0].Annotations[ocispec.AnnotationTitle])
}

func TestPushMissingFile(t *testing.T) {
	registry := newRegistry()
	_, err := open(t, startHTTP(t, registry)).Push(t.Context(), oci.PushRequest{File: filepath.Join(t.TempDir(), "none"), Tag: "0.0.0"})
	require.Error(t, err)
	assert.Contains(t, err.Error(), "no such file")
	assert.Empty(t, registry.Requests())
}
