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
