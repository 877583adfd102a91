package ops

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/store"
)

// Who removed something is in the history, and that nothing was to be removed is not.
func TestWhoCollectedGarbage(t *testing.T) {
	r := newRig(t, withToken(t))
	old := r.hold("1.0.0", files{"a": "1"})
	r.follow(old)
	r.follow(r.hold("2.0.0", files{"a": "2"}))
	gc := func(query string) (messages []string) {
		require.Equal(t, http.StatusOK, r.post("/api/v1/gc"+query, "").Code)
		for _, e := range getJSON[[]store.Event](r, "/api/v1/events") {
			if e.Kind == "gc" {
				messages = append(messages, e.Message)
			}
		}
		return messages
	}
	assert.Empty(t, gc(""), "store.keep holds it")
	require.NoError(t, r.store.Configure(store.Options{Sources: []string{"default"}}))
	assert.Empty(t, gc("?dryRun=true"))
	messages := gc("")
	require.Len(t, messages, 1)
	assert.Regexp(t, `^gc, by \S+ with the token: removed releases: 1, trees: 1$`, messages[0])
	assert.Len(t, gc(""), 1)
}
