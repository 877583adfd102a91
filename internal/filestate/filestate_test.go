package filestate

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	of := func() State {
		info, err := os.Stat(path)
		require.NoError(t, err)
		return Of(info)
	}
	require.NoError(t, os.WriteFile(path, []byte("one"), 0o600))
	first := of()
	require.Eventually(t, func() bool { return first.Settled() }, 30*time.Second, 10*time.Millisecond)
	assert.Equal(t, first, of())

	require.NoError(t, os.WriteFile(path, []byte("two"), 0o600))
	second := of()
	assert.NotEqual(t, first, second, "a write of as many bytes")
	date := time.Unix(1e9, 0)
	require.NoError(t, os.Chtimes(path, date, date))
	assert.NotEqual(t, second, of(), "and one whose date was forged")

	other := path + ".new"
	require.NoError(t, os.WriteFile(other, []byte("two"), 0o600))
	third := of()
	require.NoError(t, os.Rename(other, path))
	assert.NotEqual(t, third, of(), "a file in its place")
}

func TestNothingIsSettledOfWhatIsNotKnown(t *testing.T) {
	assert.False(t, State{}.Settled())
}
