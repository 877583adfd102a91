package httpserve

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Frames of HTTP/2 (RFC 9113, 6) that the tests below write and read.
const (
	frameData         = 0x0
	frameHeaders      = 0x1
	frameReset        = 0x3
	frameSettings     = 0x4
	framePing         = 0x6
	frameWindowUpdate = 0x8
)

// byHand is a client that opens no window by itself, and whose connection moves.
type byHand struct {
	net.Conn
	mu    sync.Mutex
	bytes map[uint32]int  // of each stream
	ended map[uint32]bool // by a reset
	whole map[uint32]bool // to its end
	over  error           // of the connection
}

func dialByHand(t *testing.T, r *running, pause time.Duration) *byHand {
	t.Helper()
	c := &byHand{Conn: r.dial(t, "h2"), bytes: make(map[uint32]int), ended: make(map[uint32]bool), whole: make(map[uint32]bool)}
	require.NoError(t, c.SetDeadline(time.Now().Add(time.Minute)))
	_, err := io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	require.NoError(t, err)
	c.frame(frameSettings, 0, 0, []byte{0, 4, 0, 0, 0, 0}) // SETTINGS_INITIAL_WINDOW_SIZE 0
	go c.read()
	go func() {
		for c.frame(framePing, 0, 0, make([]byte, 8)) == nil {
			time.Sleep(pause)
		}
	}()
	return c
}

func (c *byHand) frame(kind, flags byte, stream uint32, payload []byte) error {
	head := []byte{0, byte(len(payload) >> 8), byte(len(payload)), kind, flags}
	_, err := c.Write(append(binary.BigEndian.AppendUint32(head, stream), payload...))
	return err
}

// get asks for a path on a stream.
func (c *byHand) get(stream uint32, path string) error {
	block := append([]byte{0x82, 0x87, 0x41, 1, 'h', 0x04, byte(len(path))}, path...)
	return c.frame(frameHeaders, 0x4|0x1, stream, block) // END_HEADERS, END_STREAM
}

// open lets the server send that many bytes more.
func (c *byHand) open(stream uint32, bytes uint32) error {
	return c.frame(frameWindowUpdate, 0, stream, binary.BigEndian.AppendUint32(nil, bytes))
}

func (c *byHand) read() {
	head := make([]byte, 9)
	for {
		_, err := io.ReadFull(c, head)
		payload := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
		if err == nil {
			_, err = io.ReadFull(c, payload)
		}
		stream := binary.BigEndian.Uint32(head[5:])
		c.mu.Lock()
		switch {
		case err != nil:
			c.over = err
			c.mu.Unlock()
			return
		case head[3] == frameData:
			c.bytes[stream] += len(payload)
			c.whole[stream] = head[4]&0x1 != 0
		case head[3] == frameReset:
			c.ended[stream] = true
		}
		c.mu.Unlock()
	}
}

// state returns what became of a stream.
func (c *byHand) state(stream uint32) (bytes int, ended, whole bool, over error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes[stream], c.ended[stream], c.whole[stream], c.over
}

func TestStreamsThatStandStill(t *testing.T) {
	s := openStore(t)
	follow(t, s, hold(t, s, "1.0.0", tree{
		"large.bin":  strings.Repeat("0123456789abcdef", 256<<10), // 4 MiB
		"medium.bin": strings.Repeat("x", 200<<10),                // sent by one Write
		"x.txt":      "content\n",
	}))
	const stall = 1200 * time.Millisecond
	r := start(t, s, shortLimits(func(l *limits) { l.stall, l.idle = stall, stall }))
	view := func(path string) uint32 { return map[string]uint32{"/large.bin": 1, "/medium.bin": 3}[path] }

	t.Run("end, though the connection moves", func(t *testing.T) {
		t.Parallel()
		c := dialByHand(t, r, stall/10)
		for _, path := range []string{"/large.bin", "/medium.bin"} {
			require.NoError(t, c.get(view(path), path))
		}
		for _, path := range []string{"/large.bin", "/medium.bin"} {
			require.Eventually(t, func() bool {
				_, ended, _, _ := c.state(view(path))
				return ended
			}, 30*time.Second, 20*time.Millisecond, path)
		}
		require.NoError(t, c.get(5, "/x.txt"), "the connection goes on")
		require.NoError(t, c.open(5, 100))
		assert.Eventually(t, func() bool {
			bytes, _, whole, _ := c.state(5)
			return whole && bytes == len("content\n")
		}, 10*time.Second, 10*time.Millisecond)
	})
	t.Run("after the server is done with them end the connection", func(t *testing.T) {
		t.Parallel()
		// net/http has taken all of it, and has no bound of time for it.
		c := dialByHand(t, r, stall/10)
		require.NoError(t, c.get(1, "/x.txt"))
		assert.Eventually(t, func() bool {
			_, _, _, over := c.state(1)
			return over != nil && !errors.Is(over, net.ErrClosed)
		}, 30*time.Second, 20*time.Millisecond)
	})
	for _, path := range []string{"/large.bin", "/medium.bin"} {
		t.Run(fmt.Sprint("but do not end while they move: ", path), func(t *testing.T) {
			t.Parallel()
			c := dialByHand(t, r, stall/10)
			require.NoError(t, c.open(0, 1<<20))
			require.NoError(t, c.get(1, path))
			given := 0
			give := func(bytes uint32, times int) {
				for range times {
					require.NoError(t, c.open(1, bytes))
					given += int(bytes)
					time.Sleep(stall / 6)
				}
			}
			give(1200, 15) // the first piece, in twice the allowed time
			give(200, 30)  // and then even less, for longer than a large piece may take
			require.Eventually(t, func() bool {
				bytes, ended, _, over := c.state(1)
				return !ended && over == nil && bytes > given-slowPiece-200
			}, 5*time.Second, 10*time.Millisecond)
			require.NoError(t, c.open(1, 8<<20))
			require.NoError(t, c.open(0, 8<<20))
			assert.Eventually(t, func() bool {
				_, _, whole, _ := c.state(1)
				return whole
			}, 20*time.Second, 10*time.Millisecond, "and get quick again")
		})
	}
}

// An answer whose turn has not come is not one that stands still.
func TestAnAnswerIsJudgedWhereNothingIsOnItsWay(t *testing.T) {
	a := &answer{}
	a.steps.Add(1)
	require.Zero(t, a.look(false, 0), "it has just begun")
	for range 100 {
		require.Zero(t, a.look(true, share), "others are served")
	}
	assert.True(t, a.slow.Load())
	assert.Equal(t, 1, a.look(false, share), "nothing goes to the client")
	assert.Equal(t, 2, a.look(true, share+1), "all others had their turn")
	a.steps.Add(1)
	for range 100 {
		require.Zero(t, a.look(false, 0), "the server itself takes its time")
	}
	a.steps.Add(2*quickPieces - 1)
	assert.Zero(t, a.look(false, 0))
	assert.True(t, a.slow.Load())
	a.steps.Add(2 * quickPieces)
	assert.Zero(t, a.look(false, 0))
	assert.False(t, a.slow.Load(), "it is quick again")
}
