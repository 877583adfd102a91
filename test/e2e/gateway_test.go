package e2e

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/testenv"
)

// gateway stands before a registry: it notes every request, and can be closed, as
// a network is that broke.
type gateway struct {
	requests
	server *httptest.Server
	closed atomic.Bool
}

func newGateway(t testing.TB, r *testenv.Registry) *gateway {
	t.Helper()
	target, err := url.Parse(r.URL)
	require.NoError(t, err)
	g := &gateway{}
	transport := &http.Transport{}
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(p *httputil.ProxyRequest) { p.SetURL(target) },
		Transport: transport,
		// A client that was killed is no news.
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { reset(w) },
	}
	g.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.add(r.Method + " " + r.URL.Path)
		if g.closed.Load() {
			reset(w)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		g.server.CloseClientConnections()
		g.server.Close()
		transport.CloseIdleConnections()
	})
	return g
}

// close breaks what is under way, and all that comes until open.
func (g *gateway) close() {
	g.closed.Store(true)
	g.server.CloseClientConnections()
}

func (g *gateway) open() { g.closed.Store(false) }

// repository is the source's, through the gateway.
func (g *gateway) repository() string {
	return g.server.Listener.Addr().String() + "/" + manifestRepository
}

// reset answers a request with nothing but the end of its connection.
func reset(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		conn.Close()
	}
}

// requests counts what went through a gateway.
type requests struct {
	mu   sync.Mutex
	seen []string // "HEAD /v2/…", in their order
}

func (r *requests) add(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, line)
}

// take returns what was seen since the last call.
func (r *requests) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := r.seen
	r.seen = nil
	return seen
}
