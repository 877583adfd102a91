package store

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// loseAll opens a store again, of which trees have lost their indexes meanwhile.
func loseAll(t *testing.T, s *Store, lost ...content) *Store {
	t.Helper()
	require.NoError(t, s.Close())
	for _, l := range lost {
		require.NoError(t, os.Remove(filepath.Join(treeFolder(s.dir, layerFor(l)), "index")))
	}
	return openStore(t, s.dir)
}

// A pin keeps newer content away, not what is lacking of what stands in for its view.
func TestAPartUnderAPinIsCompleted(t *testing.T) {
	for _, name := range []string{"at the start", "by a sync"} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, t.TempDir())
			pinned, top, low := content{"f": "1"}, content{"f": "2"}, content{"g": "low"}
			follow(t, s, hold(t, s, "1.0.0", pinned))
			require.NoError(t, holdVersion(s, "1.0.0"))
			b, c := hold(t, s, "2.0.0", top), hold(t, s, "0.9.0", low)
			follow(t, s, b, c)
			if name == "at the start" {
				s = loseAll(t, s, pinned, low)
				require.Equal(t, top, served(t, s))
			} else {
				s = loseAll(t, s, pinned, low, top)
				require.Nil(t, s.Acquire())
				require.NoError(t, stage(t, s, layerFor(top), top).Publish())
				follow(t, s, b, c)
				require.Equal(t, top, served(t, s))
			}
			require.NoError(t, stage(t, s, layerFor(low), low).Publish())
			follow(t, s, b, c)
			assert.Equal(t, content{"f": "2", "g": "low"}, served(t, s), "all of what is followed is held")
			follow(t, s, b, c)
			assert.Equal(t, content{"f": "2", "g": "low"}, served(t, s), "all of what is followed is held")
		})
	}
}

// What somebody took out is not served again while anything else is whole.
func TestWhatWasForgottenDoesNotStandIn(t *testing.T) {
	s := openStore(t, t.TempDir())
	z, bad, a := content{"low": "z"}, content{"top": "bad"}, content{"low": "a"}
	cz := hold(t, s, "1.0.0", z)
	follow(t, s, cz)
	cb := hold(t, s, "2.0.0", bad)
	follow(t, s, cb, cz)
	ca := hold(t, s, "1.0.0", a)
	follow(t, s, cb, ca)
	_, err := s.Forget("2.0.0", "")
	require.NoError(t, err)
	require.Equal(t, a, served(t, s))
	s = loseAll(t, s, a)
	assert.Equal(t, z, served(t, s), "what was forgotten is not served")
}

// What is lost keeps nobody from taking out a bad release that has nothing to do with it.
func TestForgetWhileAnotherStandsIn(t *testing.T) {
	s := openStore(t, t.TempDir())
	old, new := content{"f": "old"}, content{"f": "new"}
	bad := hold(t, s, "2.0.0", content{"g": "bad"})
	follow(t, s, bad, hold(t, s, "1.0.0", old))
	follow(t, s, bad, hold(t, s, "1.0.0", new))
	s = loseAll(t, s, new)
	require.Equal(t, content{"f": "old", "g": "bad"}, served(t, s))
	_, err := s.Forget("2.0.0", "")
	assert.NoError(t, err)
	assert.True(t, s.Forgotten(bad.Manifest))
	assert.Equal(t, content{"f": "old"}, served(t, s), "what stands in goes on, without it")
	_, err = s.Follow("default", s.Following("default"))
	assert.NoError(t, err)
	assert.Equal(t, content{"f": "old"}, served(t, s))
}

// Variants are pruned by it.
func TestContentsBesideALostTree(t *testing.T) {
	s := openStore(t, t.TempDir())
	old := content{"f": "old"}
	follow(t, s, hold(t, s, "1.0.0", old))
	follow(t, s, hold(t, s, "1.0.0", content{"f": "new"}))
	require.NoError(t, os.RemoveAll(treeFolder(s.dir, layerFor(old))))
	sums, err := s.Contents()
	assert.NoError(t, err)
	assert.Len(t, sums, 1)
}

// asNobody runs f as a user who may do nothing but what is allowed to all: root may read
// everything.
func asNobody(t *testing.T, dir string, f func()) {
	t.Helper()
	const nobody = 65534
	if os.Getuid() != 0 {
		f()
		return
	}
	require.NoError(t, filepath.WalkDir(filepath.Dir(dir), func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, nobody, -1)
	}))
	runtime.LockOSThread() // the right is the thread's
	defer runtime.UnlockOSThread()
	_, err := unix.SetfsuidRetUid(nobody)
	require.NoError(t, err)
	defer unix.SetfsuidRetUid(0)
	f()
}

// A tree that may not be read, as one restored with a wrong owner, takes nothing else away.
func TestOneTreeThatMayNotBeRead(t *testing.T) {
	s := openStore(t, t.TempDir())
	imported, files := content{"i": "1"}, content{"f": "1"}
	_, err := s.Follow(ImportSource, []Contribution{importOf(t, s, "0.1.0", imported)})
	require.NoError(t, err)
	c := hold(t, s, "1.0.0", files)
	follow(t, s, c)
	require.NoError(t, s.Close())
	folder := treeFolder(s.dir, layerFor(imported))
	t.Cleanup(func() { os.Chmod(folder, 0o755) })
	asNobody(t, s.dir, func() {
		require.NoError(t, os.Chmod(folder, 0))
		s = openStore(t, s.dir)
		require.NotNil(t, s.current.Load(), "what can be read is served at the start")
		for range 2 {
			_, err = s.Follow("default", []Contribution{c})
			assert.NoError(t, err)
			assert.Equal(t, files, served(t, s))
		}
		two := content{"f": "2"}
		follow(t, s, hold(t, s, "2.0.0", two))
		assert.Equal(t, two, served(t, s), "and what comes then")
	})
}

// Where nothing is polled, as at a site that only imports, no sync comes that would serve
// what can be read again.
func TestWhatCanBeReadAgainIsServedWithoutASync(t *testing.T) {
	for name, pinned := range map[string]bool{"followed": false, "pinned": true} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, t.TempDir())
			imported := content{"i": "1"}
			_, err := s.Follow(ImportSource, []Contribution{importOf(t, s, "0.1.0", imported)})
			require.NoError(t, err)
			if pinned {
				require.NoError(t, s.Pin(*s.Served(), "pin", "test"))
			}
			require.NoError(t, s.Close())
			folder := treeFolder(s.dir, layerFor(imported))
			t.Cleanup(func() { os.Chmod(folder, 0o755) })
			asNobody(t, s.dir, func() {
				require.NoError(t, os.Chmod(folder, 0))
				s = openStore(t, s.dir)
				s.repairDamaged(t.Context())
				require.Nil(t, s.Acquire())
				require.NoError(t, os.Chmod(folder, 0o755))
				s.repairDamaged(t.Context())
				assert.Equal(t, imported, served(t, s))
			})
		})
	}
}
