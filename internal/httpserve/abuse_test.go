package httpserve

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/testenv"
)

// exchange writes raw bytes over TLS and reads until the server closes, or has
// given as many answers as are due and is then silent for a while. Where it is to
// close it is waited for: a busy machine is no fault.
func exchange(t *testing.T, r *running, request string, due int, closes bool) (answer string, closed bool) {
	t.Helper()
	c := r.dial(t, "http/1.1")
	_, err := c.Write([]byte(request))
	require.NoError(t, err)
	var got strings.Builder
	buf := make([]byte, 64<<10)
	for {
		patience := 20 * time.Second
		if !closes && strings.Count(got.String(), "HTTP/1.") >= due {
			patience = 500 * time.Millisecond
		}
		require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
		n, err := c.Read(buf)
		got.Write(buf[:n])
		var timeout net.Error
		switch {
		case errors.As(err, &timeout) && timeout.Timeout():
			return got.String(), false
		case err != nil:
			return got.String(), true
		}
	}
}

// What only bytes written by hand can ask.
func TestRawRequests(t *testing.T) {
	s := openStore(t)
	follow(t, s, hold(t, s, "1.0.0", tree{"x.txt": "content\n"}))
	r := start(t, s, shortLimits(func(l *limits) { l.body = 100 * time.Millisecond }))
	for _, row := range []struct {
		say, request string
		want         string // how the answer begins, after "HTTP/1.x "
		answers      int    // how many there are
		closed       bool
	}{
		{"a plain request", "GET /x.txt HTTP/1.1\r\nHost: h\r\n\r\n", "200", 1, false},
		{"two in a row", strings.Repeat("GET /x.txt HTTP/1.1\r\nHost: h\r\n\r\n", 2), "200", 2, false},
		{"HTTP/1.0", "GET /x.txt HTTP/1.0\r\n\r\n", "200", 1, true},
		{"Connection: close", "GET /x.txt HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "200", 1, true},
		{"an absolute target", "GET https://elsewhere/x.txt HTTP/1.1\r\nHost: h\r\n\r\n", "200", 1, false},
		{"… above the root", "GET https://elsewhere/../x.txt HTTP/1.1\r\nHost: h\r\n\r\n", "400", 1, false},
		{"… with no path", "GET https://elsewhere HTTP/1.1\r\nHost: h\r\n\r\n", "200", 1, false},
		{"an opaque target", "GET https:x.txt HTTP/1.1\r\nHost: h\r\n\r\n", "400", 1, false},
		{"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "204", 1, false},
		{"GET *", "GET * HTTP/1.1\r\nHost: h\r\n\r\n", "400", 1, false},
		{"CONNECT", "CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", "405", 1, false},
		{"a bad escape", "GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", "400", 1, true},
		{"half an escape", "GET /x% HTTP/1.1\r\nHost: h\r\n\r\n", "400", 1, true},
		{"an encoded NUL", "GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n", "400", 1, false},
		{"a NUL", "GET /x\x00 HTTP/1.1\r\nHost: h\r\n\r\n", "400", 1, true},
		{"no slash", "GET x.txt HTTP/1.1\r\nHost: h\r\n\r\n", "400", 1, true},
		{"a backslash in a query", "GET /nothing?\\ HTTP/1.1\r\nHost: h\r\n\r\n", "404", 1, false},
		{"no host", "GET /x.txt HTTP/1.1\r\n\r\n", "400", 1, true},
		{"two hosts", "GET /x.txt HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400", 1, true},
		{"a bad host", "GET /x.txt HTTP/1.1\r\nHost: a b\r\n\r\n", "400", 1, true},
		{"a blank before the colon", "GET /x.txt HTTP/1.1\r\nHost: h\r\nX : y\r\n\r\n", "400", 1, true},
		{"a header without a name", "GET /x.txt HTTP/1.1\r\nHost: h\r\n: y\r\n\r\n", "400", 1, true},
		{"HTTP/3.0", "GET /x.txt HTTP/3.0\r\nHost: h\r\n\r\n", "505", 1, true},
		{"no HTTP at all", "\x16\x03\x01\x00\x05hello\r\n\r\n", "400", 1, true},
		{"a header that is too large", "GET /x.txt HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", "431", 1, true},
		{"too many headers", "GET /x.txt HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("X: y\r\n", 20<<10) + "\r\n", "431", 1, true},
		{"a target that is too long", "GET /" + strings.Repeat("x", 64<<10) + " HTTP/1.1\r\nHost: h\r\n\r\n", "431", 1, true},

		// Whatever brings a body ends its connection: what comes after is not a
		// request (RFC 9112, 11.2).
		{"GET with a body", "GET /x.txt HTTP/1.1\r\nHost: h\r\nContent-Length: 36\r\n\r\nGET /x.txt HTTP/1.1\r\nHost: evil\r\n\r\n\r\n", "200", 1, true},
		{"GET with chunks", "GET /x.txt HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x.txt HTTP/1.1\r\nHost: evil\r\n\r\n", "200", 1, true},
		{"both lengths", "GET /x.txt HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x.txt HTTP/1.1\r\nHost: evil\r\n\r\n", "200", 1, true},
		{"both, the other way round", "POST /x.txt HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 50\r\n\r\n0\r\n\r\nGET /x.txt HTTP/1.1\r\nHost: evil\r\n\r\n", "405", 1, true},
		{"two lengths", "GET /x.txt HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nContent-Length: 36\r\n\r\nGET /x.txt HTTP/1.1\r\nHost: evil\r\n\r\n", "400", 1, true},
		{"a length that is none", "GET /x.txt HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\n12345", "400", 1, true},
		{"an unknown coding", "GET /x.txt HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "501", 1, true},
		{"a coding in disguise", "GET /x.txt HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", "400", 1, true},
		{"Expect", "POST /x.txt HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", "405", 1, true},
		{"a body that never comes", "GET /x.txt HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n", "200", 1, true},
		{"a bodiless length", "GET /x.txt HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", "200", 1, false},
		{"an upgrade", "GET /x.txt HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", "200", 1, false},
	} {
		t.Run(row.say, func(t *testing.T) {
			t.Parallel()
			got, closed := exchange(t, r, row.request, row.answers, row.closed)
			_, status, _ := strings.Cut(got, " ")
			assert.Equal(t, row.want, status[:min(3, len(status))], "%.200q", got)
			assert.Equal(t, row.answers, strings.Count(got, "HTTP/1."), "%.1000q", got)
			assert.Equal(t, row.closed, closed)
			assert.NotContains(t, got, "\r\nLocation: http")
		})
	}
}

func shortLimits(change func(*limits)) func(*Options) {
	return func(o *Options) { change(&o.limits) }
}

// waitClosed says whether the server closes the connection in that time.
func waitClosed(c net.Conn, within time.Duration) bool {
	_ = c.SetReadDeadline(time.Now().Add(within))
	_, err := io.Copy(io.Discard, c)
	var timeout net.Error
	return !errors.As(err, &timeout) || !timeout.Timeout()
}

func TestSlowClients(t *testing.T) {
	s := openStore(t)
	follow(t, s, hold(t, s, "1.0.0", tree{"large.bin": strings.Repeat("0123456789abcdef", 2<<20), "x.txt": "content\n"})) // 32 MiB
	r := start(t, s, shortLimits(func(l *limits) {
		l.readHeader, l.idle, l.stall, l.body = 600*time.Millisecond, 700*time.Millisecond, 1800*time.Millisecond, 300*time.Millisecond
	}))

	t.Run("that never begin", func(t *testing.T) {
		t.Parallel()
		c, err := net.Dial("tcp", r.addr)
		require.NoError(t, err)
		defer c.Close()
		assert.True(t, waitClosed(c, 10*time.Second))
	})
	t.Run("that drip their header", func(t *testing.T) {
		t.Parallel()
		c := r.dial(t, "http/1.1")
		go func() {
			for _, b := range "GET /x.txt HTTP/1.1\r\nX: " + strings.Repeat("x", 1000) {
				if _, err := c.Write([]byte(string(b))); err != nil {
					return
				}
				time.Sleep(50 * time.Millisecond)
			}
		}()
		assert.True(t, waitClosed(c, 10*time.Second))
	})
	t.Run("that drip a body", func(t *testing.T) {
		t.Parallel()
		c := r.dial(t, "http/1.1")
		_, err := c.Write([]byte("GET /x.txt HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n"))
		require.NoError(t, err)
		go func() {
			for {
				if _, err := c.Write([]byte("x")); err != nil {
					return
				}
				time.Sleep(50 * time.Millisecond)
			}
		}()
		assert.True(t, waitClosed(c, 10*time.Second))
	})
	t.Run("that are idle", func(t *testing.T) {
		t.Parallel()
		for _, protocol := range []string{"http/1.1", "h2"} {
			assert.True(t, waitClosed(r.dial(t, protocol), 10*time.Second), protocol)
		}
	})
	t.Run("that take nothing", func(t *testing.T) {
		t.Parallel()
		c := r.dial(t, "http/1.1")
		_, err := c.Write([]byte("GET /large.bin HTTP/1.1\r\nHost: h\r\n\r\n"))
		require.NoError(t, err)
		require.Eventually(t, func() bool { return r.open() > 0 }, 5*time.Second, 10*time.Millisecond)
		local := c.LocalAddr().String()
		assert.Eventually(t, func() bool { return !r.has(local) }, 15*time.Second, 50*time.Millisecond, "closed by the server, unread")
		_, err = io.Copy(io.Discard, c)
		assert.Error(t, err, "and not for whole")
	})
	t.Run("that take nothing of a stream", func(t *testing.T) {
		t.Parallel()
		// The client reads its socket, but its window for the stream fills up.
		client := r.client(t, 2)
		res, err := client.Get("https://" + r.addr + "/large.bin")
		require.NoError(t, err)
		defer res.Body.Close()
		time.Sleep(4 * time.Second)
		n, err := io.Copy(io.Discard, res.Body)
		assert.Error(t, err)
		assert.Less(t, n, int64(32<<20))
	})
	for _, version := range []int{1, 2} {
		t.Run(fmt.Sprint("that take little at a time, HTTP ", version), func(t *testing.T) {
			t.Parallel()
			// A small receive buffer lets the server's kernel hold megabytes for
			// minutes: what moves is seen there only.
			client := r.client(t, version)
			client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				c, err := new(net.Dialer).DialContext(ctx, network, addr)
				if err == nil {
					err = c.(*net.TCPConn).SetReadBuffer(64 << 10)
				}
				return c, err
			}
			res, err := client.Get("https://" + r.addr + "/large.bin")
			require.NoError(t, err)
			defer res.Body.Close()
			buf := make([]byte, 32<<10)
			for began := time.Now(); time.Since(began) < 5*time.Second; { // almost three times the allowed standstill
				_, err := io.ReadFull(res.Body, buf)
				require.NoError(t, err, "after %v", time.Since(began))
				time.Sleep(100 * time.Millisecond)
			}
		})
	}
}

// open counts the server's connections; has says whether one comes from there.
func (r *running) open() int {
	r.listener.mu.Lock()
	defer r.listener.mu.Unlock()
	return len(r.listener.conns)
}

func (r *running) has(remote string) bool {
	r.listener.mu.Lock()
	defer r.listener.mu.Unlock()
	for c := range r.listener.conns {
		if c.RemoteAddr().String() == remote {
			return true
		}
	}
	return false
}

// Idle connections must leave enough open files to read the tree with.
func TestConnectionsFitIntoTheOpenFiles(t *testing.T) {
	for _, c := range []struct {
		wanted, accepted int
		files            uint64
		warned           bool
	}{
		{10_000, 10_000, 1 << 20, false},
		{10_000, 10_000, math.MaxUint64, false},
		{10_000, 10_000, 20_000, false},
		{10_000, 512, 1024, true},
		{512, 512, 1024, false},
		{513, 512, 1024, true},
		{10_000, 1, 1, true},
		{0, 0, 1024, false},
	} {
		var log testenv.Log
		assert.Equal(t, c.accepted, connectionsWithin(c.wanted, c.files, slog.New(slog.NewTextHandler(&log, nil))), "%+v", c)
		assert.Equal(t, c.warned, strings.Contains(log.String(), "ulimit -n"), "%+v", c)
	}

	var before unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &before))
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1024, Max: before.Max}))
	t.Cleanup(func() { require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &before)) })
	r := start(t, openStore(t), func(o *Options) { o.MaxConnections = 10_000 })
	assert.Equal(t, 512, r.opts.MaxConnections)
}

