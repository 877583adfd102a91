package poller

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/oci"
)

// several is a store with one rig for each source, the first on top.
func several(t *testing.T, names ...string) (*store.Store, map[string]*rig) {
	t.Helper()
	s, err := store.Open(context.Background(), store.Options{Dir: t.TempDir(), Sources: names, Keep: 0})
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	rigs := make(map[string]*rig)
	for _, name := range names {
		rigs[name] = newRigOn(t, s, newRegistry(), func(c *Config) { c.Name = name })
		rigs[name].registry.push(t, "1.0.0", day(1), files{"a": name, name: "one"})
	}
	return s, rigs
}

func TestSeveralSources(t *testing.T) {
	t.Run("lie over each other in order, whoever comes first", func(t *testing.T) {
		_, r := several(t, "top", "middle", "low")
		r["low"].sync()
		r["low"].serves(files{"a": "low"})
		r["top"].sync()
		r["middle"].sync()
		r["low"].serves(files{"a": "top", "top": "one", "middle": "one", "low": "one"})
		for name := range r {
			assert.True(t, r[name].poller.Status().Current)
			assert.Contains(t, r[name].log.String(), "source="+name)
		}
	})
	t.Run("one that fails holds nothing back, and keeps what it had", func(t *testing.T) {
		_, r := several(t, "top", "low")
		for name := range r {
			r[name].sync()
		}
		r["top"].broken("tags", unavailable)
		r["top"].sync()
		r["low"].registry.push(t, "1.0.0", day(2), files{"a": "low", "low": "two"})
		assert.Equal(t, Success, r["low"].sync().Result)
		r["low"].serves(files{"a": "top", "top": "one", "low": "two"})
		assert.False(t, r["top"].poller.Status().Current)
		assert.True(t, r["low"].poller.Status().Current)
		assert.Zero(t, r["low"].poller.Status().ConsecutiveFailures)
	})
	t.Run("a refusal of one says nothing of the other's", func(t *testing.T) {
		_, r := several(t, "top", "low")
		bad := r["top"].registry.pushBytes(t, "2.0.0", day(2), []byte("no archive"))
		assert.Equal(t, bad, r["low"].registry.pushBytes(t, "2.0.0", day(2), []byte("no archive")))
		assert.Equal(t, Failed, r["top"].sync().Result)
		assert.Equal(t, Failed, r["low"].sync().Result)
	})
	t.Run("what the gate asks for may be another's", func(t *testing.T) {
		_, r := several(t, "top", "low")
		r["low"].poller.Gate.RequirePaths = []string{"/top", "/low"}
		o := r["low"].sync()
		require.Len(t, o.Failures, 1)
		assert.Equal(t, StageGate, o.Failures[0].Stage)
		assert.Equal(t, Noop, r["low"].sync().Result, "it is remembered")
		r["top"].sync()
		assert.Equal(t, Success, r["low"].sync().Result, "and judged again: the other source has something else")
		r["low"].serves(files{"top": "one", "low": "one"})
		r["low"].registry.push(t, "1.0.0", day(2), files{"low": "two"})
		assert.Equal(t, Success, r["low"].sync().Result)
		r["low"].serves(files{"top": "one", "low": "two"})
	})
	t.Run("one taken out leaves the view, the others stay", func(t *testing.T) {
		s, r := several(t, "top", "low")
		for name := range r {
			r[name].sync()
		}
		require.NoError(t, s.Configure(store.Options{Sources: []string{"low"}}))
		r["low"].serves(files{"a": "low", "top": ""})
		assert.Equal(t, Noop, r["low"].sync().Result)
	})
	t.Run("one that selects what is not there yet keeps what it had", func(t *testing.T) {
		s, r := several(t, "top", "low")
		for name := range r {
			r[name].sync()
		}
		other := newRigOn(t, s, r["top"].registry, func(c *Config) { c.Name, c.Select = "top", selectors(t, "0.0.0") })
		assert.Equal(t, Failed, other.sync().Result)
		other.serves(files{"a": "top", "low": "one"})
		other.registry.push(t, "0.0.0", day(2), files{"a": "mine"})
		other.sync()
		other.serves(files{"a": "mine", "low": "one", "top": ""})
	})
	t.Run("one renamed contributes under its new name", func(t *testing.T) {
		s, r := several(t, "old", "low")
		for name := range r {
			r[name].sync()
		}
		require.NoError(t, s.Configure(store.Options{Sources: []string{"new", "low"}}))
		renamed := newRigOn(t, s, r["old"].registry, func(c *Config) { c.Name = "new" })
		renamed.registry.asked()
		renamed.sync()
		assert.NotContains(t, renamed.registry.asked(), "blob", "its trees are held")
		renamed.serves(files{"a": "old", "low": "one"})
		assert.Equal(t, "new", s.Served().Releases[0].Source)
	})
	t.Run("one that comes back after its releases went holds nothing back", func(t *testing.T) {
		s, r := several(t, "top", "low")
		for name := range r {
			r[name].sync()
		}
		require.NoError(t, s.Configure(store.Options{Sources: []string{"low"}}))
		_, err := s.GC(false)
		require.NoError(t, err)
		require.Len(t, s.Releases(), 1)
		require.NoError(t, s.Configure(store.Options{Sources: []string{"top", "low"}}))
		r["top"].broken("tags", unavailable)
		r["top"].sync()
		r["low"].registry.push(t, "2.0.0", day(2), files{"a": "low again"})
		assert.Equal(t, Success, r["low"].sync().Result)
		r["low"].serves(files{"a": "low again", "low": "one", "top": ""})
		r["top"].registry.failing(nil)
		r["top"].sync()
		r["low"].serves(files{"a": "top", "low": "one", "top": "one"})
	})
}

// Each source keeps its own pace.
func TestEachSourceHasItsOwnPace(t *testing.T) {
	atSite(t, func(one *site) {
		other := newSite(t, siteOptions{store: one.store, poller: func(c *Config) {
			c.Name, c.Interval = "other", 10*time.Minute
		}})
		defer other.line.close()
		one.run()
		other.run()
		at(tags, status(429, "Retry-After", "3600"))(one)
		_, _ = one.sync()
		one.registry.Forget()
		other.registry.Forget()
		time.Sleep(50 * time.Minute)
		assert.Empty(t, one.registry.Requests(), "it waits as it was told")
		assert.InDelta(t, 5, other.registry.Count(tags), 1)
		assert.Equal(t, Failed, one.poller.Status().LastResult)
		assert.Equal(t, Noop, other.poller.Status().LastResult)
		other.stop()
	})
}

// What one failing source says again and again must not push out of the history
// what happened before.
func TestFailuresDoNotPushOutTheHistory(t *testing.T) {
	s, r := several(t, "top", "low")
	for name := range r {
		r[name].sync()
	}
	for n := range 260 {
		for name, why := range map[string]string{"top": "connection reset", "low": fmt.Sprintf("port %d: connection reset", n)} {
			r[name].broken("tags", &oci.Error{Kind: oci.Network, Operation: "tags", Target: name, Err: errors.New(why)})
			r[name].sync()
		}
		if n%100 == 0 {
			require.NoError(t, s.Note("note", "", fmt.Sprint(n)))
		}
	}
	kinds := make(map[string]int)
	for _, e := range s.Events() {
		kinds[e.Kind]++
	}
	assert.Equal(t, 2, kinds["swap"], "%v", kinds)
	assert.Equal(t, 3, kinds["note"], "%v", kinds)
}
