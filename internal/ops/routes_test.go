package ops

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const getHead = "GET, HEAD"

// Every endpoint is a row: its methods, and what it answers on TCP without a token.
func TestRoutes(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Pprof = true })
	r.follow(r.hold("4.5.13", files{"a": "1"}))
	for _, c := range []struct {
		path, allow string
		status      int
		contentType string
	}{
		{"/", getHead, 200, "text/html; charset=utf-8"},
		{"/metrics", getHead, 200, "text/plain"},
		{"/livez", getHead, 200, "text/plain; charset=utf-8"},
		{"/healthz", getHead, 200, "text/plain; charset=utf-8"},
		{"/readyz", getHead, 200, "text/plain; charset=utf-8"},
		{"/readyz?verbose", getHead, 200, "text/plain; charset=utf-8"},
		{"/readyz?verbose=perhaps", getHead, 400, "application/problem+json"},
		{"/api/v1/status", getHead, 200, "application/json"},
		{"/api/v1/releases", getHead, 200, "application/json"},
		{"/api/v1/events", getHead, 200, "application/json"},
		{"/api/v1/events?limit=1", getHead, 200, "application/json"},
		{"/api/v1/events?limit=0", getHead, 400, "application/problem+json"},
		{"/api/v1/diff", getHead, 200, "application/json"},
		{"/api/v1/diff?from=9.9.9", getHead, 404, "application/problem+json"},
		{"/api/v1/sync", "POST", 403, "application/problem+json"},
		{"/api/v1/rollback", "POST", 403, "application/problem+json"},
		{"/api/v1/pin", "POST", 403, "application/problem+json"},
		{"/api/v1/unpin", "POST", 403, "application/problem+json"},
		{"/api/v1/forget", "POST", 403, "application/problem+json"},
		{"/api/v1/verify", "POST", 403, "application/problem+json"},
		{"/api/v1/gc", "POST", 403, "application/problem+json"},
		{"/hooks/registry", "POST", 403, "application/problem+json"},
		{"/debug/pprof/", getHead, 200, "text/html; charset=utf-8"},
		{"/debug/pprof/heap", getHead, 200, "application/octet-stream"},
		{"/nothing", "", 404, "application/problem+json"},
	} {
		t.Run(c.path, func(t *testing.T) {
			methods := strings.Split(c.allow, ", ")
			if c.allow == "" {
				methods = []string{http.MethodGet, http.MethodPost, "FOO"}
			}
			for _, method := range methods {
				w := r.do(method, c.path, "")
				assert.Equal(t, c.status, w.Code, method)
				assert.Contains(t, w.Header().Get("Content-Type"), c.contentType, method)
				assert.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
			}
			if c.allow == "" {
				return
			}
			for _, method := range []string{"GET", "POST", "PUT", "DELETE", "OPTIONS", "FOO"} {
				if strings.Contains(c.allow, method) {
					continue
				}
				w := r.do(method, c.path, "")
				assert.Equal(t, http.StatusMethodNotAllowed, w.Code, method)
				assert.Equal(t, c.allow, w.Header().Get("Allow"), method)
				problemOf(t, w)
			}
		})
	}
}

func TestProfilesAreOffByDefault(t *testing.T) {
	r := newRig(t)
	assert.Equal(t, http.StatusNotFound, r.get("/debug/pprof/").Code)
	assert.Equal(t, http.StatusNotFound, r.get("/debug/pprof/heap").Code)
}

func TestToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	write := func(text string) { require.NoError(t, os.WriteFile(path, []byte(text), 0o600)) }
	write("s3cret\n")
	r := newRig(t, func(o *Options) { o.TokenFile = path })
	post := func(header ...string) int {
		return r.do(http.MethodPost, "/api/v1/sync", "", header...).Code
	}

	for _, c := range []struct {
		name   string
		header string
		status int
	}{
		{"none", "", 401},
		{"right", "Bearer s3cret", 202},
		{"any case of the scheme", "bearer s3cret", 202},
		{"wrong", "Bearer s3cre", 401},
		{"longer", "Bearer s3crets", 401},
		{"empty", "Bearer ", 401},
		{"another scheme", "Token s3cret", 401},
		{"as a password, for registries that send nothing else", "Basic em90OnMzY3JldA==", 202},
		{"as a user name", "Basic czNjcmV0Og==", 401},
	} {
		t.Run(c.name, func(t *testing.T) { assert.Equal(t, c.status, post("Authorization", c.header)) })
	}
	w := r.do(http.MethodPost, "/api/v1/sync", "")
	assert.Contains(t, w.Header().Get("WWW-Authenticate"), "Bearer")
	assert.Contains(t, problemOf(t, w).Detail, "Authorization: Bearer TOKEN")

	t.Run("a new one holds at once", func(t *testing.T) {
		write("other")
		assert.Equal(t, 401, post("Authorization", "Bearer s3cret"))
		assert.Equal(t, 202, post("Authorization", "Bearer other"))
	})
	t.Run("a bad one is told of, once, and the old one stays", func(t *testing.T) {
		write(" \n")
		assert.Equal(t, 202, post("Authorization", "Bearer other"))
		assert.Equal(t, 401, post("Authorization", "Bearer "))
		require.NoError(t, os.Remove(path))
		assert.Equal(t, 202, post("Authorization", "Bearer other"))
		assert.Equal(t, 1, strings.Count(r.log.String(), "it is empty"))
		assert.Equal(t, 1, strings.Count(r.log.String(), "no such file"))
	})
}

func TestWithoutATokenFileChangesAreExplained(t *testing.T) {
	r := newRig(t)
	p := problemOf(t, r.do(http.MethodPost, "/api/v1/sync", "", "Authorization", "Bearer anything"))
	assert.Contains(t, p.Detail, "ops.tokenFile")
	assert.Equal(t, "specman-0", p.Replica)
	assert.Zero(t, r.source.syncs+r.source.triggered())

	r = newRig(t, func(o *Options) { o.TokenFile = filepath.Join(t.TempDir(), "missing") })
	w := r.do(http.MethodPost, "/api/v1/sync", "", "Authorization", "Bearer ")
	assert.Equal(t, http.StatusForbidden, w.Code, "an unreadable file is no empty token")
	assert.Contains(t, r.log.String(), "missing")
}
