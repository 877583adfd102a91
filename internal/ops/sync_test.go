package ops

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/sync/poller"
)

// withToken gives the server the token "t"; post sends it.
func withToken(t *testing.T) func(*Options) {
	path := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(path, []byte("t"), 0o600))
	return func(o *Options) { o.TokenFile = path }
}

func (r *rig) post(target, body string) *httptest.ResponseRecorder {
	r.Helper()
	return r.do(http.MethodPost, target, body, "Authorization", "Bearer t")
}

func TestSync(t *testing.T) {
	for _, c := range []struct {
		query           string
		status          int
		triggers, syncs int
		forced          bool
	}{
		{"", 202, 0, 1, false},
		{"?wait=false&force=false", 202, 0, 1, false},
		{"?wait", 200, 0, 1, false},
		{"?wait=true", 200, 0, 1, false},
		{"?wait=1&force=1", 200, 0, 1, true},
		{"?force=true", 202, 0, 1, true},
		{"?wait=yes", 400, 0, 0, false},
		{"?force=yes", 400, 0, 0, false},
	} {
		t.Run(c.query, func(t *testing.T) {
			r := newRig(t, withToken(t))
			r.source.outcome = poller.Outcome{Result: poller.Success, Swapped: true}
			w := r.post("/api/v1/sync"+c.query, "")
			require.Equal(t, c.status, w.Code, "%s", w.Body)
			assert.Eventually(t, func() bool {
				r.source.mu.Lock()
				defer r.source.mu.Unlock()
				return r.source.triggers == c.triggers && r.source.syncs == c.syncs && r.source.forced == c.forced
			}, 5*time.Second, time.Millisecond)
			if c.status == 400 {
				return
			}
			var result SyncResult
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &result))
			assert.Equal(t, "specman-0", result.Replica)
			assert.Contains(t, r.log.String(), "A sync was asked for")
			assert.Contains(t, r.source.by, " with the token", "who asked is known to whom the history is told by")
			if c.status == 202 {
				assert.Empty(t, result.Outcomes)
				return
			}
			assert.Equal(t, poller.Success, result.Outcomes["default"].Result)
			assert.True(t, result.Outcomes["default"].Swapped)
			assert.Contains(t, w.Body.String(), `"failures": []`)
		})
	}
}

func TestSyncWithoutARepository(t *testing.T) {
	r := newRig(t, withToken(t), func(o *Options) { o.Pollers = nil })
	w := r.post("/api/v1/sync", "")
	assert.Equal(t, http.StatusConflict, w.Code)
	assert.Contains(t, problemOf(t, w).Detail, "source.repository")
}

func TestHook(t *testing.T) {
	for _, c := range []struct {
		name, body string
		status     int
		polls      bool
	}{
		{"empty", "", 202, true},
		{"no JSON", "hello", 202, true},
		{"zot", `{"specversion":"1.0","type":"zotregistry.image.updated","data":{}}`, 202, true},
		{"Harbor, a push", `{"type":"PUSH_ARTIFACT","event_data":{}}`, 202, true},
		{"Harbor, a pull", `{"type":"PULL_ARTIFACT","event_data":{}}`, 202, false},
		{"Harbor, a pull as CloudEvent", `{"specversion":"1.0","type":"harbor.artifact.pulled"}`, 202, false},
		{"distribution, a push", `{"events":[{"action":"push"}]}`, 202, true},
		{"distribution, our own poll", `{"events":[{"action":"pull"},{"action":"pull"}]}`, 202, false},
		{"distribution, both", `{"events":[{"action":"pull"},{"action":"push"}]}`, 202, true},
		{"distribution, nothing", `{"events":[]}`, 202, true},
		{"as large as may be", strings.Repeat(" ", maxHookBody), 202, true},
		{"too large", strings.Repeat(" ", maxHookBody+1), 413, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, withToken(t))
			w := r.post("/hooks/registry", c.body)
			require.Equal(t, c.status, w.Code)
			want := 0
			if c.polls {
				want = 1
			}
			assert.Equal(t, want, r.source.triggered())
			if c.status == 202 {
				var result HookResult
				require.NoError(t, json.Unmarshal(w.Body.Bytes(), &result))
				assert.Equal(t, HookResult{Replica: "specman-0", Poll: c.polls}, result)
			}
		})
	}
}

func TestNotificationsAreCoalesced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var calls []time.Duration
		c := newCoalescer(2*time.Second, func() { calls = append(calls, time.Since(start)) })
		for range 100 { // one push makes many, over a second
			c.trigger()
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Equal(t, []time.Duration{0, 2 * time.Second}, calls, "at once, and once more for those that came after")
		c.trigger()
		assert.Len(t, calls, 3)
		c.trigger()
		c.stop()
		c.trigger()
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Len(t, calls, 3, "none after the end")
	})
}
