package oci_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/sync/oci"
)

func TestReadArtifact(t *testing.T) {
	registry := newRegistry()
	artifact := registry.Push("0.0.0", "/var/www/html/manifests.tgz", []byte("archive"), day)
	registry.Push("4.5.13", "manifests.tgz", []byte("older"), day.AddDate(0, -1, 0))
	r := open(t, startHTTP(t, registry))

	tags, err := r.Tags(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"0.0.0", "4.5.13"}, tags)

	desc, err := r.Resolve(t.Context(), "0.0.0")
	require.NoError(t, err)
	assert.Equal(t, artifact.Manifest, desc.Digest)

	m, err := r.Manifest(t.Context(), "0.0.0")
	require.NoError(t, err)
	assert.Equal(t, artifact.Manifest, m.Digest)
	assert.Equal(t, "application/vnd.unknown.artifact.v1", m.ArtifactType)
	assert.Equal(t, "application/vnd.oci.empty.v1+json", m.ConfigMediaType)
	assert.Equal(t, day, m.Created)

	layer, err := oci.ChooseLayer(m, "manifests.tgz", true)
	require.NoError(t, err)
	assert.Equal(t, artifact.Layer, layer)

	body, err := r.Blob(t.Context(), layer)
	require.NoError(t, err)
	assert.Equal(t, "archive", string(readAll(t, body)))
}

// An idle poll is one list and one HEAD per tag, on one connection, with our
// name on it.
func TestIdlePollIsCheap(t *testing.T) {
	registry := newRegistry()
	registry.Push("0.0.0", "manifests.tgz", []byte("archive"), day)
	registry.Push("4.5.13", "manifests.tgz", []byte("older"), day)
	r := open(t, startHTTP(t, registry))
	for range 3 {
		registry.Forget()
		_, err := r.Tags(t.Context())
		require.NoError(t, err)
		for _, tag := range []string{"0.0.0", "4.5.13"} {
			_, err := r.Resolve(t.Context(), tag)
			require.NoError(t, err)
		}
		assert.Equal(t, map[string]int{"tags": 1, "head": 2}, registry.Counts())
	}
	connections := map[string]bool{}
	for _, request := range registry.Requests() {
		connections[request.Remote] = true
		assert.Equal(t, "specman/test", request.UserAgent)
	}
	assert.Len(t, connections, 1)
}
