package poller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/oci"
	"github.com/specman/specman/internal/sync/oci/ocitest"
	"github.com/specman/specman/internal/testenv"
)

const repository = "spectro-packs/spectro-manifests/manifest"

// site is everything between a registry that misbehaves on command and the
// served view: the real client, poller and store, in a bubble of fake time.
type site struct {
	*testing.T
	registry *ocitest.Registry
	line     *line
	store    *store.Store
	poller   *Poller
	metrics  *prometheus.Registry
	log      *testenv.Log
	stop     func() // ends the poller
}

// siteOptions are what a site may have beside what all have.
type siteOptions struct {
	prepare func(*ocitest.Registry)
	store   *store.Store
	oci     func(*oci.Config)
	poller  func(*Config)
}

// atSite runs a test in a bubble, over a registry with 1.0.0 and 2.0.0.
func atSite(t *testing.T, test func(s *site), options ...siteOptions) {
	t.Setenv("DOCKER_CONFIG", t.TempDir()) // the machine's own must not count
	synctest.Test(t, func(t *testing.T) {
		var o siteOptions
		if len(options) > 0 {
			o = options[0]
		}
		s := newSite(t, o)
		defer s.end()
		test(s)
	})
}

func newSite(t *testing.T, o siteOptions) *site {
	t.Helper()
	s := &site{T: t, registry: ocitest.New(repository), metrics: prometheus.NewRegistry(), log: &testenv.Log{}, stop: func() {}}
	s.push("1.0.0", day(1), files{"a": "one", "b": "one"})
	s.push("2.0.0", day(2), files{"a": "two"})
	if o.prepare != nil {
		o.prepare(s.registry)
	}
	if s.store = o.store; s.store == nil {
		var err error
		s.store, err = store.Open(context.Background(), store.Options{Dir: t.TempDir(), Keep: 3})
		require.NoError(t, err)
	}
	s.line = newLine(s.registry)
	logger := slog.New(slog.NewTextHandler(s.log, nil))
	c := oci.Config{
		Repository: "registry.test/" + repository, PlainHTTP: true, DialContext: s.line.dial,
		Timeout: 10 * time.Minute, StallTimeout: time.Minute, UserAgent: "specman/test", Logger: logger,
	}
	if o.oci != nil {
		o.oci(&c)
	}
	source, err := oci.Open(c)
	require.NoError(t, err)
	cfg := Config{
		Name: "default", Repository: source.String(), Source: source, Select: selectors(t, "versions"),
		MaxReleases: 32, Archive: "manifests.tgz", Interval: time.Minute, Timeout: 10 * time.Minute, MaxBackoff: 5 * time.Minute,
		Store: s.store, Metrics: NewMetrics(s.metrics, []string{"default"}), Logger: logger,
	}
	if o.poller != nil {
		o.poller(&cfg)
	}
	s.poller = New(cfg)
	return s
}

// run polls until the site ends.
func (s *site) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { s.poller.Run(ctx); close(done) }()
	s.stop = func() { cancel(); <-done }
	synctest.Wait()
}

func (s *site) end() {
	s.stop()
	s.line.close()
	synctest.Wait()
	require.NoError(s, s.store.Close())
}

func (s *site) push(tag string, created time.Time, tree files) ocitest.Artifact {
	return s.registry.Push(tag, "manifests.tgz", tgz(s.T, tree), created)
}

// starts returns when each sync began.
func (s *site) starts() (all []time.Time) {
	for _, line := range s.log.Lines() {
		if !strings.Contains(line, `msg="Syncing with OCI repo"`) {
			continue
		}
		at, _, _ := strings.Cut(strings.TrimPrefix(line, "time="), " ")
		parsed, err := time.Parse(time.RFC3339Nano, at)
		require.NoError(s, err)
		all = append(all, parsed)
	}
	return all
}

// sync asks for a sync now and returns what came of it, and how many requests
// each operation took.
func (s *site) sync() (Outcome, map[string]int) {
	s.Helper()
	s.registry.Forget()
	outcome, err := s.poller.Sync(context.Background(), Ask{})
	require.NoError(s, err)
	return outcome, s.registry.Counts()
}

func (s *site) state(tag string) FollowState { return (&rig{T: s.T, poller: s.poller}).state(tag) }

func (s *site) serves(want files) { s.Helper(); (&rig{T: s.T, store: s.store}).serves(want) }

// metric returns the value of a series of the default source.
func (s *site) metric(name string) float64 {
	s.Helper()
	families, err := s.metrics.Gather()
	require.NoError(s, err)
	for _, f := range families {
		if f.GetName() == "specman_"+name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	require.Fail(s, "no such metric", name)
	return 0
}

// noise is content that no compression makes smaller.
func noise(n int) string {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b)
	return string(b)
}

// line is the way to the registry. It can be cut and mended.
type line struct {
	pipe *ocitest.Pipe

	mu    sync.Mutex
	fault error // of every dial
	conns []net.Conn
}

func newLine(r *ocitest.Registry) *line { return &line{pipe: ocitest.NewPipe(r)} }

func (l *line) dial(ctx context.Context, network, address string) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault != nil {
		return nil, l.fault
	}
	conn, err := l.pipe.Dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	l.conns = append(l.conns, conn)
	return conn, nil
}

// cut ends all connections; those to come end in fault, if it is not nil.
func (l *line) cut(fault error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault = fault
	for _, c := range l.conns {
		c.Close()
	}
	l.conns = nil
}

func (l *line) close() {
	l.cut(errors.New("closed"))
	l.pipe.Close()
}

// secret is a folder as the kubelet mounts a Secret: what is in it changes all
// at once, by the swap of a symlink.
type secret struct {
	*testing.T
	dir     string
	version int
}

func newSecret(t *testing.T, content files) *secret {
	s := &secret{T: t, dir: t.TempDir()}
	s.swap(content)
	return s
}

func (s *secret) path(name string) string { return filepath.Join(s.dir, name) }

func (s *secret) swap(content files) {
	s.version++
	folder := fmt.Sprintf("..v%d", s.version)
	require.NoError(s, os.Mkdir(s.path(folder), 0o755))
	for name, text := range content {
		require.NoError(s, os.WriteFile(filepath.Join(s.dir, folder, name), []byte(text), 0o600))
		if _, err := os.Lstat(s.path(name)); err != nil {
			require.NoError(s, os.Symlink(filepath.Join("..data", name), s.path(name)))
		}
	}
	require.NoError(s, os.Symlink(folder, s.path("..data_tmp")))
	require.NoError(s, os.Rename(s.path("..data_tmp"), s.path("..data")))
}

func TestASite(t *testing.T) {
	atSite(t, func(s *site) {
		s.run()
		time.Sleep(time.Second)
		s.serves(files{"a": "two", "b": "one"})
		outcome, requests := s.sync()
		assert.Equal(t, Noop, outcome.Result)
		assert.Equal(t, map[string]int{"tags": 1, "head": 2}, requests)
	})
}
