package ops

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/sync/poller"
)

// A repair that needs what the store does not hold has the sources asked for it now,
// whenever they were last asked in vain.
func TestRepairAsksTheSources(t *testing.T) {
	r := newRig(t, withToken(t))
	r.follow(r.hold("1.0.0", files{"a": "1", "b": "2"}))
	verify := func(query string) (result VerifyResult) {
		w := r.post("/api/v1/verify"+query, "")
		require.Equal(t, http.StatusOK, w.Code, "%s", w.Body)
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &result))
		return result
	}
	assert.Empty(t, verify("?repair=true").Damaged)
	assert.Zero(t, r.source.syncs, "nothing is damaged")

	r.lose("files/a")
	assert.Len(t, verify("").Left, 1)
	assert.Zero(t, r.source.syncs, "nobody asked for a repair")

	r.source.outcome = poller.Outcome{Result: poller.Failed, Failures: []*poller.Failure{{Stage: poller.StageList, Reason: "no route to host"}}}
	result := verify("?repair=true")
	assert.True(t, r.source.mended)
	assert.False(t, r.source.forced, "what is refused stays refused")
	assert.Len(t, result.Left, 1, "this source has brought nothing")
	assert.Zero(t, result.Repaired)
	require.Len(t, result.Failures["default"], 1)
	assert.Equal(t, "no route to host", result.Failures["default"][0].Reason)
}
