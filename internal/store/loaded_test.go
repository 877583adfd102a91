package store

import (
	"crypto/sha256"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// A published tree is served from the index that its unpacking made: it must be the
// one that the next start reads, and be let go of like any other.
func TestThePublishedIndexIsTheOneOnDisk(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	files := content{"a/b/c": "c", "a/d": "", "e%\n": strings.Repeat("e", blockSize+1)}
	st := stage(t, s, layerFor(files), files)
	require.NoError(t, st.HardLink("a/link", "a/b/c"))
	require.NoError(t, st.Symlink("now", "a/b", time.Unix(7, 0)))
	require.NoError(t, st.Dir("a/b", time.Unix(8, 0)))
	require.NoError(t, st.Alias("now", "a/b", true))
	require.NoError(t, st.Alias("now/c", "a/b/c", true))
	st.Skip([]Skipped{{Name: "device", Reason: "no file"}}, 3)
	require.NoError(t, st.Publish())

	last := s.loaded.last
	require.NotNil(t, last)
	onDisk, err := openTree(dir, layerFor(files))
	require.NoError(t, err)
	defer onDisk.root.Close()
	assert.Equal(t, onDisk.index, last.index)
	assert.Equal(t, onDisk.root.Name(), last.root.Name())

	follow(t, s, hold(t, s, "1.0.0", files))
	assert.Nil(t, s.loaded.last)
	assert.Equal(t, 1, last.users, "the served view's")
}

// Who takes a tree while another folder takes its place gets that one, index and
// files, and counts as its reader.
func TestATreeTakenWhileItIsReplacedIsTheNewOne(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	files := content{"a": "aaa"}
	follow(t, s, hold(t, s, "1.0.0", content{"other": "x"}))
	hold(t, s, "2.0.0", files)
	s.loaded.forgetPublished()
	again := stage(t, s, layerFor(files), files)
	defer again.Discard()
	require.NoError(t, again.Seal())
	require.NoError(t, again.writeIndex())

	var taken *tree
	var taking sync.WaitGroup
	before, err := s.loaded.moved(layerFor(files), func() error {
		taking.Go(func() { taken, _ = s.loaded.acquire(layerFor(files)) })
		time.Sleep(20 * time.Millisecond) // long enough to get in between
		return unix.Renameat2(unix.AT_FDCWD, filepath.Dir(again.Folder()), unix.AT_FDCWD, treeFolder(dir, layerFor(files)), unix.RENAME_EXCHANGE)
	})
	taking.Wait()
	require.NoError(t, err)
	assert.Nil(t, before, "nobody had taken it before")
	require.NotNil(t, taken)
	defer s.loaded.release(taken)
	assert.True(t, s.loaded.named(taken))
	assert.True(t, s.loaded.inUse(layerFor(files)), "so that nobody removes it")
}

// A client that asks for a damaged file has a copy of it read. Nobody else waits for
// that.
func TestASearchForACopyKeepsNoTreeFromBeingTaken(t *testing.T) {
	s := openStore(t, t.TempDir())
	large := strings.Repeat("0123456789", vouchFrom/10+1)
	follow(t, s, hold(t, s, "1.0.0", content{"a": large, "copy": large}))
	hold(t, s, "0.9.0", content{"f": "1"})
	v := s.Acquire()
	defer v.Close()
	e, ok := v.Lookup("a")
	require.True(t, ok)
	top := v.trees[0]
	a, _ := top.find("a")
	top.damaged.Store(&map[int32]bool{a: true})

	rec, _ := top.find("copy")
	reading := top.vouchers.of(rec)
	reading.mu.Lock()
	opened := make(chan error)
	go func() {
		f, err := v.Open(e)
		if err == nil {
			f.Close()
		}
		opened <- err
	}()
	users := func() int {
		s.loaded.mu.Lock()
		defer s.loaded.mu.Unlock()
		return top.users
	}
	require.Eventually(t, func() bool { return users() == 2 }, 30*time.Second, time.Millisecond, "the search has it")
	other, err := s.AcquireVersion("0.9.0")
	require.NoError(t, err)
	other.Close()
	reading.mu.Unlock()
	assert.NoError(t, <-opened)
	assert.Equal(t, 1, users(), "it is given back")
}

// A search for a copy reads what a sick disk gives, for as long as that takes. No change
// waits for it: a rollback may be what is wanted then.
func TestNoChangeWaitsForASearch(t *testing.T) {
	s := openStore(t, t.TempDir())
	one := hold(t, s, "1.0.0", content{"f": "1"})
	follow(t, s, one)
	s.loaded.searching.Lock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		follow(t, s, hold(t, s, "2.0.0", content{"f": "2"}))
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Error("it waits")
	}
	s.loaded.searching.Unlock()
	<-done
	assert.Equal(t, content{"f": "2"}, served(t, s))
}

// What a search that began before it has not found, the next one finds in what was published
// meanwhile.
func TestASearchThatBeganBeforeDoesNotHideWhatIsPublished(t *testing.T) {
	s := openStore(t, t.TempDir())
	follow(t, s, hold(t, s, "1.0.0", content{"f": "1"}))
	wanted := sha256.Sum256([]byte("wanted"))
	before := s.loaded.lacking
	_, err := s.loaded.openCopy(wanted)
	require.ErrorIs(t, err, ErrNotHeld)
	require.True(t, before[wanted])
	hold(t, s, "2.0.0", content{"copy": "wanted"})
	before[wanted] = true // as a search that ends now does
	s.loaded.forgetPublished()
	f, err := s.loaded.searchDisk(wanted)
	require.NoError(t, err)
	f.Close()
}
