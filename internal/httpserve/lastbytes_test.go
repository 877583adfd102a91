package httpserve

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pipes are connections without any buffer: what the server has written, the client
// has read.
type pipes struct {
	dialed chan net.Conn
	closed chan struct{}
	close  func()
}

func newPipes() *pipes {
	p := &pipes{dialed: make(chan net.Conn), closed: make(chan struct{})}
	p.close = sync.OnceFunc(func() { close(p.closed) })
	return p
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.dialed:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.close(); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }

// pausing is a client's connection that takes nothing for a while, once, after so
// many bytes.
type pausing struct {
	net.Conn
	after int
	pause func()
}

func (p *pausing) Read(b []byte) (int, error) {
	if p.after == 0 && p.pause != nil {
		p.pause()
		p.pause = nil
	}
	if p.pause != nil {
		b = b[:min(len(b), p.after)]
	}
	n, err := p.Conn.Read(b)
	if p.pause != nil {
		p.after -= n
	}
	return n, err
}

// crypto/tls gives its last record five seconds, and what was gathered before it
// goes out with it.
func TestTheLastBytesOfASlowClient(t *testing.T) {
	body := strings.Repeat("0123456789abcdef", 6<<10) // 96 KiB: more than is gathered
	s := openStore(t)
	follow(t, s, hold(t, s, "1.0.0", tree{"file.bin": body}))
	var clients sync.WaitGroup // not parallel tests: nearly all that they do is wait
	for _, c := range []struct {
		what     string
		version  int
		close    bool // the client asks for it
		shutdown bool
	}{
		{what: "HTTP/1 closes", version: 1, close: true},
		{what: "HTTP/1 at the server's end", version: 1, shutdown: true},
		{what: "HTTP/2 at the server's end", version: 2, shutdown: true},
	} {
		for after := 48 << 10; after < len(body); after += 16 << 10 {
			what := fmt.Sprint(c.what, ", a pause after ", after)
			pipes := newPipes()
			r := startOn(t, s, pipes)
			down := make(chan error, 1)
			pause := func() {
				if c.shutdown {
					go func() { down <- r.Shutdown(context.Background()) }()
				}
				time.Sleep(5500 * time.Millisecond)
			}
			client := r.client(t, c.version)
			client.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) {
				near, far := net.Pipe()
				pipes.dialed <- far
				return &pausing{near, after, pause}, nil
			}
			req, err := http.NewRequest(http.MethodGet, "https://localhost/file.bin", nil)
			require.NoError(t, err)
			req.Close = c.close
			clients.Go(func() {
				res, err := client.Do(req)
				if !assert.NoError(t, err, what) {
					return
				}
				defer res.Body.Close()
				got, err := io.ReadAll(res.Body)
				assert.NoError(t, err, what)
				assert.True(t, string(got) == body, what)
				if c.shutdown {
					client.CloseIdleConnections()
					assert.NoError(t, <-down, what)
				}
			})
		}
	}
	clients.Wait()
}
