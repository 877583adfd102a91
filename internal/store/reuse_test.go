package store

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What is followed while another view is pinned shares its files, too.
func TestUnchangedFilesAreStoredOnceWhilePinned(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	follow(t, s, hold(t, s, "1.0.0", content{"old": "1"}))
	require.NoError(t, holdVersion(s, "1.0.0"))
	one := content{}
	for n := range 50 {
		one[fmt.Sprint(n)] = fmt.Sprint("unchanged ", n)
	}
	follow(t, s, hold(t, s, "0.0.0", one))
	two := maps.Clone(one)
	two["new"] = "x"
	follow(t, s, hold(t, s, "0.0.0", two))
	inode := func(c content) uint64 {
		info, err := os.Stat(filepath.Join(treeFolder(dir, layerFor(c)), "files", "7"))
		require.NoError(t, err)
		return info.Sys().(*syscall.Stat_t).Ino
	}
	assert.Equal(t, inode(one), inode(two))
}