func TestMaxConnections(t *testing.T) {
	s := openStore(t)
	follow(t, s, hold(t, s, "1.0.0", tree{"x.txt": "content\n"}))
	r := start(t, s, func(o *Options) { o.MaxConnections = 2 })
	get := func(c net.Conn) error {
		if _, err := c.Write([]byte("GET /x.txt HTTP/1.1\r\nHost: h\r\n\r\n")); err != nil {
			return err
		}
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err == nil {
			_, err = io.Copy(io.Discard, res.Body)
		}
		return err
	}
	one, two := r.dial(t, "http/1.1"), r.dial(t, "http/1.1")
	require.NoError(t, errors.Join(get(one), get(two)))

	third := make(chan error, 1)
	go func() { third <- get(r.dial(t, "http/1.1")) }()
	select {
	case <-third:
		assert.Fail(t, "the third was served beside two")
	case <-time.After(300 * time.Millisecond):
	}
	require.NoError(t, errors.Join(get(one), get(two)), "the two go on")
	require.NoError(t, one.Close())
	assert.NoError(t, <-third, "it waited, and was not refused")
}

func TestShutdown(t *testing.T) {
	large := strings.Repeat("x", 16<<20)
	s := openStore(t)
	follow(t, s, hold(t, s, "1.0.0", tree{"large.bin": large}))
	for _, version := range []int{1, 2} {
		t.Run(fmt.Sprint("lets an answer end, HTTP ", version), func(t *testing.T) {
			r := start(t, s)
			res, err := r.client(t, version).Get("https://" + r.addr + "/large.bin")
			require.NoError(t, err)
			defer res.Body.Close()
			ended := make(chan error, 1)
			go func() { ended <- r.Shutdown(context.Background()) }()
			require.Eventually(t, func() bool {
				c, err := net.Dial("tcp", r.addr)
				if err == nil {
					c.Close()
				}
				return err != nil
			}, 5*time.Second, 10*time.Millisecond, "nothing more is accepted")
			n, err := io.Copy(io.Discard, res.Body)
			require.NoError(t, err)
			assert.Equal(t, int64(len(large)), n)
			assert.NoError(t, <-ended)
		})
		t.Run(fmt.Sprint("but not for ever, HTTP ", version), func(t *testing.T) {
			r := start(t, s)
			res, err := r.client(t, version).Get("https://" + r.addr + "/large.bin")
			require.NoError(t, err)
			defer res.Body.Close()
			ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
			defer cancel()
			assert.ErrorIs(t, r.Shutdown(ctx), context.DeadlineExceeded)
			_, err = io.Copy(io.Discard, res.Body)
			assert.Error(t, err, "cut, and not for whole")
		})
	}
}

