package httpserve

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// gathering is a connection that gathers, and its other end.
func gathering(t *testing.T) (c *conn, other net.Conn) {
	t.Helper()
	near, other := net.Pipe()
	c = &conn{Conn: near, close: near.Close}
	c.asked.Store(true)
	t.Cleanup(func() {
		near.Close()
		other.Close()
	})
	return c, other
}

func TestGatherKeepsOrder(t *testing.T) {
	c, other := gathering(t)
	var want bytes.Buffer
	go func() {
		for n := range 2000 {
			p := bytes.Repeat(fmt.Appendf(nil, "%d,", n), 1+n*n%97)
			if n%500 == 0 {
				p = bytes.Repeat([]byte("x"), gatherSize+n) // larger than what is gathered
			}
			want.Write(p)
			_, err := c.Write(p)
			assert.NoError(t, err)
			clear(p) // it is the caller's again
		}
		assert.NoError(t, c.SetWriteDeadline(time.Now()))
		assert.NoError(t, c.Close())
	}()
	got, err := io.ReadAll(other)
	require.NoError(t, err)
	assert.Equal(t, want.Bytes(), got, "all of it, before the end")
	assert.Nil(t, c.records, "the buffer is given back")
}

func TestGatherSendsSoon(t *testing.T) {
	c, other := gathering(t)
	_, err := c.Write([]byte("alone"))
	require.NoError(t, err)
	require.NoError(t, other.SetReadDeadline(time.Now().Add(5*time.Second)))
	got := make([]byte, 5)
	_, err = io.ReadFull(other, got)
	require.NoError(t, err, "without anything after it")
	assert.Equal(t, "alone", string(got))
}

func TestGatherTellsOfAFailure(t *testing.T) {
	c, other := gathering(t)
	other.Close()
	require.Eventually(t, func() bool {
		_, err := c.Write([]byte("into the void"))
		return err != nil
	}, 5*time.Second, time.Millisecond, "at a later write")
}

func TestGatherCanBeEndedWhileItStandsStill(t *testing.T) {
	c, _ := gathering(t) // nobody reads
	_, err := c.Write([]byte("held up"))
	require.NoError(t, err)
	time.Sleep(20 * time.Millisecond)
	require.NoError(t, c.SetWriteDeadline(time.Now().Add(50*time.Millisecond)))
	_, err = c.Write([]byte("more"))
	assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
}
