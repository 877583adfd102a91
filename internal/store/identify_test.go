package store

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The digest of a stream is known only at its end.
func TestStagingOfALayerThatIsNamedLate(t *testing.T) {
	s := openStore(t, t.TempDir())
	begin := func() *Staging {
		st, err := s.NewStaging("")
		require.NoError(t, err)
		require.NoError(t, st.File("a", time.Time{}, 1, strings.NewReader("1")))
		return st
	}
	layer := digest.FromString("late")
	named := begin()
	require.NoError(t, named.Identify(layer))
	require.NoError(t, named.Publish())
	assert.True(t, s.HasTree(layer))

	assert.ErrorContains(t, begin().Publish(), "publish a tree without a layer")
	wrong := begin()
	assert.ErrorContains(t, wrong.Identify("sha256:x"), `unpack layer "sha256:x"`)
	wrong.Discard()
	left, err := os.ReadDir(filepath.Join(s.Dir(), "staging"))
	require.NoError(t, err)
	assert.Empty(t, left)
}
