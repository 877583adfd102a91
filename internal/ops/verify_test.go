package ops

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/store"
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

// faulty is a store whose volume is full where a tree is to be written.
type faulty struct {
	*store.Store
	layer digest.Digest
}

func (f *faulty) Repair(ctx context.Context, layer digest.Digest) error {
	if layer == f.layer {
		return store.ErrNoSpace
	}
	return f.Store.Repair(ctx, layer)
}

func TestAFaultKeepsNoOtherTreeFromItsRepair(t *testing.T) {
	r := newRig(t)
	one, two := r.hold("1.0.0", files{"a": "1", "copy1": "1"}), r.hold("2.0.0", files{"b": "2", "copy2": "2"})
	r.follow(two, one)
	r.lose("files/copy1")
	r.lose("files/copy2")
	releases := r.store.Releases()
	require.Len(t, releases, 2)
	fetch := func(context.Context) (map[string]poller.Outcome, error) { return nil, nil }

	faulty := &faulty{r.store, releases[0].Layer}
	result, err := VerifyStore(t.Context(), faulty, store.VerifyOptions{}, true, fetch)
	require.NoError(t, err)
	assert.Len(t, result.Damaged, 2)
	assert.Equal(t, 1, result.Repaired)
	require.Len(t, result.Left, 1)
	assert.Equal(t, releases[0].Layer, result.Left[0].Layer)
	assert.Equal(t, map[digest.Digest]string{releases[0].Layer: store.ErrNoSpace.Error()}, result.Faults)

	result, err = VerifyStore(t.Context(), r.store, store.VerifyOptions{}, true, fetch)
	require.NoError(t, err)
	assert.Empty(t, result.Left)
	assert.Empty(t, result.Faults)
}
