package poller

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/store"
)

// What a person does between two syncs shows at once.
func TestStatusIsOfNow(t *testing.T) {
	reg := prometheus.NewRegistry()
	r := newRig(t, func(c *Config) { c.Metrics = NewMetrics(reg, []string{"default"}) })
	current := func() bool {
		t.Helper()
		text := "# HELP specman_view_current 1 only when every followed release is served at the registry's digest.\n" +
			"# TYPE specman_view_current gauge\nspecman_view_current{source=\"default\"} "
		is := r.poller.Status().Current
		assert.NoError(t, testutil.GatherAndCompare(reg, strings.NewReader(text+map[bool]string{true: "1", false: "0"}[is]+"\n"), "specman_view_current"))
		return is
	}
	assert.False(t, current(), "nothing was polled yet")
	r.registry.push(t, "1.0.0", day(1), files{"a": "1"})
	r.sync()
	assert.True(t, current())
	r.registry.push(t, "2.0.0", day(2), files{"a": "2"})
	r.sync()

	target, err := r.store.Target("", false)
	require.NoError(t, err)
	require.NoError(t, r.store.Pin(target, "rollback", "test"))
	assert.False(t, current(), "older content is served")
	r.sync()
	assert.False(t, current())
	for _, n := range r.poller.Status().Notices {
		assert.NotContains(t, n.What, "held at", "it would be told after an unpin too")
	}
	_, err = r.store.Unpin("")
	require.NoError(t, err)
	assert.True(t, current())

	_, err = r.store.Forget("2.0.0", "")
	require.NoError(t, err)
	r.sync()
	assert.Equal(t, Forgotten, r.state("2.0.0"))
	assert.True(t, current(), "what was forgotten is not followed")
	r.poller.Metrics.Remove([]string{"default"})
	n, err := testutil.GatherAndCount(reg, "specman_view_current")
	require.NoError(t, err)
	assert.Zero(t, n)
}

// While the registry cannot be asked, that is the first thing to know.
func TestAFailingSyncIsANotice(t *testing.T) {
	r := newRig(t)
	r.registry.push(t, "1.0.0", day(1), files{"a": "1"})
	r.sync()
	assert.Empty(t, r.poller.Status().Notices)
	for call, want := range map[string]string{
		"tags":       "the last sync failed at stage list: ",
		"head 1.0.0": "the registry cannot be asked for 1.0.0: ",
	} {
		r.registry.failing(func(c string) error { return map[string]error{call: unavailable}[c] })
		r.sync()
		notices := r.poller.Status().Notices
		require.Len(t, notices, 1, call)
		assert.Contains(t, notices[0].What, want)
		assert.Equal(t, unavailable.Cure, notices[0].Cure)
	}
	r.registry.failing(nil)
	r.sync()
	assert.Empty(t, r.poller.Status().Notices)
}

// A restart does not forget when a sync last succeeded: with the registry down, that is
// what everybody asks.
func TestTheLastSuccessOutlivesARestart(t *testing.T) {
	dir := t.TempDir()
	open := func() *store.Store { return openKeeping(t, dir, 0) }
	r := newRigOn(t, open(), newRegistry())
	assert.True(t, r.poller.Status().LastSuccess.IsZero())
	r.registry.push(t, "1.0.0", day(1), files{"a": "1"})
	r.sync()
	require.Equal(t, Noop, r.sync().Result) // which writes nothing by itself
	last := r.poller.Status().LastSuccess
	r.store.KeepSuccesses()
	require.NoError(t, r.store.Close())

	r = newRigOn(t, open(), r.registry)
	assert.WithinDuration(t, last, r.poller.Status().LastSuccess, 0)
	r.registry.failing(noRoute)
	r.sync()
	assert.WithinDuration(t, last, r.poller.Status().LastSuccess, 0)
}

// Who waits for a sync of a poller that another one replaces is told.
func TestAnAbandonedPollerKeepsNobodyWaiting(t *testing.T) {
	r := newRig(t)
	p := New(r.poller.Config)
	p.Abandon()
	_, err := p.Sync(t.Context(), Ask{})
	assert.ErrorIs(t, err, ErrEnded)
	p.Run(t.Context()) // returns at once
}
