package powerloss

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/testenv"
)

// bulky is a tree that takes 2 MiB on disk, and next to nothing as an archive: no
// look at the archive's size can foresee that it will not fit.
func bulky(version string) content {
	files := content{"roar/nickfury/versions.yaml": version}
	for n := range 16 {
		files[fmt.Sprintf("d%d/%02d", n%4, n)] = strings.Repeat(fmt.Sprintf("%s %d ", version, n), 128<<10/4)
	}
	return files
}

// fill leaves so many bytes free on a volume, in a file to be removed again.
func fill(t *testing.T, dir string, leave int64) (filler string) {
	t.Helper()
	var fs unix.Statfs_t
	require.NoError(t, unix.Statfs(dir, &fs))
	f, err := os.Create(filepath.Join(dir, "filler"))
	require.NoError(t, err)
	defer f.Close()
	block := make([]byte, 4<<10)
	for n := int64(fs.Bavail)*fs.Bsize - leave; n >= int64(len(block)); n -= int64(len(block)) {
		if _, err := f.Write(block); err != nil {
			require.ErrorIs(t, err, unix.ENOSPC)
			break
		}
	}
	return f.Name()
}

// ext4 mounts a small ext4 from a file.
func ext4(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("mkfs.ext4"); err != nil {
		out, err := exec.Command("../deps.sh", "e2fsprogs").CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	dir, _ := testenv.LoopVolume(t, 24<<20, "mkfs.ext4", "-q", "-m", "0")
	return dir
}

func asRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can mount volumes and change to another uid")
	}
}

// However much room is left when a sync begins, it ends well or with a message
// that says what is lacking, and leaves nothing; what is served stays, and to go
// back and forth works on a volume that is full to the last byte.
func TestAVolumeThatFillsUp(t *testing.T) {
	asRoot(t)
	step := int64(512 << 10)
	if torture {
		step = 64 << 10
	}
	for name, mount := range map[string]func(t *testing.T) string{
		"tmpfs": func(t *testing.T) string { return volume(t, "size=16m") },
		"ext4":  ext4,
	} {
		t.Run(name, func(t *testing.T) {
			full := 0
			for leave := int64(0); ; leave += step {
				dir := mount(t)
				// Nothing may be removed to make room, as it would be after the grace.
				s := newSite(t, filepath.Join(dir, "store"), "SPECMAN_STORE_GRACE=1h")
				version := map[string]content{"0": bulky("0"), "1": bulky("1"), "2": bulky("2")}
				for _, v := range []string{"0", "1"} {
					s.push(version[v])
					s.must(t, 0, "sync")
				}
				s.push(version["2"])
				filler := fill(t, dir, leave)
				status, out := s.plain(s.dir, "sync")
				if status == 0 {
					s.serves(t, version["2"])
					break
				}
				full++
				assert.Equal(t, 1, status, out)
				assert.Contains(t, out, "not enough space in the store", "%d bytes free", leave)
				left, err := os.ReadDir(filepath.Join(s.dir, "staging"))
				require.NoError(t, err)
				assert.Empty(t, left, "%d bytes free: what could not be finished is removed at once", leave)
				s.serves(t, version["1"])

				fill(t, dir, 0)
				s.must(t, 0, "rollback")
				s.serves(t, version["0"])
				s.must(t, 0, "unpin")
				s.serves(t, version["1"])
				s.must(t, 0, "verify")
				s.must(t, 0, "gc")

				require.NoError(t, os.Remove(filler))
				s.must(t, 0, "sync")
				s.serves(t, version["2"])
			}
			assert.Greater(t, full, 2)
			t.Logf("failed with %d different amounts of free space", full)
		})
	}
}

func TestAVolumeThatRunsOutOfInodes(t *testing.T) {
	asRoot(t)
	full := 0
	for nodes := 30; ; nodes += 4 {
		dir := volume(t, fmt.Sprintf("size=32m,nr_inodes=%d", nodes))
		s := newSite(t, filepath.Join(dir, "store"))
		one, two := content{"f": "1"}, bulky("2")
		s.push(one)
		s.must(t, 0, "sync")
		s.push(two)
		status, out := s.plain(s.dir, "sync")
		if status == 0 {
			s.serves(t, two)
			break
		}
		full++
		assert.Equal(t, 1, status, out)
		assert.Contains(t, out, "not enough space in the store")
		left, err := os.ReadDir(filepath.Join(s.dir, "staging"))
		require.NoError(t, err)
		assert.Empty(t, left)
		s.serves(t, one)
	}
	assert.Positive(t, full)
}

func TestAVolumeThatBecameReadOnly(t *testing.T) {
	asRoot(t)
	dir := volume(t, "size=16m")
	s := newSite(t, filepath.Join(dir, "store"))
	one := content{"f": "1"}
	s.push(one)
	s.must(t, 0, "sync")
	s.push(content{"f": "2"})
	require.NoError(t, unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	assert.Contains(t, s.must(t, 1, "sync"), "read-only file system")
	assert.Contains(t, s.must(t, 1, "rollback"), "specman: ")
	assert.Contains(t, s.must(t, 1, "pin"), store.ReadOnlyCure)
	s.must(t, 0, "releases")
	p := s.read(t)
	defer p.Close()
	require.NotNil(t, p.View)
	require.NoError(t, unix.Mount("", dir, "", unix.MS_REMOUNT, ""))
	s.must(t, 0, "sync")
	s.serves(t, content{"f": "2"})
}

func TestAStoreOfSomebodyElse(t *testing.T) {
	asRoot(t)
	const other = 65532
	for _, c := range []struct {
		name    string
		prepare func(t *testing.T, s *site)
		cure    string
	}{
		{"a folder that is empty", func(t *testing.T, s *site) { require.NoError(t, os.Mkdir(s.dir, 0o755)) },
			"store.dir must be a folder that uid 65532 may write"},
		{"a store", func(t *testing.T, s *site) { s.must(t, 0, "sync") }, "chown -R 65532 "},
		{"a store but for its lock", func(t *testing.T, s *site) {
			s.must(t, 0, "sync")
			require.NoError(t, os.Chown(filepath.Join(s.dir, "lock"), other, other))
		}, "chown -R 65532 "},
		{"a store that only root may look into", func(t *testing.T, s *site) {
			s.must(t, 0, "sync")
			require.NoError(t, os.Chmod(s.dir, 0o700))
		}, "run it as the user of the service"},
	} {
		t.Run(c.name, func(t *testing.T) {
			base, err := os.MkdirTemp("", "specman-owner-") // that of the test is closed to others
			require.NoError(t, err)
			t.Cleanup(func() { os.RemoveAll(base) })
			require.NoError(t, os.Chmod(base, 0o755))
			s := newSite(t, filepath.Join(base, "store"))
			s.layout = filepath.Join(base, "layout")
			s.push(content{"f": "1"})
			require.NoError(t, filepath.Walk(s.layout, func(path string, info os.FileInfo, err error) error {
				require.NoError(t, err)
				return os.Chmod(path, info.Mode()|0o055)
			}))
			c.prepare(t, s)
			cmd := exec.Command(program, "sync")
			cmd.Env, cmd.Dir = s.env(s.dir), base
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: other, Gid: other}}
			out, _ := cmd.CombinedOutput()
			assert.Equal(t, 1, cmd.ProcessState.ExitCode(), "%s", out)
			assert.Contains(t, string(out), "permission denied")
			assert.Contains(t, string(out), "uid 65532")
			assert.Contains(t, string(out), c.cure)
		})
	}
}
