package main

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Kubernetes starts an init container again until it ends with 0: the pod must not begin
// with nothing because the second try meets what the first one refused.
func TestASyncAfterWhichNothingIsHeldHasFailed(t *testing.T) {
	s := newSite(t)
	pushed := runWith(t, nil, "push", exampleTree(t), "oci-layout:"+s.layout+":1.0.0")
	require.Equal(t, 0, pushed.status, pushed.stderr)
	args := append(s.flags(), "sync", "--gate.requirePaths=/not/there")
	for range 2 {
		for _, flags := range [][]string{nil, {"--if-empty"}} {
			got := runWith(t, nil, append(args[:len(args):len(args)], flags...)...)
			assert.Equal(t, 1, got.status, got.stderr)
		}
	}
	got := runWith(t, nil, args...)
	assert.Contains(t, got.stderr, "nothing is held that could be served")
	assert.Contains(t, got.stderr, "sync --force")

	got = runWith(t, nil, append(s.flags(), "status")...)
	assert.Equal(t, 1, got.status)
	assert.Contains(t, got.stdout, "1.0.0 (sha256:")
	assert.Contains(t, got.stdout, "was refused at stage gate: ", "of a stopped service's store, too")

	got = runWith(t, nil, append(args, "--force")...)
	require.Equal(t, 0, got.status, got.stderr)
	got = runWith(t, nil, args...)
	assert.Equal(t, 0, got.status, got.stderr)
	got = runWith(t, nil, append(s.flags(), "status")...)
	assert.NotContains(t, got.stdout, "refused", "what has been got since is not")
}

func TestASyncWithoutASourceMakesNoStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	got := runWith(t, nil, "sync", "--store.dir="+dir)
	assert.Equal(t, 1, got.status, got.stderr)
	assert.Contains(t, got.stderr, "set source.repository")
	assert.NoDirExists(t, dir)
}
