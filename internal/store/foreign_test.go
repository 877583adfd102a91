package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// What somebody else has put into the store's folder.

// within fails where f waits for somebody who will never come.
func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { f(); close(done) }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Errorf("%s hangs", what)
	}
}

func TestAPipeInTheStore(t *testing.T) {
	files := content{"a": "aaa", "b": "bbb"}
	pipe := func(t *testing.T, path string) {
		require.NoError(t, os.Remove(path))
		require.NoError(t, unix.Mkfifo(path, 0o644))
	}
	t.Run("as a file", func(t *testing.T) {
		dir := t.TempDir()
		s := openStore(t, dir)
		follow(t, s, hold(t, s, "1.0.0", files))
		pipe(t, filepath.Join(treeFolder(dir, layerFor(files)), "files", "a"))
		within(t, "a sync", func() {
			two := content{"a": "aaa", "c": "ccc"}
			assert.NoError(t, stage(t, s, layerFor(two), two).Publish())
		})
		within(t, "a request", func() {
			v := s.Acquire()
			defer v.Close()
			e, _ := v.Lookup("a")
			f, err := v.Open(e)
			if assert.NoError(t, err, "the new tree has the content") {
				f.Close()
			}
		})
		within(t, "a check", func() {
			report, err := s.Verify(context.Background(), VerifyOptions{})
			assert.NoError(t, err)
			assert.Len(t, report.Damaged, 1)
		})
	})
	t.Run("as an index and a state", func(t *testing.T) {
		dir := t.TempDir()
		s := openStore(t, dir)
		follow(t, s, hold(t, s, "1.0.0", files))
		require.NoError(t, s.Close())
		pipe(t, filepath.Join(treeFolder(dir, layerFor(files)), "index"))
		pipe(t, filepath.Join(dir, "state.json"))
		within(t, "a start", func() {
			s, err := Open(context.Background(), Options{Dir: dir})
			if assert.NoError(t, err) {
				s.Close()
			}
		})
	})
}

// A tool that saves space has made a link of one of two equal files.
func TestALinkInPlaceOfALargeFile(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	large, other := strings.Repeat("x", blockSize+1), strings.Repeat("y", blockSize+1)
	one := content{"a": large, "b": large}
	follow(t, s, hold(t, s, "1.0.0", one))
	b := filepath.Join(treeFolder(dir, layerFor(one)), "files", "b")
	require.NoError(t, os.Remove(b))
	require.NoError(t, os.Symlink("a", b))
	assert.Equal(t, one, served(t, s), "no byte of it is wrong")

	two := content{"a": other, "b": large}
	follow(t, s, hold(t, s, "2.0.0", two))
	info, err := os.Lstat(filepath.Join(treeFolder(dir, layerFor(two)), "files", "b"))
	require.NoError(t, err)
	assert.True(t, info.Mode().IsRegular(), "%v", info.Mode())
}

func TestStagingThatIsNoFolderOfTheStore(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	s := openStore(t, dir)
	follow(t, s, hold(t, s, "1.0.0", content{"f": "1"}))
	follow(t, s, hold(t, s, "2.0.0", content{"f": "2"}))
	staging := filepath.Join(dir, stagingFolder)
	require.NoError(t, os.RemoveAll(staging)) // it looked like rubbish
	pin(t, s, "")
	assert.Equal(t, content{"f": "1"}, served(t, s))
	require.NoError(t, s.Close())

	require.NoError(t, os.Remove(staging))
	require.NoError(t, os.Symlink(elsewhere, staging))
	precious := filepath.Join(elsewhere, "precious")
	require.NoError(t, os.WriteFile(precious, nil, 0o600))
	_, err := Open(context.Background(), Options{Dir: dir})
	assert.ErrorContains(t, err, "it is emptied at each start, so it must not be a link")
	assert.FileExists(t, precious)
}

// Who tidies up under a running service takes nothing from it but what was unfinished: the
// next tree is unpacked, and the next removal made, all the same.
func TestStagingIsMadeAgain(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, func(o *Options) { o.Keep = 0 })
	tidy := func() { require.NoError(t, os.RemoveAll(filepath.Join(dir, stagingFolder))) }
	follow(t, s, hold(t, s, "1.0.0", content{"f": "1"}))
	tidy()
	follow(t, s, hold(t, s, "2.0.0", content{"f": "2"}))
	tidy()
	_, err := s.putAside(layerFor(content{"f": "1"}))
	assert.NoError(t, err)
	assert.Equal(t, content{"f": "2"}, served(t, s))
}

// What somebody has put among the files is never served. A check names it, and it is no
// damage: there is nothing to repair.
func TestAddedFilesAreNamed(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	files := content{"a": "1", "b/c": "2"}
	layer := layerFor(files)
	st := stage(t, s, layer, files)
	require.NoError(t, st.Symlink("link", "b", time.Time{}))
	require.NoError(t, st.Alias("link", "b", true))
	require.NoError(t, st.Publish())
	follow(t, s, hold(t, s, "1.0.0", files))
	verify := func() VerifyReport {
		report, err := s.Verify(t.Context(), VerifyOptions{})
		require.NoError(t, err)
		assert.Empty(t, report.Damaged)
		return report
	}
	assert.Empty(t, verify().Foreign)

	folder := filepath.Join(treeFolder(dir, layer), "files")
	require.NoError(t, os.WriteFile(filepath.Join(folder, "b", "extra"), nil, 0o600))
	require.NoError(t, os.MkdirAll(filepath.Join(folder, "more", "of", "it"), 0o700))
	assert.Equal(t, []Foreign{{layer, "b/extra"}, {layer, "more"}}, verify().Foreign)
	assert.True(t, s.HasTree(layer))

	for n := range maxForeign {
		require.NoError(t, os.WriteFile(filepath.Join(folder, fmt.Sprint(n)), nil, 0o600))
	}
	assert.Len(t, verify().Foreign, maxForeign)
}

func TestALockThatItsOwnerMayNotOpen(t *testing.T) {
	lock := filepath.Join(t.TempDir(), "lock")
	require.NoError(t, os.WriteFile(lock, nil, 0o400))
	assert.Equal(t, "its mode is 0400: `chmod u+rw "+lock+"`", whose(filepath.Dir(lock), lock))
}
