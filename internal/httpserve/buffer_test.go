package httpserve

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBuffersAreLargeEnough(t *testing.T) {
	for _, row := range []struct{ size, buffer int64 }{{0, 4 << 10}, {1, 4 << 10}, {4 << 10, 4 << 10}, {4<<10 + 1, 8 << 10}, {maxCached - 1, maxCached}, {maxCached, maxCached}} {
		for range 2 { // a new one, and one of the pool
			b := takeBuffer(row.size)
			assert.Len(t, b.bytes, int(row.buffer), "for %d", row.size)
			b.give()
		}
	}
}

// broken is a client that is gone. It remembers what it was to be sent.
type broken struct {
	http.ResponseWriter
	given []byte
}

func (b *broken) Write(p []byte) (int, error) {
	b.given = p
	return 0, errors.New("the client is gone")
}

// What a failed Write was given may still be read: nothing else is put there.
func TestWhatWasNotSentIsNotUsedAgain(t *testing.T) {
	s := openStore(t)
	large := strings.Repeat("x", 2*blockSize)
	follow(t, s, hold(t, s, "1.0.0", tree{"small": "small", "large": large}))
	r := start(t, s)
	for range 2 { // from the disk, and from memory
		w := &broken{ResponseWriter: httptest.NewRecorder()}
		r.answer(w, httptest.NewRequest(http.MethodGet, "/small", nil))
		require.Equal(t, "small", string(w.given))
		for range 100 {
			assert.NotSame(t, &w.given[0], &takeBuffer(5).bytes[0])
		}
	}
	w := &broken{ResponseWriter: httptest.NewRecorder()}
	r.answer(w, httptest.NewRequest(http.MethodGet, "/large", nil))
	require.Len(t, w.given, blockSize)
	for range 100 {
		assert.NotSame(t, &w.given[0], &(*blocks.Get().(*[]byte))[0])
	}
}
