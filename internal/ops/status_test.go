package ops

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/poller"
)

func TestStatus(t *testing.T) {
	r := newRig(t)
	low := r.hold("4.5.11", files{"a": "1", "b": "1", "c": "1"}, func(r *store.Release) { r.Skipped = 2 })
	top := r.hold("4.5.13", files{"a": "2", "b": "1"})
	r.follow(low)
	r.follow(top, low)
	attempt := time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)
	r.source.status = poller.Status{
		Repository: "registry.test/manifest", LastAttempt: attempt, LastSuccess: attempt.Add(-time.Hour), NextAttempt: attempt.Add(time.Minute),
		LastResult: poller.Failed, ConsecutiveFailures: 3,
		Failures: []*poller.Failure{{Stage: poller.StageDownload, Tag: "4.6.0", Reason: "cut short", Cure: "wait", At: attempt}},
		Followed: []poller.Followed{{Tag: "4.6.0", State: poller.Missing}},
		Notices:  []poller.Notice{{What: "4.6.0 is followed but not held", Cure: "see the failure"}},
	}

	st := getJSON[Status](r, "/api/v1/status")
	assert.True(t, st.Running)
	assert.True(t, st.Ready)
	assert.Equal(t, "specman-0", st.Replica)
	assert.Equal(t, "1.2.3", st.Version)
	assert.Equal(t, []Notice{{Source: "default", What: "4.6.0 is followed but not held", Cure: "see the failure"}}, st.Notices)
	assert.Nil(t, st.Pinned)

	require.NotNil(t, st.Served)
	assert.Equal(t, r.store.Served().ID, st.Served.View)
	assert.True(t, st.Served.Incomplete)
	assert.Equal(t, 3, st.Served.Files)
	require.Len(t, st.Served.Releases, 2)
	first, second := st.Served.Releases[0], st.Served.Releases[1]
	assert.Equal(t, "4.5.13", first.Tag)
	assert.Equal(t, 1, first.Rank)
	assert.Equal(t, "it is version 4.5.13", first.Reason)
	assert.Equal(t, store.Coverage{Served: 2}, first.Coverage)
	assert.Equal(t, top.Manifest, first.Digest)
	assert.Equal(t, store.Coverage{Served: 1, Covered: 2, Differs: 1}, second.Coverage)
	assert.Equal(t, 2, second.Skipped)

	require.Len(t, st.Sources, 1)
	s := st.Sources[0]
	assert.Equal(t, "default", s.Source)
	assert.Equal(t, attempt, s.LastAttempt)
	assert.Equal(t, attempt.Add(-time.Hour), s.LastSuccess)
	assert.Equal(t, attempt.Add(time.Minute), s.NextAttempt)
	assert.Equal(t, "cut short", s.Failures[0].Reason)
	assert.Equal(t, 2, st.Store.Releases)
	assert.Equal(t, 2, st.Store.Trees)
	assert.Positive(t, st.Store.Free)
	require.Len(t, st.History, 2)
	assert.True(t, st.History[0].Served)
	assert.False(t, st.History[1].Served)
	assert.Equal(t, []ReleaseName{{Source: "default", Tag: "4.5.11", Digest: low.Manifest}}, st.History[1].Releases)
}

// The keys are public; what holds nothing is [] or null as docs/api.md says.
func TestStatusOfNothing(t *testing.T) {
	r := newRig(t)
	var top map[string]any
	require.NoError(t, json.Unmarshal(r.get("/api/v1/status").Body.Bytes(), &top))
	for _, list := range []string{"notices", "sources", "history"} {
		assert.IsType(t, []any{}, top[list], list)
	}
	assert.Nil(t, top["served"])
	assert.Nil(t, top["pinned"])
	assert.Equal(t, false, top["ready"])
	assert.Contains(t, top["reason"], "the first sync of source default has not ended")
	source := top["sources"].([]any)[0].(map[string]any)
	for _, list := range []string{"failures", "followed", "leftOut", "notices"} {
		assert.IsType(t, []any{}, source[list], list)
	}
	storePart := top["store"].(map[string]any)
	for _, key := range []string{"dir", "trees", "bytes", "freeBytes", "releases"} {
		assert.Contains(t, storePart, key)
	}
	assert.Equal(t, "[]", strings.TrimSpace(r.get("/api/v1/releases").Body.String()))
}

