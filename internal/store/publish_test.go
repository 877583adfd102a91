package store

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A repaired tree takes the damaged one's place in one step: whoever asks for the
// tree meanwhile gets one of the two.
func TestATreeIsThereWhileItIsReplaced(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	files := content{"a": "aaa", "b": "bbb"}
	follow(t, s, hold(t, s, "2.0.0", content{"other": "x"}))
	hold(t, s, "1.0.0", files)

	quit := make(chan struct{})
	var asking sync.WaitGroup
	asking.Go(func() {
		final := filepath.Join(dir, treesFolder, treeName(layerFor(files)), "index")
		for {
			select {
			case <-quit:
				return
			default:
			}
			if _, err := os.Stat(final); !assert.NoError(t, err) {
				return
			}
			v, err := s.AcquireTree(layerFor(files))
			if !assert.NoError(t, err) {
				return
			}
			v.Close()
		}
	})
	for range 20 {
		rot(t, dir, files, "a")
		_, err := s.Verify(context.Background(), VerifyOptions{})
		require.NoError(t, err)
		require.False(t, s.HasTree(layerFor(files)))
		require.NoError(t, stage(t, s, layerFor(files), files).Publish())
		require.True(t, s.HasTree(layerFor(files)))
	}
	close(quit)
	asking.Wait()
}

// Who still reads a tree that was replaced may find more damage in it. That says
// nothing of the tree that has its name now.
func TestDamageOfAReplacedTreeIsNotItsSuccessors(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	files := content{"a": "aaa", "b": "bbb"}
	follow(t, s, hold(t, s, "1.0.0", files))
	rot(t, dir, files, "a")
	_, err := s.Verify(context.Background(), VerifyOptions{})
	require.NoError(t, err)
	held := s.Acquire()
	aside := stage(t, s, layerFor(files), files)
	require.NoError(t, aside.Publish())

	left, err := filepath.Glob(filepath.Join(dir, stagingFolder, "*", "files", "b"))
	require.NoError(t, err)
	require.Len(t, left, 1, "the tree that is still read")
	require.NoError(t, os.Remove(left[0])) // not its content, which the new tree shares
	e, ok := held.Lookup("b")
	require.True(t, ok)
	s.ReportDamage(held, e)
	held.Close()
	assert.True(t, s.HasTree(layerFor(files)))
	require.NoError(t, s.Close())
	s = openStore(t, dir)
	assert.True(t, s.HasTree(layerFor(files)), "after a restart too")
	assert.Equal(t, files, served(t, s))
}

func TestCloseLetsGoOfEverything(t *testing.T) {
	dir := t.TempDir()
	descriptors := func() int {
		open, err := os.ReadDir("/proc/self/fd")
		require.NoError(t, err)
		return len(open)
	}
	before := descriptors()
	s := openStore(t, dir)
	c := hold(t, s, "1.0.0", content{"a": "1"})
	follow(t, s, c)
	follow(t, s, hold(t, s, "1.0.0", content{"a": "2"}))
	v, err := s.AcquireVersion(c.Manifest.String())
	require.NoError(t, err)
	require.NoError(t, s.Close())
	assert.Equal(t, content{"a": "1"}, read(t, v), "a view that is held stays readable")
	v.Close()
	assert.Equal(t, before, descriptors())
}
