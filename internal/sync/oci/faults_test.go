package oci_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/sync/oci"
	"github.com/specman/specman/internal/sync/oci/ocitest"
)

// What the client says, and how often it asks, when one step of a sync fails.
func TestFaults(t *testing.T) {
	const (
		tags, head, manifest, blob = ocitest.Tags, ocitest.Head, ocitest.Manifest, ocitest.Blob
	)
	unavailable := http.StatusServiceUnavailable
	tests := []struct {
		name     string
		at       string // operation that fails
		fault    ocitest.Answer
		kind     oci.Kind
		status   int
		wait     time.Duration
		says     string // in the error
		hint     string
		requests int // of that operation
	}{
		{"401 for ever", tags, ocitest.Status(401, "UNAUTHORIZED", "who are you"), oci.Unauthorized, 401, 0, "who are you", "source.auth.username", 1},
		{"403", tags, ocitest.Status(403, "DENIED", "not yours"), oci.Forbidden, 403, 0, "not yours", "pull rights", 1},
		{"403 on a tag", head, ocitest.Status(403, "DENIED", ""), oci.Forbidden, 403, 0, "403 Forbidden", "pull rights", 1},
		{"404 on the repository", tags, ocitest.Status(404, "NAME_UNKNOWN", "unknown repository"), oci.Absent, 404, 0, "unknown repository", "nothing was pushed", 1},
		{"404 on a tag", head, ocitest.Status(404, "MANIFEST_UNKNOWN", ""), oci.Absent, 404, 0, ":0.0.0: 404", "deleted", 1},
		{"404 on a manifest", manifest, ocitest.Status(404, "MANIFEST_UNKNOWN", "gone"), oci.Absent, 404, 0, "gone", "push it again", 1},
		{"404 on a blob", blob, ocitest.Status(404, "BLOB_UNKNOWN", "gone"), oci.Absent, 404, 0, "gone", "push the artifact again", 1},
		{"429 with seconds", tags, ocitest.Status(429, "TOOMANYREQUESTS", "slow down", "Retry-After", "120"), oci.RateLimited, 429, 2 * time.Minute, "slow down", "source.interval", 1},
		{"429 with a date", head, ocitest.Status(429, "TOOMANYREQUESTS", "", "Date", "Fri, 06 Dec 2024 12:00:00 GMT", "Retry-After", "Fri, 06 Dec 2024 12:05:00 GMT"), oci.RateLimited, 429, 5 * time.Minute, "429", "", 1},
		{"429 for a day", tags, ocitest.Status(429, "TOOMANYREQUESTS", "", "Retry-After", "86400"), oci.RateLimited, 429, time.Hour, "429", "", 1},
		{"503 with seconds", manifest, ocitest.Status(unavailable, "UNAVAILABLE", "maintenance", "Retry-After", "30"), oci.Unavailable, 503, 30 * time.Second, "maintenance", "down or restarting", 1},
		{"503 with a date that is over", blob, ocitest.Status(unavailable, "UNAVAILABLE", "", "Date", "Fri, 06 Dec 2024 12:00:00 GMT", "Retry-After", "Fri, 06 Dec 2024 11:00:00 GMT"), oci.Unavailable, 503, 0, "503", "", 1},
		{"500", tags, ocitest.Status(500, "UNKNOWN", "disk full"), oci.Unavailable, 500, 0, "disk full", "down", 1},
		{"502 of a proxy", tags, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusBadGateway)
		}, oci.Unavailable, 502, 0, "502 Bad Gateway", "proxy", 1},
		{"404 of another kind", tags, ocitest.Status(410, "GONE", ""), oci.Refused, 410, 0, "410 Gone", "", 1},
		{"a login page", tags, ocitest.Page("text/html; charset=utf-8", "<html>log in</html>"), oci.NotRegistry, 0, 0, "list the tags", "login page", 1},
		{"a login page at the manifest", manifest, ocitest.Page("text/html", "<!doctype html>"), oci.NotRegistry, 0, 0, "web page", "login page", 1},
		{"tags that are no JSON", tags, ocitest.Page("application/json", `{"tags":7}`), oci.Malformed, 0, 0, "list the tags", "", 1},
		{"a manifest that is none", manifest, ocitest.Page("application/json", `{"a":1}`), oci.Malformed, 0, 0, "neither layers nor manifests", "", 1},
		{"a manifest with a flipped bit", manifest, ocitest.Body(func(b []byte) []byte { b[0] ^= 1; return b }), oci.Corrupt, 0, 0, "digest", "push the artifact again", 1},
		{"a manifest over 4 MiB", manifest, ocitest.Body(func([]byte) []byte { return []byte(strings.Repeat("x", 4<<20+1)) }), oci.Malformed, 0, 0, "larger than 4 MiB", "", 1},
		{"an index and a manifest in one", manifest, ocitest.Page("application/json", `{"layers":[],"manifests":[]}`), oci.Malformed, 0, 0, "both an index and a manifest", "", 1},
		{"a next page elsewhere", tags, ocitest.Header("Link", `<https://elsewhere.example/v2/x/tags/list>; rel="next"`), oci.Malformed, 0, 0, "not the same origin", "external URL", 1},
		{"pages in a circle", tags, ocitest.Header("Link", `</v2/`+repository+`/tags/list>; rel="next"`), oci.Malformed, 0, 0, "circle", "proxy", 4},
		{"a hang before the answer", tags, ocitest.Hang(), oci.Network, 0, 0, "no answer in the time allowed", "firewall", 1},
		{"a hang in a list", tags, ocitest.Stall(5), oci.Stalled, 0, 0, "64 KiB", "source.stallTimeout", 1},
		{"a connection hung up", head, ocitest.HangUp(), oci.Network, 0, 0, "EOF", "", 2}, // net/http tries again where a kept connection may have ended
		{"a list that ends early", tags, ocitest.Truncate(5), oci.Network, 0, 0, "EOF", "", 1},
		{"a blob with another digest", blob, ocitest.Flip(), oci.Corrupt, 0, 0, "its digest is sha256:", "push the artifact again", 1},
		{"a blob that says it is empty", blob, ocitest.Body(func([]byte) []byte { return nil }), oci.Corrupt, 0, 0, "0 bytes", "push the artifact again", 1},
		{"a blob that says it is longer", blob, ocitest.Body(func(b []byte) []byte { return append(b, 'x') }), oci.Corrupt, 0, 0, "bytes", "", 1},
		{"redirects without end", blob, ocitest.Redirect(""), oci.Malformed, 0, 0, "redirects", "", 6},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			registry := newRegistry()
			registry.Push("0.0.0", "manifests.tgz", []byte("archive"), day)
			r := open(t, startHTTP(t, registry), func(c *oci.Config) {
				if strings.HasPrefix(tt.name, "a hang") {
					c.StallTimeout = 300 * time.Millisecond
				}
			})
			_, err := sync(t.Context(), r, "0.0.0")
			require.NoError(t, err, "before the fault")

			registry.Forget()
			registry.Break(ocitest.Fault{Operation: tt.at, Answer: tt.fault})
			_, err = sync(t.Context(), r, "0.0.0")
			e := failure(t, err)
			assert.Equal(t, tt.kind, e.Kind, "%v", e)
			assert.Equal(t, tt.status, e.Status)
			assert.Equal(t, tt.wait, e.RetryAfter)
			assert.Equal(t, tt.at, e.Operation)
			assert.Contains(t, e.Error(), tt.says)
			assert.Contains(t, e.Cure, tt.hint)
			assert.NotContains(t, e.Error(), "secret-of-the-url")
			assert.Equal(t, tt.requests, registry.Count(tt.at))

			registry.Heal()
			got, err := sync(t.Context(), r, "0.0.0")
			require.NoError(t, err, "after the fault")
			assert.Equal(t, "archive", string(got))
		})
	}
}