// Following may lead to the same view again: only the last time is the served one.
func TestHistoryOfAViewThatCameBack(t *testing.T) {
	r := newRig(t)
	a, b := r.hold("4.5.11", files{"a": "1"}), r.hold("4.5.13", files{"a": "2"})
	for _, c := range []store.Contribution{a, b, a} {
		r.follow(c)
	}
	served := func() (out []bool) {
		for _, h := range getJSON[Status](r, "/api/v1/status").History {
			out = append(out, h.Served)
		}
		return out
	}
	assert.Equal(t, []bool{true, false, false}, served())
	target, err := r.store.Target("", false)
	require.NoError(t, err)
	require.NoError(t, r.store.Pin(target, "rollback", "rollback"))
	assert.Equal(t, []bool{false, true, false}, served())
	st := getJSON[Status](r, "/api/v1/status")
	assert.Equal(t, st.Served.Since, st.History[1].Since, "since it was rolled back to")
	assert.Equal(t, "held there: rollback", st.Served.Releases[0].Reason, "nothing is followed that leads to it")
}

func TestAPinIsToldOnce(t *testing.T) {
	r := newRig(t)
	r.follow(r.hold("4.5.13", files{"a": "1"}))
	require.NoError(t, r.store.Pin(*r.store.Served(), "pin", "pin to 4.5.13"))
	pin := r.store.Pinned()
	// What a real poller says of the same pin.
	real := poller.New(poller.Config{Name: "default", Source: absent{}, Store: r.store, Timeout: time.Minute})
	real.Once(t.Context(), poller.Ask{})
	r.source.status = real.Status()

	st := getJSON[Status](r, "/api/v1/status")
	require.NotNil(t, st.Pinned)
	assert.Equal(t, pin.View, st.Pinned.View)
	var told []Notice
	for _, n := range st.Notices {
		if strings.Contains(n.What, pin.View) {
			told = append(told, n)
		}
	}
	require.Len(t, told, 1)
	assert.Empty(t, told[0].Source, "it is of no single source")
	assert.True(t, st.Served.Releases[0].Pinned)
}

func TestDamageIsTold(t *testing.T) {
	r := newRig(t)
	r.follow(r.hold("4.5.13", files{"a": "1", "b": "1"}))
	v := r.store.Acquire()
	e, _ := v.Lookup("a")
	r.lose("files/a")
	r.store.ReportDamage(v, e)
	v.Close()

	st := getJSON[Status](r, "/api/v1/status")
	require.Len(t, st.Notices, 1)
	assert.Contains(t, st.Notices[0].What, "1 files of 4.5.13")
	assert.Contains(t, st.Notices[0].Cure, "the next sync repairs it; `specman verify --repair`")
	assert.Equal(t, 1, st.Served.Releases[0].Damaged)

	// What only a pin holds, no sync brings.
	require.NoError(t, r.store.Pin(*r.store.Served(), "pin", "pin"))
	r.follow(r.hold("4.5.13", files{"a": "2"}))
	st = getJSON[Status](r, "/api/v1/status")
	assert.Contains(t, st.Notices[0].What, "1 files of 4.5.13")
	assert.Contains(t, st.Notices[0].Cure, "specman verify --repair")
	assert.NotContains(t, st.Notices[0].Cure, "sync")
}

func TestDamageOfAnImportIsCuredByAnother(t *testing.T) {
	r := newRig(t)
	c := r.hold("4.5.13", files{"a": "1"}, func(r *store.Release) { r.Source = store.ImportSource })
	_, err := r.store.Follow(store.ImportSource, []store.Contribution{c})
	require.NoError(t, err)
	r.lose("files/a")
	_, err = r.store.Verify(t.Context(), store.VerifyOptions{})
	require.NoError(t, err)

	st := getJSON[Status](r, "/api/v1/status")
	require.Len(t, st.Notices, 1)
	assert.Contains(t, st.Notices[0].What, "1 files of 4.5.13")
	assert.Contains(t, st.Notices[0].Cure, "specman import")
}

