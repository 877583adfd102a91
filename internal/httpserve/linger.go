package httpserve

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// closing is the end of a connection. What an answer's end lies in is the
// kernel, for a slow client some megabytes of it; and whatever the client sends
// once the socket is closed (on HTTP/2 a WINDOW_UPDATE, as it takes the bytes)
// is answered with a reset, which throws that end away. net/http waits for a
// second at most. So a connection on which a request came is closed for writing
// only at first, and what comes is read and dropped until the client closes.
type closing struct {
	asked atomic.Bool // a request came
	ended atomic.Bool // a Read has failed: nothing comes any more
	begun atomic.Bool // Close was called

	reading   sync.Mutex // held by who reads
	deadlines sync.Mutex // held by who changes the deadline of reads
}

// lingerTick is how often it is looked whether there is still reason to wait.
const lingerTick = 100 * time.Millisecond

// Read is called by one goroutine at a time, and by none that waits after Close.
func (c *conn) Read(p []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.begun.Load() {
		return 0, net.ErrClosed
	}
	n, err := c.Conn.Read(p)
	c.note(n)
	switch {
	case err == nil:
	case c.begun.Load():
		err = net.ErrClosed
	case !errors.Is(err, os.ErrDeadlineExceeded):
		c.ended.Store(true)
	}
	return n, err
}

// SetReadDeadline has no effect once the connection is being closed.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.deadlines.Lock()
	defer c.deadlines.Unlock()
	if c.begun.Load() {
		return net.ErrClosed
	}
	return c.Conn.SetReadDeadline(t)
}

// end has whoever reads or writes return, as Close does.
func (c *conn) end() {
	c.deadlines.Lock()
	defer c.deadlines.Unlock()
	c.begun.Store(true)
	_ = c.Conn.SetDeadline(time.Unix(1, 0)) // one that fails is closed, too
}

// lingers says whether the end of a connection is waited for, and has waitLingering
// wait for it then.
func (l *listener) lingers(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
	if l.cut.Load() || !c.asked.Load() || c.ended.Load() || c.dropped.Load() {
		return false
	}
	l.lingering++
	return true
}

// lingered notes that a connection's end was waited for.
func (l *listener) lingered() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lingering--; l.lingering == 0 {
		l.noneLingers.Broadcast()
	}
}

// waitForNone returns when no connection lingers.
func (l *listener) waitForNone() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.lingering > 0 {
		l.noneLingers.Wait()
	}
}

// linger closes for writing, and waits for the client to close: for as long as
// bytes still go either way, within bounds. While the server runs these are
// shorter than what a client may wait before its first request, so that nobody
// wins a connection's place by them.
func (l *listener) linger(c *conn) {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return
	}
	c.reading.Lock() // whose Read was under way has returned
	defer c.reading.Unlock()
	if half.CloseWrite() != nil {
		return
	}
	dropped := make([]byte, 4<<10)
	began := time.Now()
	moved, queued := began, unsent(c.Conn)
	for now := began; !l.cut.Load() && now.Sub(moved) < l.limits.linger && now.Sub(began) < l.lingerBound(); now = time.Now() {
		_ = c.Conn.SetReadDeadline(now.Add(lingerTick)) // if it fails, so does the Read
		n, err := c.Conn.Read(dropped)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return // it has closed: all is well
		}
		left := unsent(c.Conn)
		if n > 0 || left < queued {
			moved = time.Now()
		}
		queued = left
	}
}

// lingerBound is longer at the end, when no place is needed any more.
func (l *listener) lingerBound() time.Duration {
	select {
	case <-l.done:
		return l.limits.lingerAtEnd
	default:
		return l.limits.linger
	}
}

// waitLingering waits for the connections that are being closed.
func (l *listener) waitLingering(ctx context.Context) error {
	gone := make(chan struct{})
	go func() {
		l.waitForNone()
		close(gone)
	}()
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// cutLingering waits for no connection any more.
func (l *listener) cutLingering() {
	l.mu.Lock()
	l.cut.Store(true)
	l.mu.Unlock()
	l.waitForNone()
}
