package ops

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/poller"
)

func asUID(uid uint32) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
}

func TestAPortInUseIsAnError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	r := newRig(t, func(o *Options) { o.Listen = l.Addr().String() })
	assert.ErrorContains(t, r.server.Start(), "ops.listen")
	assert.Nil(t, r.server.Addr())
}

// The end of the service does not wait for a sync that somebody waits for.
func TestTheEndTellsThoseWhoWait(t *testing.T) {
	r := newRig(t, withToken(t))
	r.source.hangs = true
	require.NoError(t, r.server.Start())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.server.Run(ctx) }()

	answered := make(chan int, 1)
	go func() {
		req, _ := http.NewRequest(http.MethodPost, "http://"+r.server.Addr().String()+"/api/v1/sync?wait", nil)
		req.Header.Set("Authorization", "Bearer t")
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			answered <- 0
			return
		}
		resp.Body.Close()
		answered <- resp.StatusCode
	}()
	require.Eventually(t, func() bool {
		r.source.mu.Lock()
		defer r.source.mu.Unlock()
		return r.source.syncs == 1
	}, 10*time.Second, time.Millisecond)
	cancel()
	assert.Equal(t, http.StatusServiceUnavailable, <-answered)
	assert.NoError(t, <-ended)
	_, err := net.Dial("tcp", r.server.Addr().String())
	assert.Error(t, err, "the port is free again")
}

// A sync may take longer than any timeout of the server, and so may the removal of large
// trees.
func TestWhatTakesLongIsWaitedFor(t *testing.T) {
	slow := &slowSource{source: source{name: "default"}, takes: time.Hour}
	for call, change := range map[string]func(*Options){
		"sync?wait": func(o *Options) { o.Pollers = func() []Poller { return []Poller{slow} } },
		"gc":        func(o *Options) { o.Store = &slowStore{Store: o.Store, takes: time.Hour} },
	} {
		t.Run(call, func(t *testing.T) {
			r := newRig(t, withToken(t), change)
			handler := r.server.Handler() // the store is real, and stays outside
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				l := &onePipe{conns: make(chan net.Conn, 1), closed: make(chan struct{})}
				l.conns <- server
				srv := r.server.httpServer(handler)
				srv.BaseContext = nil // the server's own is of outside, too
				go srv.Serve(l)
				defer func() { srv.Close(); client.Close() }()

				_, err := client.Write([]byte("POST /api/v1/" + call + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\nContent-Length: 0\r\n\r\n"))
				require.NoError(t, err)
				resp, err := http.ReadResponse(bufio.NewReader(client), nil)
				require.NoError(t, err)
				resp.Body.Close()
				assert.Equal(t, http.StatusOK, resp.StatusCode)
			})
		})
	}
}

// slowStore is one that removes what is no longer needed from a slow disk.
type slowStore struct {
	Store
	takes time.Duration
}

func (s *slowStore) GC(bool) (store.Garbage, error) {
	time.Sleep(s.takes)
	return store.Garbage{}, nil
}

// slowSource is one whose syncs take long.
type slowSource struct {
	source
	takes time.Duration
}

func (s *slowSource) Sync(ctx context.Context, _ poller.Ask) (poller.Outcome, error) {
	select {
	case <-time.After(s.takes):
		return poller.Outcome{Result: poller.Success}, nil
	case <-ctx.Done():
		return poller.Outcome{}, ctx.Err()
	}
}

// onePipe is a listener with one connection.
type onePipe struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *onePipe) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, errors.New("closed")
	}
}
func (l *onePipe) Close() error   { close(l.closed); return nil }
func (l *onePipe) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }
