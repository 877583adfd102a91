package archive

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReadingAheadChangesNothing(t *testing.T) {
	content := make([]byte, 3*aheadCount*aheadBlock+17)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(content)
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"whole": func(r io.Reader) io.Reader { return r }, "half": iotest.HalfReader, "data with its end": iotest.DataErrReader,
	} {
		t.Run(name, func(t *testing.T) {
			a := readAhead(wrap(bytes.NewReader(content)))
			defer a.close()
			require.NoError(t, iotest.TestReader(a, content))
		})
	}
}

func TestAnErrorComesBehindWhatWasReadBeforeIt(t *testing.T) {
	broken := errors.New("the line is dead")
	a := readAhead(io.MultiReader(bytes.NewReader(make([]byte, aheadBlock+5)), iotest.ErrReader(broken)))
	defer a.close()
	got, err := io.ReadAll(a)
	assert.ErrorIs(t, err, broken)
	assert.Len(t, got, aheadBlock+5)
	_, err = a.Read(make([]byte, 1))
	assert.ErrorIs(t, err, broken, "and again")
}

func TestReadingAheadStopsWithItsReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads := 0
		a := readAhead(readerFunc(func(p []byte) (int, error) {
			reads++ // of the goroutine until close returns: the race detector watches
			time.Sleep(time.Second)
			return len(p), nil
		}))
		synctest.Wait()
		a.close() // waits for the Read that is under way
		before := reads
		time.Sleep(time.Minute)
		assert.Equal(t, before, reads, "nobody reads any more")
	})
}
