package httpserve

import (
	"context"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// listener accepts no more connections at a time than it may have open, and
// closes those on which nothing moves. Why not by deadlines: a Write returns
// when the kernel has room for its bytes, which for a slow client is minutes
// after the one before, although the client takes bytes all the time; and on
// HTTP/2 a client can stop one answer while the connection looks idle.
type listener struct {
	net.Listener
	slots  chan struct{} // nil: no bound
	done   chan struct{} // closed by Close: ends the wait for a slot
	close  func() error
	limits limits

	mu    sync.Mutex
	conns map[*conn]struct{}

	// Of connections that are being closed (linger.go).
	lingering   int         // guarded by mu
	noneLingers sync.Cond   // told when there are none
	cut         atomic.Bool // none is waited for any more
}

func newListener(l net.Listener, maxConnections int, limits limits) *listener {
	n := &listener{Listener: l, done: make(chan struct{}), limits: limits, conns: make(map[*conn]struct{})}
	n.noneLingers.L = &n.mu
	if maxConnections > 0 {
		n.slots = make(chan struct{}, maxConnections)
	}
	n.close = sync.OnceValue(func() error {
		close(n.done)
		n.mu.Lock()
		for c := range n.conns {
			c.last.Store(true)
		}
		n.mu.Unlock()
		return l.Close()
	})
	return n
}

func (l *listener) Close() error { return l.close() }

func (l *listener) Accept() (net.Conn, error) {
	if l.slots != nil {
		select {
		case l.slots <- struct{}{}:
		case <-l.done:
			return nil, net.ErrClosed
		}
	}
	raw, err := l.Listener.Accept()
	if err != nil {
		l.release()
		return nil, err
	}
	c := &conn{Conn: raw, queued: -1}
	c.close = sync.OnceValue(func() error {
		if !l.lingers(c) {
			defer l.release()
			return raw.Close()
		}
		c.end()
		go func() {
			defer l.lingered()
			defer l.release()
			defer raw.Close() // whom it would be told is not waiting
			l.linger(c)
		}()
		return nil
	})
	l.mu.Lock()
	l.conns[c] = struct{}{}
	l.mu.Unlock()
	return c, nil
}

func (l *listener) release() {
	if l.slots != nil {
		<-l.slots
	}
}

const (
	// ticksPerStall is how often within the allowed time a connection is looked at.
	ticksPerStall = 12
	// patience is how many times the allowed time a client may wait for the server,
	// which reads a large file as a whole before its first byte goes out. There is a
	// bound since it may wait for a disk that hangs, and have gone meanwhile.
	patience = 10
)

// closeStalled closes connections whose clients took and sent no byte for the
// allowed time, and ends the answers of HTTP/2 that stand still as long (streams.go),
// until ctx ends.
func (l *listener) closeStalled(ctx context.Context) {
	tick := time.NewTicker(l.limits.stall / ticksPerStall)
	defer tick.Stop()
	// As long as net/http may take to close what is idle, and then the same again
	// as for everything that stands still.
	idle := int(l.limits.idle*ticksPerStall/l.limits.stall) + ticksPerStall
	var conns []*conn
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		l.mu.Lock()
		conns = conns[:0]
		for c := range l.conns {
			conns = append(conns, c)
		}
		l.mu.Unlock()
		for _, c := range conns {
			over, held := c.streams.look(c, ticksPerStall, idle)
			switch {
			case c.hasMoved():
				c.quiet, c.waited = 0, 0
			case c.waits(held):
				c.quiet = 0
				c.waited++
			default:
				c.quiet++
			}
			if over || c.quiet >= ticksPerStall || c.waited >= patience*ticksPerStall {
				c.reset()
			}
		}
		clear(conns)
	}
}

// conn is a connection that knows whether anything moves on it, and that
// gathers what is written (gather.go).
type conn struct {
	net.Conn
	gather
	closing
	streams streams
	close   func() error
	dropped atomic.Bool // reset was called
	moved   atomic.Bool // since the last look
	writing atomic.Bool // the kernel is being given something
	sent    atomic.Int64

	answering atomic.Int32 // requests

	// Of the goroutine that looks.
	quiet  int // looks in a row at which nothing had moved, and the client held it up
	waited int // looks since something moved at which the client waited for the server
	queued int // bytes in the kernel that the client had not taken at the last quiet look; -1: not known
}

func (c *conn) Close() error { return c.close() }

// write writes at once.
func (c *conn) write(p []byte) (int, error) {
	c.writing.Store(true)
	n, err := c.Conn.Write(p)
	c.writing.Store(false)
	c.sent.Add(int64(n))
	c.note(n)
	return n, err
}

func (c *conn) note(n int) {
	if n > 0 && !c.moved.Load() { // the store costs more than the load
		c.moved.Store(true)
	}
}

// hasMoved says whether bytes went through since it was last asked, or whether
// the client has taken some of those that lay in the kernel.
func (c *conn) hasMoved() bool {
	if c.moved.Swap(false) {
		c.queued = -1 // not asked: it costs a system call
		return true
	}
	before := c.queued
	c.queued = unsent(c.Conn)
	return c.queued < before
}

// waits says whether a client that takes nothing waits for the server: whether there
// is an answer beside those that the client holds up.
func (c *conn) waits(held int) bool {
	return int(c.answering.Load()) > held && !c.busy()
}

// reset closes the connection and drops what the kernel still has for a client
// that does not take it.
func (c *conn) reset() {
	c.dropped.Store(true)
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // without it the kernel tries on for minutes: no harm
	}
	_ = c.Close() // the goroutine that serves it finds out by its next Read or Write
}

// unknown is what unsent returns where it cannot tell.
const unknown = math.MaxInt

// unsent returns how many bytes of a connection the other side has not
// acknowledged.
func unsent(c net.Conn) int {
	queued := unknown
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return queued
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return queued
	}
	_ = raw.Control(func(fd uintptr) { // a closed connection: not known
		if n, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); err == nil {
			queued = n
		}
	})
	return queued
}