// What closes a connection after an answer does not lose the answer's end.
func TestConnectionClose(t *testing.T) {
	s := openStore(t)
	large := strings.Repeat("x", 1<<20)
	follow(t, s, hold(t, s, "1.0.0", tree{"small.txt": "content\n", "large.bin": large}))
	r := start(t, s)
	for _, version := range []int{1, 2} {
		client := r.client(t, version)
		for range 50 {
			for path, want := range map[string]string{"/small.txt": "content\n", "/large.bin": large} {
				req, err := http.NewRequest("GET", "https://"+r.addr+path, nil)
				require.NoError(t, err)
				req.Close = true
				assert.True(t, do(t, client, req).body == want, "HTTP %d %s", version, path)
			}
		}
	}
}

// A connection that a client gives up in the middle leaves nothing behind.
func TestClientsThatGoAway(t *testing.T) {
	s := openStore(t)
	follow(t, s, hold(t, s, "1.0.0", tree{"large.bin": strings.Repeat("x", 8<<20)}))
	r := start(t, s)
	for n := range 20 {
		client := r.client(t, 1+n%2)
		res, err := client.Get("https://" + r.addr + "/large.bin")
		require.NoError(t, err)
		_, _ = io.ReadFull(res.Body, make([]byte, 1000))
		require.NoError(t, res.Body.Close())
		client.CloseIdleConnections()
	}
	assert.Eventually(t, func() bool { return r.open() == 0 }, 10*time.Second, 20*time.Millisecond)
	assert.Equal(t, 200, r.ask(t, r.client(t, 1), "HEAD", "/large.bin").StatusCode)
}

