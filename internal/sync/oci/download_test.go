package oci_test

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/sync/oci"
	"github.com/specman/specman/internal/sync/oci/ocitest"
)

// noise is data whose every part differs.
func noise(n int) []byte {
	data := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(data)
	return data
}

// piped opens a registry in a bubble, where hours pass in no time.
func piped(t *testing.T, registry http.Handler) (r *oci.Repository, end func()) {
	t.Helper()
	pipe := ocitest.NewPipe(registry)
	r, err := oci.Open(oci.Config{
		Repository: "registry.test/" + repository, PlainHTTP: true, DialContext: pipe.Dial,
		Auth: oci.AuthConfig{Provider: "anonymous"},
	})
	require.NoError(t, err)
	return r, func() {
		pipe.Close()
		synctest.Wait()
	}
}

// A body that breaks is taken up again, and whether it is, and how often the
// registry is asked, depends on what it brings.
func TestBrokenDownloads(t *testing.T) {
	const size = 1 << 20
	half := size / 2
	tests := []struct {
		name     string
		faults   []ocitest.Fault // of blob requests
		kind     oci.Kind        // empty: the download succeeds
		requests int
	}{
		{"whole", nil, "", 1},
		{"cut once", []ocitest.Fault{{Times: 1, Answer: ocitest.Truncate(half)}}, "", 2},
		{"cut once, without ranges", []ocitest.Fault{{Answer: ocitest.NoRanges()}, {Times: 1, Answer: ocitest.Truncate(half)}}, "", 2},
		{"cut once, without a length", []ocitest.Fault{{Answer: ocitest.Chunked()}, {Times: 1, Answer: ocitest.Truncate(half)}}, "", 2},
		{"cut every 100 KiB", []ocitest.Fault{{Answer: ocitest.Truncate(100 << 10)}}, "", 11},
		{"cut every 10 KiB", []ocitest.Fault{{Answer: ocitest.Truncate(10 << 10)}}, oci.Network, 4},
		{"cut at the same place, without ranges", []ocitest.Fault{{Answer: ocitest.NoRanges()}, {Answer: ocitest.Truncate(half)}}, oci.Network, 4},
		{"a range that is another", []ocitest.Fault{{Times: 1, Answer: ocitest.Truncate(half)}, {Skip: 1, Times: 1, Answer: ocitest.Header("Content-Range", "bytes 7-9/10")}}, "", 3},
		{"a range that is refused", []ocitest.Fault{{Times: 1, Answer: ocitest.Truncate(half)}, {Skip: 1, Times: 1, Answer: ocitest.Status(416, "RANGE_INVALID", "")}}, "", 3},
		{"down for a moment", []ocitest.Fault{{Times: 1, Answer: ocitest.Truncate(half)}, {Skip: 1, Times: 2, Answer: ocitest.Status(503, "UNAVAILABLE", "")}}, "", 4},
		{"down, and asks to wait", []ocitest.Fault{{Times: 1, Answer: ocitest.Truncate(half)}, {Skip: 1, Answer: ocitest.Status(503, "UNAVAILABLE", "", "Retry-After", "60")}}, oci.Unavailable, 2},
		{"deleted meanwhile", []ocitest.Fault{{Times: 1, Answer: ocitest.Truncate(half)}, {Skip: 1, Answer: ocitest.Status(404, "BLOB_UNKNOWN", "")}}, oci.Absent, 2},
		{"hangs once", []ocitest.Fault{{Times: 1, Answer: ocitest.Stall(half)}}, "", 2},
		{"hangs for ever", []ocitest.Fault{{Answer: ocitest.Stall(0)}}, oci.Stalled, 4},
		{"63 KiB a minute", []ocitest.Fault{{Answer: ocitest.Drip(63<<8, 15*time.Second)}}, oci.Stalled, 4},
		{"128 KiB a minute", []ocitest.Fault{{Answer: ocitest.Drip(32<<10, 15*time.Second)}}, "", 1},
		{"a flipped bit", []ocitest.Fault{{Answer: ocitest.Flip()}}, oci.Corrupt, 1},
		{"a flipped bit after a resume", []ocitest.Fault{{Times: 1, Answer: ocitest.Truncate(half)}, {Skip: 1, Answer: ocitest.Flip()}}, oci.Corrupt, 2},
		{"shorter, without a length", []ocitest.Fault{{Answer: ocitest.Body(func(b []byte) []byte { return b[:len(b)-1] })}, {Answer: ocitest.Chunked()}}, oci.Network, 0},
		{"longer, without a length", []ocitest.Fault{{Answer: ocitest.Body(func(b []byte) []byte { return append(bytes.Clone(b), 1) })}, {Answer: ocitest.Chunked()}}, oci.Corrupt, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				registry := newRegistry()
				data := noise(size)
				layer := registry.Push("0.0.0", "manifests.tgz", data, day).Layer
				for _, f := range tt.faults {
					f.Operation = ocitest.Blob
					registry.Break(f)
				}
				r, end := piped(t, registry)
				defer end()

				body, err := r.Blob(t.Context(), layer)
				require.NoError(t, err)
				defer body.Close()
				got, err := io.ReadAll(body)
				if tt.kind == "" {
					require.NoError(t, err)
					assert.True(t, bytes.Equal(data, got))
				} else {
					assert.Equal(t, tt.kind, failure(t, err).Kind, "%v", err)
				}
				if tt.requests > 0 {
					assert.Equal(t, tt.requests, registry.Count(ocitest.Blob))
				}
				assert.LessOrEqual(t, registry.Count(ocitest.Blob), 12, "no storm")
				_, again := body.Read(make([]byte, 1))
				if tt.kind == "" {
					assert.Equal(t, io.EOF, again)
				} else {
					assert.Equal(t, err, again, "an error stays")
				}
			})
		})
	}
}