// Without its state a store serves what it served before, or nothing: that is told until
// the sources have brought what they have.
func TestALostStateIsToldUntilASyncSucceeds(t *testing.T) {
	r := newRig(t)
	r.follow(r.hold("1.0.0", files{"f": "1"}))
	dir := r.store.Dir()
	require.NoError(t, r.store.Close())
	require.NoError(t, os.Truncate(filepath.Join(dir, "state.json"), 20))
	again, err := store.Open(t.Context(), store.Options{Dir: dir})
	require.NoError(t, err)
	t.Cleanup(func() { again.Close() })
	r = newRig(t, func(o *Options) { o.Store = again })

	st := getJSON[Status](r, "/api/v1/status")
	require.Len(t, st.Notices, 1)
	assert.Contains(t, st.Notices[0].What, "the store's state is damaged")
	r.source.set(func(s *source) { s.status.LastSuccess = time.Now() })
	assert.Empty(t, getJSON[Status](r, "/api/v1/status").Notices)
}

func TestALostTreeOfAStoppedServiceIsTold(t *testing.T) {
	r := newRig(t)
	held := r.hold("1.0.0", files{"f": "1"})
	r.follow(held)
	_, err := r.store.Follow("default", []store.Contribution{
		{Tag: held.Tag, Manifest: held.Manifest},
		{Tag: "2.0.0", Manifest: r.hold("2.0.0", files{"f": "2"}).Manifest, Lost: true},
	})
	require.NoError(t, err)
	p := r.store.Snapshot()
	defer p.Close()
	st := StatusOfStopped(p)
	require.Len(t, st.Notices, 1)
	assert.Contains(t, st.Notices[0].What, "2.0.0")
	assert.True(t, st.Served.Incomplete)
}

func TestADamagedFolderIsTold(t *testing.T) {
	r := newRig(t)
	r.follow(r.hold("4.5.13", files{"a": "1"}))
	r.lose("index")
	_, err := r.store.Verify(t.Context(), store.VerifyOptions{})
	require.NoError(t, err)

	st := getJSON[Status](r, "/api/v1/status")
	require.Len(t, st.Notices, 1)
	assert.Contains(t, st.Notices[0].What, "the folder of 4.5.13")
	assert.Contains(t, st.Notices[0].Cure, "specman verify --repair")
	assert.Zero(t, st.Served.Releases[0].Damaged, "its files are as they were")
}

func TestReleases(t *testing.T) {
	at := time.Now().UTC()
	refusal := func(tag string, manifest store.Contribution, at time.Time) store.Refusal {
		return store.Refusal{Source: "default", Tag: tag, Manifest: manifest.Manifest, Stage: "unpack", Reason: "too large", At: at}
	}
	r := newRig(t)
	old := r.hold("4.5.11", files{"a": "0"}, func(r *store.Release) { r.Fetched = at.Add(-2 * time.Hour) })
	last := r.hold("4.5.12", files{"a": "1"}, func(r *store.Release) { r.Fetched = at.Add(-time.Hour) })
	served := r.hold("4.5.13", files{"a": "2"}, func(r *store.Release) { r.Fetched = at })
	r.follow(old)
	r.follow(served)
	require.NoError(t, r.store.Refuse(refusal("4.6.0", store.Contribution{Manifest: "sha256:aa"}, at)))
	require.NoError(t, r.store.Refuse(refusal("4.6.0", store.Contribution{Manifest: "sha256:bb"}, at.Add(time.Second))))
	require.NoError(t, r.store.Refuse(refusal("4.5.13", store.Contribution{Manifest: "sha256:cc"}, at.Add(-time.Second)))) // mended since
	require.NoError(t, r.store.Refuse(refusal("4.5.12", last, at)))                                                        // held under another policy
	chart := refusal("chart", store.Contribution{Manifest: "sha256:dd"}, at)
	chart.Stage = string(poller.PassedOver)
	require.NoError(t, r.store.Refuse(chart))

	releases := getJSON[[]Release](r, "/api/v1/releases")
	type line struct {
		tag, digest                    string
		held, served, followed, refuse bool
	}
	var got []line
	for _, e := range releases {
		got = append(got, line{e.Tag, e.Digest.String(), e.Held, e.Rank > 0, e.Followed, e.Refused != nil})
	}
	assert.Equal(t, []line{
		{"4.5.13", served.Manifest.String(), true, true, true, false},
		{"4.5.12", last.Manifest.String(), true, false, false, true},
		{"4.5.11", old.Manifest.String(), true, false, false, false},
		{"4.6.0", "sha256:bb", false, false, false, true},
	}, got)
	assert.Zero(t, releases[0].OutOfUse)
	assert.NotZero(t, releases[2].OutOfUse)
	assert.Equal(t, "too large", releases[3].Refused.Reason)
}

