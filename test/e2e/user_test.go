package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/testenv"
)

// nonroot is the uid of the image. Only root can become it; what runs the tests
// without being root is a user like it.
const nonroot = 65532

func someUser() uint32 {
	if os.Getuid() == 0 {
		return nonroot
	}
	return 0 // the test's own
}

// own gives the installation's folder to its user.
func (s *specman) own() {
	s.t.Helper()
	if s.uid != 0 {
		require.NoError(s.t, os.Chown(filepath.Dir(s.dir), int(s.uid), int(s.uid)))
	}
}

// Publishing, garbage collection and recovery work for root and for others,
// whatever the umask, and make files and folders that everybody may read and the
// owner may rename and remove.
func TestUsersAndUmasks(t *testing.T) {
	for name, c := range map[string]struct {
		uid   uint32
		umask string
	}{
		"own user":              {},
		"own user, umask 077":   {umask: "077"},
		"own user, umask 000":   {umask: "000"},
		"other user":            {uid: someUser()},
		"other user, umask 077": {uid: someUser(), umask: "077"},
		"other user, umask 000": {uid: someUser(), umask: "000"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, static, &bulk{files: 60, size: 1000})
			r.uid, r.umask = c.uid, c.umask
			r.own()
			r.start()
			for range 3 {
				r.publish()
				r.sync()
				require.Equal(t, r.served(newClient(t, r.dir, true)), itoa(r.newest))
			}
			assertModes(t, filepath.Join(r.dir, "trees"))
			socket, err := os.Stat(filepath.Join(r.dir, "control.sock"))
			require.NoError(t, err)
			assert.Equal(t, fs.FileMode(0o600), socket.Mode().Perm())

			// A crash in the middle, and what it left behind.
			r.publish()
			mark := r.running.log.mark()
			r.running.signalHangup(t)
			r.running.waitFor(t, mark, "Downloading")
			r.running.kill()
			rubbish := filepath.Join(r.dir, "staging", "tree-left", "files")
			require.NoError(t, os.MkdirAll(rubbish, 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(rubbish, "part"), []byte("part"), 0o444))
			if r.uid != 0 {
				for _, path := range []string{filepath.Dir(rubbish), rubbish, filepath.Join(rubbish, "part")} {
					require.NoError(t, os.Chown(path, int(r.uid), int(r.uid)))
				}
			}
			r.gate.close()
			r.start()
			r.served(newClient(t, r.dir, false))
			r.assertNothingUnfinished()
			r.gate.open()
			r.sync()
			require.Equal(t, r.served(newClient(t, r.dir, true)), itoa(r.newest))
			assertModes(t, filepath.Join(r.dir, "trees"))
			r.waitMetric("specman_gc_deleted_trees_total", 1)
			require.Zero(t, r.running.terminate(t))
		})
	}
}

// assertModes checks the files of all trees: 0444, in folders that are 0755.
func assertModes(t *testing.T, trees string) {
	t.Helper()
	seen := 0
	all, err := filepath.Glob(filepath.Join(trees, "*", "files"))
	require.NoError(t, err)
	for _, files := range all {
		require.NoError(t, filepath.WalkDir(files, func(path string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // a tree that is out of use goes just now
			}
			require.NoError(t, err)
			info, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			require.NoError(t, err)
			want := fs.FileMode(0o444)
			if e.IsDir() {
				want = 0o755
			}
			assert.Equal(t, want, info.Mode().Perm(), path)
			seen++
			return nil
		}))
	}
	assert.Greater(t, seen, 60)
}

// A store that another user has left is no use: the message says whose it has to
// be, and nothing hangs.
func TestStoreOfAnotherUser(t *testing.T) {
	t.Parallel()
	registry := testenv.Distribution(t, testenv.Options{})
	newPublisher(t, registry).push("0.0.0", scar(t, "0.0.0"))
	s := newSpecman(t, static, map[string]string{"source.repository": registry.Repo(manifestRepository), "source.plainHTTP": "true"})
	s.must("sync")
	if s.uid = someUser(); s.uid == 0 { // the test is not root's: take the rights away instead
		for _, folder := range []string{"staging", "trees", ""} {
			require.NoError(t, os.Chmod(filepath.Join(s.dir, folder), 0o555))
			defer os.Chmod(filepath.Join(s.dir, folder), 0o755)
		}
		require.NoError(t, os.Chmod(filepath.Join(s.dir, "lock"), 0))
	}
	for _, command := range []string{"serve", "sync"} {
		r := s.run(command)
		assert.Equal(t, 1, r.status, command)
		assert.Contains(t, r.stderr, "permission denied")
		assert.Contains(t, r.stderr, fmt.Sprintf("the store is uid %d's", os.Getuid()))
		assert.Contains(t, r.stderr, "chown -R")
	}
}
