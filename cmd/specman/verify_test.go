package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The tag has moved on, so that no sync brings what is served any more; the registry
// has it all the same.
func TestVerifyRepairsAPinnedRelease(t *testing.T) {
	layout, folder, dir := filepath.Join(t.TempDir(), "registry"), t.TempDir(), t.TempDir()
	source := "--source.repository=oci-layout:" + layout
	must := func(args ...string) ran {
		t.Helper()
		got := runWith(t, nil, append(args, "--store.dir="+folder, source)...)
		require.Equal(t, 0, got.status, "%v: %s", args, got.stderr)
		return got
	}
	for _, version := range []string{"one", "two"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "a.txt"), []byte(version+"\n"), 0o644))
		must("push", dir, "oci-layout:"+layout+":0.0.0")
		must("sync")
	}
	must("rollback")
	harm := func() {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(folder, "trees", "*", "files", "a.txt"))
		require.NoError(t, err)
		for _, path := range files {
			if content, err := os.ReadFile(path); err == nil && string(content) == "one\n" {
				require.NoError(t, os.Chmod(path, 0o644))
				require.NoError(t, os.WriteFile(path, []byte("own\n"), 0o444))
			}
		}
		got := runWith(t, nil, "verify", "--store.dir="+folder, source)
		require.Equal(t, 1, got.status, "%s", got.stdout)
	}

	harm()
	assert.Contains(t, must("verify", "--repair").stdout, "1 tree repaired, 0 damaged files left")

	trees, err := filepath.Glob(filepath.Join(folder, "trees", "*", "files"))
	require.NoError(t, err)
	added := filepath.Join(trees[0], "added.txt")
	require.NoError(t, os.WriteFile(added, nil, 0o644))
	assert.Contains(t, must("verify").stdout, `not published, and not served: "added.txt" of sha256:`)
	require.NoError(t, os.Remove(added))

	service := startService(t, "--store.dir="+folder, source)
	assert.Equal(t, "one\n", service.fetch("/a.txt"))
	harm()
	// By itself the service repairs too, at a sync that may have been faster.
	assert.Contains(t, must("verify", "--repair").stdout, " repaired, 0 damaged files left")
	assert.Equal(t, "one\n", service.fetch("/a.txt"))
	assert.Contains(t, must("status").stdout, "is held at", "nothing but the damage has changed")
}

// A folder that was mistyped is no store, and none is made of it.
func TestNoCommandMakesAStoreByTheWay(t *testing.T) {
	for _, args := range [][]string{{"verify"}, {"gc"}, {"rollback"}, {"pin"}, {"unpin"}, {"forget", "1.0.0"}} {
		folder := filepath.Join(t.TempDir(), "mistyped")
		got := runWith(t, nil, append(args, "--store.dir="+folder)...)
		assert.Equal(t, 1, got.status, args)
		assert.Contains(t, got.stderr, "and there is no store at "+folder, args)
		assert.NoDirExists(t, folder, args)
	}
}
