package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// LoopVolume mounts a file system of size bytes from an image, made by mkfs with its
// arguments, on dir until the test ends. The test is skipped where nobody may do that.
func LoopVolume(t *testing.T, size int64, mkfs ...string) (dir, image string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can mount volumes")
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		t.Skipf("this machine has no loop devices: %v", err)
	}
	image, dir = filepath.Join(t.TempDir(), "image"), t.TempDir()
	require.NoError(t, os.WriteFile(image, nil, 0o600))
	require.NoError(t, os.Truncate(image, size))
	for _, args := range [][]string{append(mkfs[:len(mkfs):len(mkfs)], image), {"mount", "-o", "loop", image, dir}} {
		out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	t.Cleanup(func() { assert.NoError(t, unix.Unmount(dir, 0)) })
	return dir, image
}
