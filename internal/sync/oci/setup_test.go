package oci_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/sync/oci"
	"github.com/specman/specman/internal/sync/oci/ocitest"
)

const repository = "spectro-packs/spectro-manifests/manifest"

var day = time.Date(2024, 12, 6, 12, 43, 14, 0, time.UTC)

// startHTTP serves a handler on loopback, and returns its host:port.
func startHTTP(t *testing.T, handler http.Handler) string {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = nil
	server.Start()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return strings.TrimPrefix(server.URL, "http://")
}

// open opens the repository at host over plain HTTP, with short limits.
func open(t *testing.T, host string, change ...func(*oci.Config)) *oci.Repository {
	t.Helper()
	t.Setenv("DOCKER_CONFIG", t.TempDir()) // the machine's own must not count
	cfg := oci.Config{
		Repository: host + "/" + repository, PlainHTTP: true, UserAgent: "specman/test",
		Timeout: 30 * time.Second, StallTimeout: 20 * time.Second,
	}
	for _, c := range change {
		c(&cfg)
	}
	r, err := oci.Open(cfg)
	require.NoError(t, err)
	return r
}

// failure asserts that err is an error of this package, of one line.
func failure(t *testing.T, err error) *oci.Error {
	t.Helper()
	var e *oci.Error
	require.True(t, errors.As(err, &e), "%T %v", err, err)
	require.NotContains(t, e.Error(), "\n")
	require.NotEmpty(t, e.Operation, "%v", e)
	require.NotEmpty(t, e.Target, "%v", e)
	return e
}

func readAll(t *testing.T, r io.ReadCloser) []byte {
	t.Helper()
	defer r.Close()
	data, err := io.ReadAll(r)
	require.NoError(t, err)
	return data
}

// sync does what the poller does: list, resolve, fetch, choose, download.
func sync(ctx context.Context, r *oci.Repository, tag string) ([]byte, error) {
	if _, err := r.Tags(ctx); err != nil {
		return nil, err
	}
	if _, err := r.Resolve(ctx, tag); err != nil {
		return nil, err
	}
	m, err := r.Manifest(ctx, tag)
	if err != nil {
		return nil, err
	}
	layer, err := oci.ChooseLayer(m, "manifests.tgz", false)
	if err != nil {
		return nil, err
	}
	body, err := r.Blob(ctx, layer)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}

func newRegistry() *ocitest.Registry { return ocitest.New(repository) }