func TestNoConnection(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		require.NoError(t, listener.Close())
		_, err = open(t, listener.Addr().String()).Tags(t.Context())
		e := failure(t, err)
		assert.Equal(t, oci.Network, e.Kind)
		assert.Contains(t, e.Cure, "nothing listens")
	})
	t.Run("no such name", func(t *testing.T) {
		r := open(t, "registry.invalid", func(c *oci.Config) {
			c.DialContext = func(context.Context, string, string) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "registry.invalid", IsNotFound: true}}
			}
		})
		_, err := r.Tags(t.Context())
		e := failure(t, err)
		assert.Equal(t, oci.Network, e.Kind)
		assert.Contains(t, e.Cure, "registry.invalid is not known")
	})
	t.Run("the caller's deadline", func(t *testing.T) {
		registry := newRegistry()
		registry.Break(ocitest.Fault{Answer: ocitest.Hang()})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := open(t, startHTTP(t, registry)).Tags(ctx)
		e := failure(t, err)
		assert.Equal(t, oci.Network, e.Kind)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Contains(t, e.Cure, "source.timeout")
	})
	t.Run("the caller's cancel", func(t *testing.T) {
		registry := newRegistry()
		registry.Break(ocitest.Fault{Answer: ocitest.Hang()})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		_, err := open(t, startHTTP(t, registry)).Tags(ctx)
		assert.Equal(t, oci.Canceled, failure(t, err).Kind)
		assert.ErrorIs(t, err, context.Canceled)
	})
}
