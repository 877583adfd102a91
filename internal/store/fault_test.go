package store

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// fewDescriptors leaves so many descriptors to be opened until the end of f: a fault that
// passes, as a burst of clients brings.
func fewDescriptors(t *testing.T, n int, f func()) {
	t.Helper()
	var before unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &before))
	probe, err := os.Open(os.DevNull)
	require.NoError(t, err)
	few := before
	few.Cur = uint64(int(probe.Fd()) + n) // it has the lowest that is free
	probe.Close()
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &few))
	defer func() { require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &before)) }()
	f()
}

// damagedStore serves files of which "a" is known to be damaged.
func damagedStore(t *testing.T, dir string, files content) *Store {
	t.Helper()
	s := openStore(t, dir)
	follow(t, s, hold(t, s, "1.0.0", files))
	rot(t, dir, files, "a")
	_, err := s.Verify(context.Background(), VerifyOptions{})
	require.NoError(t, err)
	require.False(t, s.HasTree(layerFor(files)))
	return s
}

// sealed is a staging that only its publication is left of.
func sealed(t *testing.T, s *Store, files content) *Staging {
	t.Helper()
	st := stage(t, s, layerFor(files), files)
	require.NoError(t, st.Seal())
	require.NoError(t, st.writeIndex())
	return st
}

// One fault between the exchange of a repaired tree and its being served must neither
// take the old one away from who reads it, nor keep the new one from being served.
func TestAFaultAfterARepairedTreeHasItsName(t *testing.T) {
	dir := t.TempDir()
	files := content{"a": "aaa", "b": "bbb"}
	s := damagedStore(t, dir, files)
	held := s.Acquire()
	defer held.Close()
	old := held.trees[0]

	st := sealed(t, s, files)
	var given bool
	var err error
	fewDescriptors(t, 0, func() { given, err = s.publish(st.folder, st.layer, st.sealed) })
	require.ErrorIs(t, err, unix.EMFILE)
	require.True(t, given)
	st.folder = ""
	st.Discard()

	b, _ := old.find("b")
	f, _, err := old.openFile(b)
	require.NoError(t, err, "who holds the old tree goes on reading it")
	f.Close()
	assert.True(t, s.HasTree(layerFor(files)), "no sync will bring it again")
	s.repairDamaged(t.Context())
	assert.Equal(t, files, served(t, s))
	require.NoError(t, s.Close())
	assert.Equal(t, files, served(t, openStore(t, dir)))
}

// What a failed sync, repair or removal could not take out of staging goes when the fault
// is over, and not at the next start: until then it takes the space that a sync needs.
func TestWhatAFaultLeftInStagingGoes(t *testing.T) {
	dir := t.TempDir()
	old, files := content{"f": "1"}, content{"a": "aaa", "b": "bbb"}
	s := openStore(t, dir)
	hold(t, s, "0.1.0", old)
	require.NoError(t, s.Close())
	s = damagedStore(t, dir, files)
	held := s.Acquire()
	left := func() int {
		entries, err := os.ReadDir(filepath.Join(dir, stagingFolder))
		require.NoError(t, err)
		return len(entries)
	}

	st := sealed(t, s, files)
	failed, err := os.MkdirTemp(s.staging(), "tree-*")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(failed, "f"), nil, 0o644))
	fewDescriptors(t, 0, func() {
		require.ErrorIs(t, s.removeAside(failed), unix.EMFILE)
		_, err := s.publish(st.folder, st.layer, st.sealed) // the damaged tree makes room for it
		require.ErrorIs(t, err, unix.EMFILE)
		_, err = s.putAside(layerFor(old))
		require.ErrorIs(t, err, unix.EMFILE)
		_, err = s.GC(false)
		require.Error(t, err)
	})
	st.folder = ""
	st.Discard()
	require.NoError(t, s.serveRepaired())
	require.Equal(t, 3, left())

	_, err = s.GC(false)
	require.NoError(t, err)
	assert.Equal(t, 1, left(), "somebody reads it")
	b, _ := held.Lookup("b")
	assert.NoError(t, held.Read(b, make([]byte, 3)))
	held.Close()
	emptied(t, dir)
	assert.Equal(t, files, served(t, s))
}

// A start that cannot make certain what was renamed before it keeps what it would remove,
// for as long as that is so.
func TestWhatAFaultAtTheStartLeftInStagingGoes(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	files := content{"f": "1"}
	follow(t, s, hold(t, s, "1.0.0", files))
	require.NoError(t, os.Mkdir(filepath.Join(dir, stagingFolder, "gone-1"), 0o755))
	trees := filepath.Join(dir, treesFolder)
	require.NoError(t, os.Rename(trees, trees+".away"))
	left, err := s.leftovers()
	require.NoError(t, err)
	assert.Empty(t, left)
	require.NoError(t, os.Rename(trees+".away", trees))
	_, err = s.GC(false)
	require.NoError(t, err)
	emptied(t, dir)
	assert.Equal(t, files, served(t, s))
}

// A tree whose name could not be made durable is found by the next sync. No state may
// name it before it is.
func TestANameThatCouldNotBeFlushed(t *testing.T) {
	s := openStore(t, t.TempDir())
	files := content{"a": "aaa"}
	st := sealed(t, s, files)
	fewDescriptors(t, 0, func() {
		given, err := s.publish(st.folder, st.layer, st.sealed)
		require.True(t, given)
		require.ErrorIs(t, err, unix.EMFILE)
	})
	st.folder = ""
	st.Discard()
	require.True(t, s.unflushed)
	require.True(t, s.HasTree(layerFor(files)))
	fewDescriptors(t, 0, func() {
		s.loaded.published(layerFor(files), st.sealed)
		assert.Error(t, s.Add(Release{Source: "default", Tag: "1.0.0", Layer: layerFor(files)}))
	})
	assert.Empty(t, s.Releases())
	hold(t, s, "1.0.0", files)
	assert.False(t, s.unflushed)
}

