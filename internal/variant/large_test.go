package variant

import (
	"crypto/sha256"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A large variant is not read at each request; but what happens to it after it
// was checked is not served either.
func TestALargeVariantThatChangesIsCheckedAgain(t *testing.T) {
	s := open(t, t.TempDir())
	makeAll(t, s, large)
	sum := sha256.Sum256([]byte(large))
	var path string
	require.Eventually(t, func() bool {
		f, _, err := s.Open(sum, Gzip)
		require.NoError(t, err)
		defer f.Close()
		path = f.Name()
		_, known := s.large.Load(path)
		return known
	}, 30*time.Second, 50*time.Millisecond)

	b, err := os.ReadFile(path)
	require.NoError(t, err)
	b[len(b)/2] ^= 1
	require.NoError(t, os.WriteFile(path, b, 0o644))
	_, _, err = s.Open(sum, Gzip)
	assert.ErrorIs(t, err, ErrNone)
	_, known := s.Find(sum)
	assert.False(t, known, "it is for the next Make")
}