// The caller's deadline ends the wait for a body and not the body; its cancel
// and Close end both.
func TestBodyOutlivesTheDeadline(t *testing.T) {
	const size = 1 << 20
	start := func(t *testing.T, fault ocitest.Answer) (*oci.Repository, *ocitest.Registry, ocitest.Artifact, func()) {
		registry := newRegistry()
		artifact := registry.Push("0.0.0", "manifests.tgz", noise(size), day)
		registry.Break(ocitest.Fault{Operation: ocitest.Blob, Answer: fault})
		r, end := piped(t, registry)
		return r, registry, artifact, end
	}
	t.Run("an hour of moving", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, _, artifact, end := start(t, ocitest.Drip(8<<10, 6*time.Second))
			defer end()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			began := time.Now()
			body, err := r.Blob(ctx, artifact.Layer)
			require.NoError(t, err)
			defer body.Close()
			got, err := io.ReadAll(body)
			require.NoError(t, err)
			assert.Len(t, got, size)
			assert.Greater(t, time.Since(began), 10*time.Minute)
		})
	})
	t.Run("a deadline before the first byte", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, _, artifact, end := start(t, ocitest.Hang())
			defer end()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			_, err := r.Blob(ctx, artifact.Layer)
			assert.Equal(t, oci.Network, failure(t, err).Kind)
			assert.ErrorIs(t, err, context.DeadlineExceeded)
		})
	})
	t.Run("cancel", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, registry, artifact, end := start(t, ocitest.Stall(100))
			defer end()
			ctx, cancel := context.WithCancel(t.Context())
			body, err := r.Blob(ctx, artifact.Layer)
			require.NoError(t, err)
			defer body.Close()
			time.AfterFunc(time.Second, cancel)
			_, err = io.ReadAll(body)
			assert.Equal(t, oci.Canceled, failure(t, err).Kind)
			assert.Equal(t, 1, registry.Count(ocitest.Blob))
		})
	})
	t.Run("close", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, _, artifact, end := start(t, ocitest.Stall(100))
			defer end()
			body, err := r.Blob(t.Context(), artifact.Layer)
			require.NoError(t, err)
			began := time.Now()
			require.NoError(t, body.Close())
			assert.Less(t, time.Since(began), time.Second, "a body that hangs is closed at once")
		})
	})
	t.Run("a slow reader is not the registry's fault", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, registry, artifact, end := start(t, ocitest.Drip(1<<20, 0))
			defer end()
			body, err := r.Blob(t.Context(), artifact.Layer)
			require.NoError(t, err)
			defer body.Close()
			block := make([]byte, 32<<10)
			for {
				time.Sleep(5 * time.Minute)
				if _, err = body.Read(block); err != nil {
					break
				}
			}
			assert.Equal(t, io.EOF, err)
			assert.Equal(t, 1, registry.Count(ocitest.Blob))
		})
	})
}

func TestMetrics(t *testing.T) {
	registry := newRegistry()
	registry.Push("0.0.0", "manifests.tgz", []byte("archive"), day)
	registry.RequireToken("user", "secret")
	reg := prometheus.NewRegistry()
	r := open(t, startHTTP(t, registry), func(c *oci.Config) {
		c.Metrics = oci.NewMetrics(reg, []string{"default"})
		c.Auth.Username, c.Auth.Password = "user", "secret"
	})
	_, err := sync(t.Context(), r, "0.0.0")
	require.NoError(t, err)
	_, err = r.Resolve(t.Context(), "1.0.0")
	require.Error(t, err)

	want := `
# HELP specman_downloaded_bytes_total Bytes of blobs read from registries and OCI layouts.
# TYPE specman_downloaded_bytes_total counter
specman_downloaded_bytes_total{source="default"} 7
# HELP specman_registry_requests_total HTTP requests to registries, their token servers and blob stores; code is the status, or "error" without an answer.
# TYPE specman_registry_requests_total counter
specman_registry_requests_total{code="200",operation="blob",source="default"} 1
specman_registry_requests_total{code="200",operation="head",source="default"} 1
specman_registry_requests_total{code="200",operation="manifest",source="default"} 1
specman_registry_requests_total{code="200",operation="referrers",source="default"} 0
specman_registry_requests_total{code="200",operation="tags",source="default"} 1
specman_registry_requests_total{code="200",operation="token",source="default"} 1
specman_registry_requests_total{code="401",operation="tags",source="default"} 1
specman_registry_requests_total{code="404",operation="head",source="default"} 1
`
	require.NoError(t, testutil.GatherAndCompare(reg, bytes.NewReader([]byte(want))))
}