// A file system that cannot exchange two names has the damaged tree back where the
// repaired one cannot get its name.
func TestADamagedTreeIsBackWhereItsSuccessorFails(t *testing.T) {
	can := exchange
	exchange = func(string, string) error { return unix.EINVAL }
	defer func() { exchange = can }()
	dir := t.TempDir()
	files := content{"a": "aaa", "b": "bbb"}
	s := damagedStore(t, dir, files)

	st := sealed(t, s, files)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, st.folder))) // as good a fault as any
	given, err := s.publish(st.folder, st.layer, st.sealed)
	st.Discard()
	require.ErrorIs(t, err, os.ErrNotExist)
	assert.False(t, given)
	require.NoError(t, s.Close())
	s = openStore(t, dir)
	assert.Equal(t, "bbb", servedFile(t, s, "b"), "what is good of it is served")

	require.NoError(t, stage(t, s, layerFor(files), files).Publish())
	assert.Equal(t, files, served(t, s))
	emptied(t, dir)
}

func servedFile(t *testing.T, s *Store, name string) string {
	t.Helper()
	v := s.Acquire()
	require.NotNil(t, v)
	defer v.Close()
	e, ok := v.Lookup(name)
	require.True(t, ok)
	f, err := v.Open(e)
	require.NoError(t, err)
	defer f.Close()
	b := make([]byte, e.Size)
	_, err = f.Read(b)
	require.NoError(t, err)
	return string(b)
}

// Too few descriptors are no damage, whoever looks.
func TestALackOfDescriptorsIsNoDamage(t *testing.T) {
	s := openStore(t, t.TempDir())
	files := content{"a": "aaa", "b": "bbb"}
	follow(t, s, hold(t, s, "1.0.0", files))
	for n := range 4 {
		fewDescriptors(t, n, func() {
			report, err := s.Verify(context.Background(), VerifyOptions{})
			assert.Empty(t, report.Damaged)
			if n == 0 {
				assert.ErrorIs(t, err, unix.EMFILE, "it says that it could not look")
			}
		})
		require.True(t, s.HasTree(layerFor(files)), "nothing is wrong with the tree")
	}
	assert.Equal(t, files, served(t, s))
}

// damagedWithCopy serves a damaged file, of which a tree that nobody has loaded has the
// content.
func damagedWithCopy(t *testing.T) (*Store, *View, Entry) {
	t.Helper()
	dir := t.TempDir()
	s := openStore(t, dir)
	follow(t, s, hold(t, s, "0.1.0", content{"f": "0"}))
	hold(t, s, "0.9.0", content{"copy": "aaa"})
	require.NoError(t, s.Close())
	s = damagedStore(t, dir, content{"a": "aaa"})
	v := s.Acquire()
	t.Cleanup(v.Close)
	e, ok := v.Lookup("a")
	require.True(t, ok)
	return s, v, e
}

// A search for another copy that could not look everywhere is made again.
func TestASearchThatCouldNotLook(t *testing.T) {
	_, v, e := damagedWithCopy(t)
	fewDescriptors(t, 1, func() { // enough to list the trees, not to open one
		_, err := v.Open(e)
		require.Error(t, err)
	})
	f, err := v.Open(e)
	require.NoError(t, err, "the copy is there")
	f.Close()
}

// A tree that a client takes while another looks for a copy is looked at too.
func TestASearchMeetsWhatWasJustTaken(t *testing.T) {
	s, v, e := damagedWithCopy(t)
	s.loaded.searching.Lock() // between the look into memory and that on the disk
	done := make(chan error)
	go func() {
		f, err := v.Open(e)
		if err == nil {
			f.Close()
		}
		done <- err
	}()
	time.Sleep(50 * time.Millisecond)
	c, err := s.AcquireVersion("0.9.0")
	require.NoError(t, err)
	defer c.Close()
	s.loaded.searching.Unlock()
	assert.NoError(t, <-done, "the copy is there")
}

// The end of the process must not end what a reader holds, whatever is under way.
func TestCloseWhileSwapping(t *testing.T) {
	s := openStore(t, t.TempDir())
	follow(t, s, hold(t, s, "1.0.0", content{"f": "1"}))
	v := s.Acquire()
	two := hold(t, s, "2.0.0", content{"f": "2"})
	staged := stage(t, s, layerFor(content{"g": "3"}), content{"g": "3"})
	s.mu.Lock() // a swap is under way
	closed := make(chan struct{})
	go func() {
		s.Close()
		close(closed)
	}()
	time.Sleep(20 * time.Millisecond)
	_, err := s.follow("default", []Contribution{two})
	s.mu.Unlock()
	require.NoError(t, err)
	<-closed
	assert.Equal(t, content{"f": "1"}, read(t, v))
	v.Close()

	// What comes after it changes nothing: the store may be another process's.
	assert.ErrorIs(t, staged.Publish(), errClosed)
	_, err = s.Follow("default", nil)
	assert.ErrorIs(t, err, errClosed)
	_, err = s.GC(false)
	assert.ErrorIs(t, err, errClosed)
}
