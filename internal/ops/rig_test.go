package ops

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/poller"
	"github.com/specman/specman/internal/testenv"
)

// rig is a server with a real store and a source that does what a test says.
type rig struct {
	*testing.T
	store  *store.Store
	source *source
	server *Server
	log    *testenv.Log
}

func newRig(t *testing.T, change ...func(*Options)) *rig {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Dir: filepath.Join(t.TempDir(), "store"), Keep: 3})
	require.NoError(t, err)
	t.Cleanup(func() { st.Close() })
	r := &rig{T: t, store: st, source: &source{name: "default"}, log: &testenv.Log{}}
	registry := prometheus.NewRegistry()
	opts := Options{
		Store: st, Pollers: func() []Poller { return []Poller{r.source} },
		Gatherer: registry, Registerer: registry, Logger: slog.New(slog.NewTextHandler(r.log, nil)),
		Listen: "127.0.0.1:0", Version: "1.2.3", Revision: "abcdef", Replica: "specman-0",
	}
	for _, f := range change {
		f(&opts)
	}
	r.server = New(opts)
	t.Cleanup(r.server.stop)
	return r
}

// run starts the server and ends it with the test.
func (r *rig) run() {
	r.Helper()
	require.NoError(r, r.server.Start())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.server.Run(ctx) }()
	r.Cleanup(func() {
		cancel()
		assert.NoError(r, <-ended)
	})
}

// do asks the TCP side.
func (r *rig) do(method, target, body string, header ...string) *httptest.ResponseRecorder {
	r.Helper()
	req := httptest.NewRequest(method, target, strings.NewReader(body))
	for n := 0; n < len(header); n += 2 {
		req.Header.Set(header[n], header[n+1])
	}
	w := httptest.NewRecorder()
	r.server.Handler().ServeHTTP(w, req)
	return w
}

func (r *rig) get(target string) *httptest.ResponseRecorder {
	r.Helper()
	return r.do(http.MethodGet, target, "")
}

// getJSON asks for what must be there.
func getJSON[T any](r *rig, target string) (value T) {
	r.Helper()
	w := r.get(target)
	require.Equal(r, http.StatusOK, w.Code, "%s", w.Body)
	require.Equal(r, "application/json", w.Header().Get("Content-Type"))
	require.NoError(r, json.Unmarshal(w.Body.Bytes(), &value))
	return value
}

func problemOf(t *testing.T, w *httptest.ResponseRecorder) (p Problem) {
	t.Helper()
	assert.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p), "%s", w.Body)
	assert.Equal(t, w.Code, p.Status)
	return p
}

type files map[string]string

// hold publishes a release of the source "default".
func (r *rig) hold(tag string, content files, change ...func(*store.Release)) store.Contribution {
	r.Helper()
	text, err := json.Marshal(content) // keys come sorted
	require.NoError(r, err)
	layer := digest.FromBytes(text)
	if !r.store.HasTree(layer) {
		s, err := r.store.NewStaging(layer)
		require.NoError(r, err)
		for name, body := range content {
			require.NoError(r, s.File(name, time.Unix(1e9, 0), int64(len(body)), strings.NewReader(body)))
		}
		require.NoError(r, s.Publish())
	}
	release := store.Release{
		Source: "default", Tag: tag, Manifest: digest.FromString(tag + string(text)), Layer: layer,
		Archive: "manifests.tgz", Fetched: time.Now().UTC(), Created: time.Unix(1.7e9, 0).UTC(), Files: len(content),
	}
	for _, f := range change {
		f(&release)
	}
	require.NoError(r, r.store.Add(release))
	return store.Contribution{Tag: release.Tag, Manifest: release.Manifest, Reason: "it is version " + tag}
}

// lose removes a file of the only tree there is, as a failing disk might.
func (r *rig) lose(path string) {
	r.Helper()
	found, err := filepath.Glob(filepath.Join(r.store.Dir(), "trees", "*", path))
	require.NoError(r, err)
	require.Len(r, found, 1)
	require.NoError(r, os.Remove(found[0]))
}

func (r *rig) follow(order ...store.Contribution) {
	r.Helper()
	_, err := r.store.Follow("default", order)
	require.NoError(r, err)
}

// source is a poller that a test tells what to say.
type source struct {
	name string

	mu       sync.Mutex
	status   poller.Status
	outcome  poller.Outcome
	forced   bool
	mended   bool
	by       string // who asked last
	syncs    int
	triggers int
	hangs    bool // Sync waits for its context's end
}

func (s *source) set(f func(*source)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

func (s *source) Status() poller.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.status
	st.Source = s.name
	return st
}

func (s *source) Trigger() { s.set(func(s *source) { s.triggers++ }) }

func (s *source) triggered() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.triggers
}

func (s *source) Sync(ctx context.Context, ask poller.Ask) (poller.Outcome, error) {
	s.mu.Lock()
	s.syncs++
	s.forced = s.forced || ask.Force
	s.mended = s.mended || ask.Mend
	s.by = ask.By
	hangs, outcome := s.hangs, s.outcome
	s.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return poller.Outcome{}, ctx.Err()
	}
	return outcome, nil
}
