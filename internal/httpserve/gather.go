package httpserve

import (
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// gatherSize is what is gathered at most before it is written.
const gatherSize = 64 << 10

// gather spares system calls. On HTTP/2 net/http writes each frame by itself: a
// TLS record, a system call and often a packet for each of an answer's two or
// three frames, and of those of all streams. On HTTP/1 it writes the header with
// as much of the body as fits into 4 KiB, then the rest. Below TLS, records are
// gathered instead, until every goroutine that has something to write had its
// turn; then one Write sends them all.
type gather struct {
	direct bool        // nothing is gathered
	last   atomic.Bool // nor is it any more: the server ends

	mu      sync.Mutex
	records *[]byte // from the pool while there is something in it
	waiting bool    // a goroutine is about to flush
	err     error   // of a flush; the connection is at its end
}

var gatherBuffers = sync.Pool{New: func() any {
	b := make([]byte, 0, gatherSize)
	return &b
}}

// Write is not called by two goroutines at a time: crypto/tls sees to that.
func (c *conn) Write(p []byte) (int, error) {
	if c.direct || !c.asked.Load() { // handshakes are not gathered
		return c.write(p)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	atOnce := len(p) >= gatherSize || c.last.Load()
	if atOnce || c.records != nil && len(*c.records)+len(p) > gatherSize {
		c.flush()
	}
	if c.err != nil {
		return 0, c.err
	}
	if atOnce {
		return c.write(p)
	}
	if c.records == nil {
		c.records = gatherBuffers.Get().(*[]byte)
	}
	*c.records = append(*c.records, p...)
	if !c.waiting {
		c.waiting = true
		go c.flushSoon()
	}
	return len(p), nil
}

func (c *conn) flushSoon() {
	runtime.Gosched() // the others' turn to write
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = false
	c.flush()
}

func (c *conn) flushNow() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flush()
}

// handOver returns when the kernel has the end of an answer of HTTP/1, if what the
// client takes may be waited for. To close, crypto/tls sets a deadline of five
// seconds, which is for its own last record, and too short for a slow client to
// make room for what was gathered before it.
func (a *answer) handOver(c *conn) {
	if !a.request.Close && a.sent < gatherSize && len(a.Header()["Connection"]) == 0 {
		return // the connection goes on, and its client has room for this
	}
	if http.NewResponseController(a.ResponseWriter).Flush() == nil {
		c.flushNow()
	}
}

// flush writes what was gathered. The lock is held all the while: a client that
// takes nothing holds up who writes for it, as without gathering.
func (c *conn) flush() {
	if c.records == nil {
		return
	}
	if c.err == nil {
		_, c.err = c.write(*c.records)
	}
	*c.records = (*c.records)[:0]
	gatherBuffers.Put(c.records)
	c.records = nil
}

// SetWriteDeadline flushes before a deadline that has come: crypto/tls sets the
// deadline to now after its last record, and closes.
func (c *conn) SetWriteDeadline(t time.Time) error {
	if !t.IsZero() && !t.After(time.Now()) {
		c.flushNow()
	}
	// Without the lock, so that it ends a flush that stands still.
	return c.Conn.SetWriteDeadline(t)
}

// SetDeadline is SetWriteDeadline and SetReadDeadline.
func (c *conn) SetDeadline(t time.Time) error {
	if err := c.SetWriteDeadline(t); err != nil {
		return err
	}
	return c.SetReadDeadline(t)
}