// slowDisk is a store that takes its time.
type slowDisk struct {
	Views
	takes chan struct{} // each view
}

func (s *slowDisk) Acquire() *store.View {
	<-s.takes
	return s.Views.Acquire()
}

// Whoever waits for the server is no slow client.
func TestASlowServer(t *testing.T) {
	s := openStore(t)
	follow(t, s, hold(t, s, "1.0.0", tree{"x.txt": "content\n"}))
	const stall = 300 * time.Millisecond
	for _, version := range []int{1, 2} {
		slow := &slowDisk{Views: s, takes: make(chan struct{}, 10)}
		r := start(t, slow, shortLimits(func(l *limits) { l.stall, l.idle = stall, stall }))
		client := r.client(t, version)
		time.AfterFunc(4*stall, func() { slow.takes <- struct{}{} })
		assert.Equal(t, "content\n", r.ask(t, client, "GET", "/x.txt").body, "HTTP %d", version)

		client.Timeout = stall
		_, err := client.Get("https://" + r.addr + "/x.txt")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		client.CloseIdleConnections()
		assert.Eventually(t, func() bool { return r.open() == 0 }, 3*patience*stall, stall/10, "HTTP %d: who went has no place for ever", version)
		slow.takes <- struct{}{}
	}
}

// Listings that nobody takes do not fill the memory.
func TestListingsNobodyTakes(t *testing.T) {
	files := tree{"sub/x.txt": "content\n"}
	for n := range 300 {
		files[fmt.Sprintf("many/%03d.yaml", n)] = "content\n"
	}
	s := openStore(t)
	follow(t, s, hold(t, s, "1.0.0", files))
	r := start(t, s, shortLimits(func(l *limits) { l.listed, l.room = 400, 100*time.Millisecond }))
	client := r.client(t, 2)
	require.Equal(t, 200, r.ask(t, client, "GET", "/many/").StatusCode)

	stalled := dialByHand(t, r, time.Second)
	require.NoError(t, stalled.get(1, "/many/"))
	var refused answered
	require.Eventually(t, func() bool {
		refused = r.ask(t, client, "GET", "/many/")
		return refused.StatusCode == 503
	}, 10*time.Second, time.Millisecond)
	assert.Equal(t, "5", refused.Header.Get("Retry-After"))
	assert.Contains(t, refused.body, "too many folders are being listed")
	assert.Equal(t, 200, r.ask(t, client, "GET", "/sub/").StatusCode, "there is room for a small one")
	assert.Equal(t, "content\n", r.ask(t, client, "GET", "/many/000.yaml").body, "and files need none")

	require.NoError(t, stalled.Close())
	assert.Eventually(t, func() bool { return r.ask(t, client, "GET", "/many/").StatusCode == 200 }, 10*time.Second, time.Millisecond)
}
