package ops

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/sync/importer"
)

// Each row asks for a pin of the release below; only one that says so in a way
// that is understood may come to something.
func TestParametersOfAChange(t *testing.T) {
	const (
		object = "application/json"
		form   = "application/x-www-form-urlencoded"
	)
	for _, c := range []struct {
		name, query, contentType, body string
		status                         int
	}{
		{"in the query", "?version=1.0.0&dryRun=true", "", "", 200},
		{"in a JSON object", "", object, `{"version": "1.0.0", "dryRun": true, "alone": null}`, 200},
		{"in a JSON object with a charset", "", object + "; charset=utf-8", `{"version": "1.0.0", "dryRun": "true"}`, 200},
		{"in a JSON object, as curl -d sends it", "", form, ` {"version": "1.0.0", "dryRun": true}`, 200},
		{"in a form", "", form, "version=1.0.0&dryRun", 200},
		{"in both", "?dryRun", object, `{"version": "1.0.0"}`, 200},
		{"an empty object", "?version=1.0.0&dryRun=true", object, "{}", 200},

		{"misspelt in the query", "?version=1.0.0&dryrun=true", "", "", 400},
		{"misspelt in the body", "", object, `{"versoin": "1.0.0", "dryRun": true}`, 400},
		{"twice", "?version=1.0.0&dryRun", object, `{"version": "2.0.0"}`, 400},
		{"of another kind", "", object, `{"version": 1, "dryRun": true}`, 400},
		{"no truth value", "", object, `{"version": "1.0.0", "dryRun": "perhaps"}`, 400},
		{"a JSON text", "", object, `"1.0.0"`, 400},
		{"cut off", "", object, `{"version": "1.0.0"`, 400},
		{"neither object nor form", "?version=1.0.0", "text/plain", "1.0.0", 400},
		{"a bad escape", "?version=%zz", "", "", 400},
		{"endless", "?version=1.0.0", form, strings.Repeat("x", maxParameters+1), 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "token")
			require.NoError(t, os.WriteFile(path, []byte("s3cret"), 0o600))
			r := newRig(t, func(o *Options) { o.TokenFile = path })
			r.follow(r.hold("1.0.0", files{"f": "1"}))
			lower := r.store.Served().ID
			r.follow(r.hold("2.0.0", files{"f": "2"}))
			upper := r.store.Served().ID

			w := r.do(http.MethodPost, "/api/v1/pin"+c.query, c.body, "Content-Type", c.contentType, "Authorization", "Bearer s3cret")
			require.Equal(t, c.status, w.Code, "%s", w.Body)
			assert.Equal(t, upper, r.store.Served().ID)
			assert.Nil(t, r.store.Pinned(), "neither a dry run nor a refused call pins")
			if c.status == 200 {
				var m Move
				require.NoError(t, json.Unmarshal(w.Body.Bytes(), &m))
				assert.True(t, m.DryRun)
				assert.Equal(t, lower, m.To)
			} else {
				problemOf(t, w)
			}
		})
	}
}

// The body of an import is the archive: what it is told stands in the query, and a
// misspelt tag must not make the archive 0.0.0.
func TestParametersOfAnImport(t *testing.T) {
	for _, c := range []struct {
		name, query string
		status      int
	}{
		{"none", "", 200},
		{"a tag", "?tag=1.0.0&force", 200},
		{"misspelt", "?Tag=1.0.0", 400},
		{"twice", "?tag=1.0.0&tag=2.0.0", 400},
		{"a bad escape", "?tag=%zz", 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "token")
			require.NoError(t, os.WriteFile(path, []byte("s3cret"), 0o600))
			var body string
			r := newRig(t, func(o *Options) {
				o.TokenFile = path
				o.Import = func(_ context.Context, from io.Reader, _ ImportRequest) (importer.Result, error) {
					content, err := io.ReadAll(from)
					body = string(content)
					return importer.Result{}, err
				}
			})
			w := r.do(http.MethodPost, "/api/v1/import"+c.query, "tag=3.0.0", "Content-Type", "application/x-www-form-urlencoded", "Authorization", "Bearer s3cret")
			require.Equal(t, c.status, w.Code, "%s", w.Body)
			if c.status == 200 {
				assert.Equal(t, "tag=3.0.0", body, "curl --data-binary says that everything is a form")
			} else {
				assert.Empty(t, body)
				problemOf(t, w)
			}
		})
	}
}

// To follow again is to go where that leads: a version that was named would be ignored.
func TestUnpinKnowsNoVersion(t *testing.T) {
	r := newRig(t)
	r.follow(r.hold("1.0.0", files{"f": "1"}))
	_, err := PinTo(r.store, MoveRequest{})
	require.NoError(t, err)
	for _, query := range []string{"version=1.0.0", "alone=true"} {
		w := httptest.NewRecorder()
		r.server.routes(true).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/api/v1/unpin?"+query, nil))
		assert.Equal(t, http.StatusBadRequest, w.Code, "%s", w.Body)
		assert.NotNil(t, r.store.Pinned())
	}
}
