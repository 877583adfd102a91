package oci_test

import (
	"os"
	"path/filepath"
	"strings"
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
	connections := map[string]bool{}
	for range 3 {
		registry.Forget()
		_, err := r.Tags(t.Context())
		require.NoError(t, err)
		for _, tag := range []string{"0.0.0", "4.5.13"} {
			_, err := r.Resolve(t.Context(), tag)
			require.NoError(t, err)
		}
		assert.Equal(t, map[string]int{"tags": 1, "head": 2}, registry.Counts())
		for _, request := range registry.Requests() {
			connections[request.Remote] = true
			assert.Equal(t, "specman/test", request.UserAgent)
		}
	}
	assert.Len(t, connections, 1)
}

// Many at once, while secrets change.
func TestConcurrentUse(t *testing.T) {
	registry := newRegistry()
	registry.Push("0.0.0", "manifests.tgz", []byte("archive"), day)
	registry.RequireToken("user", "secret")
	file := write(t, filepath.Join(t.TempDir(), "password"), "secret")
	r := open(t, startHTTP(t, registry), func(c *oci.Config) { c.Auth.Username, c.Auth.PasswordFile = "user", file })
	failures := make(chan error, 8)
	for range cap(failures) {
		go func() {
			var err error
			for n := 0; n < 20 && err == nil; n++ {
				_, err = sync(t.Context(), r, "0.0.0")
			}
			failures <- err
		}()
	}
	for n := range 10 {
		require.NoError(t, os.WriteFile(file+".new", []byte("secret"+strings.Repeat("\n", n%2)), 0o600))
		require.NoError(t, os.Rename(file+".new", file))
		r.Fingerprint()
	}
	for range cap(failures) {
		assert.NoError(t, <-failures)
	}
}
