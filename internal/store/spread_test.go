package store

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestTreesAreSpread(t *testing.T) {
	dir := t.TempDir()
	openStore(t, dir)
	if fileSystem(dir) != unix.EXT4_SUPER_MAGIC {
		t.Skip("the temporary folder is on no ext4")
	}
	staging, err := os.Open(filepath.Join(dir, stagingFolder))
	require.NoError(t, err)
	defer staging.Close()
	flags, err := unix.IoctlGetUint32(int(staging.Fd()), unix.FS_IOC_GETFLAGS)
	require.NoError(t, err)
	assert.NotZero(t, flags&topDir)
}