func TestEventsComeNewestFirst(t *testing.T) {
	r := newRig(t)
	require.NoError(t, r.store.Note("failure", "default", "first"))
	require.NoError(t, r.store.Note("failure", "default", "second"))
	events := getJSON[[]store.Event](r, "/api/v1/events")
	require.Len(t, events, 2)
	assert.Equal(t, "second", events[0].Message)
	assert.Len(t, getJSON[[]store.Event](r, "/api/v1/events?limit=1"), 1)
}

func TestDiff(t *testing.T) {
	r := newRig(t)
	a := r.hold("4.5.11", files{"same": "1", "gone": "1", "changed": "1", "file": "1"})
	b := r.hold("4.5.13", files{"same": "1", "new": "1", "changed": "2", "file": "1"})
	r.follow(a)
	first := r.store.Served().ID
	want := Diff{Added: []string{"new"}, Removed: []string{"gone"}, Changed: []string{"changed"}}
	same := func(t *testing.T, want, got Diff) {
		t.Helper()
		assert.NotEmpty(t, got.From)
		assert.NotEmpty(t, got.To)
		got.From, got.To = "", ""
		assert.Equal(t, want, got)
	}
	nothing := Diff{Added: []string{}, Removed: []string{}, Changed: []string{}}

	same(t, want, getJSON[Diff](r, "/api/v1/diff?from=4.5.11&to=4.5.13"))
	same(t, want, getJSON[Diff](r, "/api/v1/diff?from="+a.Manifest.String()+"&to="+b.Manifest.String()))
	same(t, want, getJSON[Diff](r, "/api/v1/diff?from="+first+"&to=4.5.13"))
	same(t, want, getJSON[Diff](r, "/api/v1/diff?to=4.5.13"))
	same(t, nothing, getJSON[Diff](r, "/api/v1/diff"))

	t.Run("without names: what a pin hides", func(t *testing.T) {
		require.NoError(t, r.store.Pin(*r.store.Served(), "pin", "pin"))
		r.follow(b)
		same(t, want, getJSON[Diff](r, "/api/v1/diff"))
	})
	t.Run("of nothing", func(t *testing.T) {
		p := problemOf(t, newRig(t).get("/api/v1/diff"))
		assert.Equal(t, 404, p.Status)
		assert.Contains(t, p.Detail, "not held")
	})
}

// What stands in for a pinned view that is lost is not pinned itself.
func TestAStandInIsNotPinned(t *testing.T) {
	r := newRig(t)
	r.follow(r.hold("1.0.0", files{"a": "1"}))
	require.NoError(t, r.store.Pin(*r.store.Served(), "pin", "test"))
	p := r.store.Snapshot()
	defer p.Close()
	assert.True(t, ReleasesOf(p)[0].Pinned)
	lost := *p.Pin
	lost.View = "v-0123456789abcdef"
	p.Pin = &lost
	assert.False(t, ReleasesOf(p)[0].Pinned)
}
