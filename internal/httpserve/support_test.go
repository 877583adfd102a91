package httpserve

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/testenv"
)

// tree is what a release holds: path → content. A path that ends with a slash
// is a folder.
type tree map[string]string

// archiveDate is the date of everything in the trees of tests.
var archiveDate = time.Date(2024, 12, 6, 12, 43, 14, 0, time.UTC)

func openStore(t testing.TB) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), store.Options{Dir: t.TempDir(), Keep: 10})
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// hold puts a release into the store; what it returns can be followed.
func hold(t testing.TB, s *store.Store, tag string, files tree) store.Contribution {
	t.Helper()
	var names []string
	sum := sha256.New()
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(sum, "%q %q\n", name, files[name])
	}
	layer := digest.NewDigest(digest.SHA256, sum)
	if !s.HasTree(layer) {
		st, err := s.NewStaging(layer)
		require.NoError(t, err)
		made := map[string]bool{}
		for _, name := range names {
			for n := range name {
				if name[n] == '/' && !made[name[:n]] {
					made[name[:n]] = true
					require.NoError(t, st.Dir(name[:n], archiveDate))
				}
			}
			if !strings.HasSuffix(name, "/") {
				require.NoError(t, st.File(name, archiveDate, int64(len(files[name])), strings.NewReader(files[name])))
			}
		}
		require.NoError(t, st.Publish())
	}
	manifest := digest.FromString(tag + layer.String())
	require.NoError(t, s.Add(store.Release{Source: "default", Tag: tag, Manifest: manifest, Layer: layer, Fetched: time.Now()}))
	return store.Contribution{Tag: tag, Manifest: manifest}
}

func follow(t testing.TB, s *store.Store, order ...store.Contribution) {
	t.Helper()
	_, err := s.Follow("default", order)
	require.NoError(t, err)
}

// running is a server on loopback, and how to reach it.
type running struct {
	*Server
	addr     string
	listener *listener
	registry *prometheus.Registry
	log      *testenv.Log
	roots    *x509.CertPool
}

// start runs a server over a store, on loopback, until the test ends.
func start(t testing.TB, views Views, change ...func(*Options)) *running {
	t.Helper()
	return startOn(t, views, nil, change...)
}

// startOn is start on a listener, which may be nil.
func startOn(t testing.TB, views Views, l net.Listener, change ...func(*Options)) *running {
	t.Helper()
	r := &running{registry: prometheus.NewRegistry(), log: &testenv.Log{}}
	opts := Options{
		Views: views, Logger: slog.New(slog.NewTextHandler(r.log, nil)), Registerer: r.registry,
		Listen: "127.0.0.1:0", Listing: true, CacheBytes: 8 << 20, Why: func() string { return "nothing was pushed yet" },
		TLS:    TLSOptions{Dir: filepath.Join(t.TempDir(), "tls"), Hosts: []string{"localhost", "127.0.0.1"}},
		limits: defaultLimits,
	}
	for _, f := range change {
		f(&opts)
	}
	s, err := New(opts)
	require.NoError(t, err)
	if l == nil {
		l, err = s.Listen(context.Background())
		require.NoError(t, err)
	}
	r.Server, r.addr, r.listener = s, l.Addr().String(), newListener(l, opts.MaxConnections, opts.limits)
	done := make(chan error, 1)
	go func() { done <- s.serveOn(r.listener) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = s.Shutdown(ctx) // some tests leave connections open on purpose
		require.NoError(t, <-done)
	})
	r.roots = x509.NewCertPool()
	if pem, err := os.ReadFile(filepath.Join(opts.TLS.Dir, "tls.crt")); err == nil {
		require.True(t, r.roots.AppendCertsFromPEM(pem))
	}
	return r
}

func (r *running) tlsConfig(protocols ...string) *tls.Config {
	return &tls.Config{RootCAs: r.roots, ServerName: "localhost", NextProtos: protocols}
}

// client speaks one version of HTTP, follows no redirect and uncompresses nothing.
func (r *running) client(t testing.TB, version int) *http.Client {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(version == 1)
	protocols.SetHTTP2(version == 2)
	transport := &http.Transport{TLSClientConfig: r.tlsConfig(), Protocols: protocols, DisableCompression: true, MaxIdleConnsPerHost: 100}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// answered is an answer, read to its end.
type answered struct {
	*http.Response
	body string
}

// ask sends a request. Header lines are "Name: value"; the path goes out as it is.
func (r *running) ask(t testing.TB, client *http.Client, method, path string, header ...string) answered {
	t.Helper()
	req, err := http.NewRequest(method, "https://"+r.addr+path, nil)
	require.NoError(t, err)
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		if req.Header.Add(name, value); name == "Host" {
			req.Host = value
		}
	}
	return do(t, client, req)
}

func do(t testing.TB, client *http.Client, req *http.Request) answered {
	t.Helper()
	res, err := client.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return answered{res, string(body)}
}

// dial opens a TLS connection for a test that writes requests by hand.
func (r *running) dial(t testing.TB, protocols ...string) *tls.Conn {
	t.Helper()
	raw, err := net.Dial("tcp", r.addr)
	require.NoError(t, err)
	c := tls.Client(raw, r.tlsConfig(protocols...))
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(20*time.Second)))
	require.NoError(t, c.Handshake())
	return c
}

func sumOf(content string) [sha256.Size]byte { return sha256.Sum256([]byte(content)) }

func sumHex(content string) string { return fmt.Sprintf("%x", sumOf(content)) }

// spoilVariants damages the variants of a content on disk, as a crash of the
// machine may: their size is right, their bytes are not.
func spoilVariants(t testing.TB, dir string, sum [sha256.Size]byte) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*", fmt.Sprintf("%x.*", sum)))
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, make([]byte, info.Size()), 0o644))
	}
}

func gunzip(t testing.TB, body string) string {
	t.Helper()
	r, err := gzip.NewReader(strings.NewReader(body))
	require.NoError(t, err)
	plain, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(plain)
}

func unzstd(t testing.TB, body string) string {
	t.Helper()
	d, err := zstd.NewReader(nil)
	require.NoError(t, err)
	defer d.Close()
	plain, err := d.DecodeAll([]byte(body), nil)
	require.NoError(t, err)
	return string(plain)
}
