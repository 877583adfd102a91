package httpserve

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// gated is a client's connection that takes nothing while its gate is shut.
type gated struct {
	net.Conn
	gate chan struct{} // a Read takes what is in it, and puts it back
}

func (g *gated) Read(p []byte) (int, error) {
	<-g.gate
	g.gate <- struct{}{}
	return g.Conn.Read(p)
}

// gatedClient returns a client with a small receive buffer, whose gate stands
// open at first. What the server answers meanwhile lies in the server's kernel.
func gatedClient(t *testing.T, r *running, version int) (*http.Client, chan struct{}) {
	t.Helper()
	gate := make(chan struct{}, 1)
	gate <- struct{}{}
	client := r.client(t, version)
	client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			err = c.(*net.TCPConn).SetReadBuffer(8 << 10)
		}
		return &gated{c, gate}, err
	}
	return client, gate
}

// answers counts what was answered.
func (r *running) answers(t *testing.T) (count float64) {
	t.Helper()
	families, err := r.registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == "specman_http_requests_total" {
			for _, m := range f.GetMetric() {
				count += m.GetCounter().GetValue()
			}
		}
	}
	return count
}

// The client takes the answer's end only once the server has closed. Over HTTP/2
// what it sends meanwhile would draw a reset, and the end would be lost.
func TestTheEndOfAnAnswerIsWaitedFor(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 12<<10) // 192 KiB: more than the client's buffer, less than the server's
	s := openStore(t)
	follow(t, s, hold(t, s, "1.0.0", tree{"large.bin": large, "x.txt": "content\n"}))
	for _, version := range []int{1, 2} {
		r := start(t, s)
		client, gate := gatedClient(t, r, version)
		require.Equal(t, "content\n", r.ask(t, client, "GET", "/x.txt").body)
		r.listener.mu.Lock()
		for c := range r.listener.conns {
			require.NoError(t, c.Conn.(*net.TCPConn).SetWriteBuffer(2<<20))
		}
		r.listener.mu.Unlock()
		<-gate
		body := make(chan string, 1)
		go func() {
			got := ""
			defer func() { body <- got }()
			res, err := client.Get("https://" + r.addr + "/large.bin")
			if !assert.NoError(t, err, "HTTP %d", version) {
				return
			}
			defer res.Body.Close()
			all, err := io.ReadAll(res.Body)
			assert.NoError(t, err, "HTTP %d", version)
			got = string(all)
		}()
		require.Eventually(t, func() bool { return r.answers(t) == 2 }, 10*time.Second, 5*time.Millisecond)
		down := make(chan error, 1)
		go func() { down <- r.Shutdown(context.Background()) }()
		require.Eventually(t, func() bool { return r.open() == 0 }, 10*time.Second, 5*time.Millisecond, "the server has closed")
		gate <- struct{}{}
		assert.True(t, large == <-body, "HTTP %d: all of it", version)
		client.CloseIdleConnections()
		assert.NoError(t, <-down)
	}
}

// A client that never closes is not waited for without a bound, and has its place
// among the connections until then.
func TestWhoDoesNotClose(t *testing.T) {
	s := openStore(t)
	follow(t, s, hold(t, s, "1.0.0", tree{"x.txt": "content\n"}))
	ask := func(c net.Conn, header string) error {
		if _, err := c.Write([]byte("GET /x.txt HTTP/1.1\r\nHost: h\r\n" + header + "\r\n")); err != nil {
			return err
		}
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err == nil {
			_, err = io.ReadAll(res.Body)
		}
		return err
	}
	drip := func(c net.Conn) { // it is sending all the while, until it fails
		for {
			if _, err := c.Write([]byte("x")); err != nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	t.Run("while the server runs", func(t *testing.T) {
		r := start(t, s, shortLimits(func(l *limits) { l.linger, l.lingerAtEnd = 300*time.Millisecond, time.Hour }))
		c := r.dial(t, "http/1.1")
		require.NoError(t, ask(c, "Connection: close\r\n"))
		drip(c.NetConn())
	})
	t.Run("has its place among the connections", func(t *testing.T) {
		r := start(t, s, shortLimits(func(l *limits) { l.linger = time.Hour }), func(o *Options) { o.MaxConnections = 1 })
		c := r.dial(t, "http/1.1")
		require.NoError(t, ask(c, "Connection: close\r\n"))
		require.Eventually(t, func() bool { return r.open() == 0 }, 10*time.Second, 5*time.Millisecond)
		raw, err := net.Dial("tcp", r.addr)
		require.NoError(t, err)
		defer raw.Close()
		assert.Never(t, func() bool { return r.open() > 0 }, 300*time.Millisecond, 10*time.Millisecond, "a second one is taken beside it")
		require.NoError(t, c.Close())
		assert.Eventually(t, func() bool { return r.open() == 1 }, 10*time.Second, 5*time.Millisecond)
	})
	t.Run("at the end", func(t *testing.T) {
		r := start(t, s, shortLimits(func(l *limits) { l.linger, l.lingerAtEnd = time.Hour, 300*time.Millisecond }))
		c := r.dial(t, "http/1.1")
		require.NoError(t, ask(c, ""))
		go drip(c.NetConn())
		assert.NoError(t, r.Shutdown(context.Background()))
	})
	t.Run("at the end, when there is no time", func(t *testing.T) {
		r := start(t, s, shortLimits(func(l *limits) { l.linger, l.lingerAtEnd = time.Hour, time.Hour }))
		require.NoError(t, ask(r.dial(t, "http/1.1"), ""))
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		defer cancel()
		assert.ErrorIs(t, r.Shutdown(ctx), context.DeadlineExceeded)
	})
	t.Run("without ever having asked", func(t *testing.T) {
		r := start(t, s, shortLimits(func(l *limits) { l.readHeader, l.linger = 50*time.Millisecond, time.Hour }), func(o *Options) { o.MaxConnections = 1 })
		silent, err := net.Dial("tcp", r.addr)
		require.NoError(t, err)
		defer silent.Close()
		assert.NoError(t, ask(r.dial(t, "http/1.1"), ""), "its place is given back at once")
	})
}
