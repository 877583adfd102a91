package poller

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/store"
)

const index = "roar/nickfury/versions.yaml"

func requiring(paths ...string) func(*Config) {
	return func(c *Config) { c.Gate.RequirePaths = paths }
}

// trees is how many trees lie in the store's folder.
func (r *rig) trees() int {
	r.Helper()
	trees, err := os.ReadDir(filepath.Join(r.store.Dir(), "trees"))
	require.NoError(r, err)
	return len(trees)
}

// collect removes garbage: what was never seen in use is at first only noted.
func (r *rig) collect() {
	r.Helper()
	for range 2 {
		_, err := r.store.GC(false)
		require.NoError(r, err)
	}
}

// blobs is how many layers were asked for since the last time.
func (r *rig) blobs() (n int) {
	for _, call := range r.registry.asked() {
		if call == "blob" {
			n++
		}
	}
	return n
}

// What the view must hold may come from a release below: a new replica, which gets all
// of them in one sync, comes to what one serves that got them one after the other.
func TestRequiredPathsOfAReleaseBelow(t *testing.T) {
	low := func(r *rig) {
		r.registry.push(t, "4.5.13", day(1), files{index: "versions:\n- version: 4.5.13\n", "a": "low"})
	}
	top := func(r *rig) { r.registry.push(t, "4.6.0", day(2), files{"a": "top"}) }
	view := files{"a": "top", index: "versions:\n- version: 4.5.13\n"}

	old := newRig(t, requiring("/"+index))
	low(old)
	require.Equal(t, Success, old.sync().Result)
	top(old)
	require.Equal(t, Success, old.sync().Result)
	old.serves(view)

	fresh := newRig(t, requiring("/"+index))
	low(fresh)
	top(fresh)
	o := fresh.sync()
	assert.Equal(t, Success, o.Result)
	assert.Equal(t, []string{"4.6.0", "4.5.13"}, o.Got)
	fresh.serves(view)
	assert.Equal(t, old.store.Served().ID, fresh.store.Served().ID)
	assert.Len(t, fresh.store.History(), 1, "nothing was served that lacks the path")
}

func TestRequiredPathsOfSeveralNewReleases(t *testing.T) {
	r := newRig(t, requiring("/a", "/b", "/c"))
	r.registry.push(t, "1.0.0", day(1), files{"c": "1"})
	r.registry.push(t, "2.0.0", day(1), files{"b": "2"})
	r.registry.push(t, "3.0.0", day(1), files{"a": "3"})
	assert.Equal(t, []string{"3.0.0", "2.0.0", "1.0.0"}, r.sync().Got)
	r.serves(files{"a": "3", "b": "2", "c": "1"})

	// All move at once, and what they bring changes hands.
	r.registry.push(t, "1.0.0", day(2), files{"a": "1"})
	r.registry.push(t, "2.0.0", day(2), files{"c": "2"})
	r.registry.push(t, "3.0.0", day(2), files{"b": "3"})
	assert.Equal(t, Success, r.sync().Result)
	r.serves(files{"a": "1", "b": "3", "c": "2"})
}

// An upper file hides a lower folder whole.
func TestRequiredPathsBelowAFile(t *testing.T) {
	hiding := files{"roar": "a file", "b": "2"}
	t.Run("of a new release", func(t *testing.T) {
		r := newRig(t, requiring("/roar/x"))
		r.registry.push(t, "1.0.0", day(1), files{"roar/x": "1"})
		require.Equal(t, Success, r.sync().Result)
		r.registry.push(t, "2.0.0", day(2), hiding)
		o := r.sync()
		require.Len(t, o.Failures, 1)
		assert.Equal(t, StageGate, o.Failures[0].Stage)
		assert.Equal(t, "the view would lack what gate.requirePaths asks for: /roar/x", o.Failures[0].Reason)
		assert.Equal(t, Refused, r.state("2.0.0"))
		assert.Equal(t, 1, r.trees(), "nothing of it is kept")
		r.serves(files{"roar/x": "1", "b": ""})
		assert.Equal(t, Noop, r.sync().Result, "it is remembered")
	})
	t.Run("of one of several new releases", func(t *testing.T) {
		r := newRig(t, requiring("/roar/x"))
		r.registry.push(t, "1.0.0", day(1), files{"roar/x": "1"})
		r.registry.push(t, "2.0.0", day(2), hiding)
		r.registry.push(t, "3.0.0", day(2), files{"a": "3"})
		o := r.sync()
		require.Len(t, o.Failures, 1)
		assert.Equal(t, "2.0.0", o.Failures[0].Tag)
		assert.Equal(t, []string{"3.0.0", "1.0.0"}, o.Got)
		r.serves(files{"roar/x": "1", "a": "3", "b": ""})
		assert.Equal(t, Refused, r.state("2.0.0"))
		assert.Equal(t, Noop, r.sync().Result)
	})
	t.Run("of a source above", func(t *testing.T) {
		_, r := several(t, "top", "low")
		r["top"].registry.push(t, "2.0.0", day(2), hiding)
		r["top"].sync()
		r["low"].poller.Gate.RequirePaths = []string{"/roar/x"}
		r["low"].registry.push(t, "1.0.0", day(2), files{"roar/x": "1"})
		o := r["low"].sync()
		require.Len(t, o.Failures, 1)
		assert.Equal(t, StageGate, o.Failures[0].Stage)
	})
	t.Run("of a source below", func(t *testing.T) {
		_, r := several(t, "top", "low")
		r["low"].registry.push(t, "2.0.0", day(2), hiding)
		r["low"].sync()
		r["top"].poller.Gate.RequirePaths = []string{"/roar/x"}
		r["top"].registry.push(t, "1.0.0", day(2), files{"roar/x": "1"})
		assert.Equal(t, Success, r["top"].sync().Result)
		r["low"].serves(files{"roar/x": "1", "b": "2"})
	})
}

// A tag that leaves out what only it had goes on with what it had; the others are not
// to blame.
func TestRequiredPathsThatAReleaseLeavesOut(t *testing.T) {
	r := newRig(t, requiring("/x"))
	r.registry.push(t, "1.0.0", day(1), files{"x": "1"})
	r.registry.push(t, "2.0.0", day(1), files{"a": "1"})
	require.Equal(t, Success, r.sync().Result)
	r.registry.push(t, "1.0.0", day(2), files{"b": "2"})
	r.registry.push(t, "2.0.0", day(2), files{"a": "2"})
	assert.Equal(t, []string{"2.0.0"}, r.sync().Got)
	r.serves(files{"x": "1", "a": "2", "b": ""})
	assert.Equal(t, Refused, r.state("1.0.0"))
}

func TestRequiredPathsThatNobodyHas(t *testing.T) {
	r := newRig(t, requiring("/x", "/a"))
	r.registry.push(t, "1.0.0", day(1), files{"a": "1"})
	r.registry.push(t, "2.0.0", day(1), files{"b": "2"})
	o := r.sync()
	require.Len(t, o.Failures, 2)
	for n, tag := range []string{"2.0.0", "1.0.0"} {
		assert.Equal(t, tag, o.Failures[n].Tag)
		assert.Equal(t, "the view would lack what gate.requirePaths asks for: /x", o.Failures[n].Reason)
		assert.Contains(t, o.Failures[n].Cure, "--force")
		assert.Equal(t, Refused, r.state(tag))
	}
	assert.Nil(t, r.store.Served())
	r.collect()
	assert.Zero(t, r.trees(), "nothing of them is kept")
	r.registry.asked()
	assert.Equal(t, Noop, r.sync().Result)
	assert.Zero(t, r.blobs())

	assert.Equal(t, Success, r.poller.Once(context.Background(), Ask{Force: true}).Result)
	r.serves(files{"a": "1", "b": "2"})
}

// A release that came too early for what it needs comes in beside it, as it does where a
// new replica gets both in one sync; and each that is refused is fetched once for what is
// on offer.
func TestRequiredPathsThatALaterReleaseBrings(t *testing.T) {
	r := newRig(t, requiring("/x", "/a"))
	r.registry.push(t, "1.0.0", day(1), files{"a": "1"})
	require.Equal(t, Failed, r.sync().Result)
	r.registry.push(t, "2.0.0", day(2), files{"b": "2"})
	require.Equal(t, Failed, r.sync().Result)
	r.registry.asked()
	assert.Equal(t, Noop, r.sync().Result)
	assert.Zero(t, r.blobs())

	r.registry.push(t, "3.0.0", day(3), files{"x": "3"})
	assert.Equal(t, Success, r.sync().Result)
	r.serves(files{"a": "1", "b": "2", "x": "3"})
}

// What a release lacks may come with another one that cannot be had now. It is judged
// again, without being fetched again, when that one is there.
func TestRequiredPathsOfWhatCannotBeHadNow(t *testing.T) {
	for _, broken := range []string{"head 1.0.0", "manifest 1.0.0", "blob"} {
		t.Run(broken, func(t *testing.T) {
			r := newRig(t, requiring("/x"))
			r.registry.push(t, "1.0.0", day(1), files{"x": "1"})
			r.registry.push(t, "2.0.0", day(2), files{"a": "2"})
			calls := 0
			r.registry.failing(func(call string) error {
				if call == "blob" {
					calls++
				}
				if call != broken || call == "blob" && calls == 1 { // the top is had
					return nil
				}
				return unavailable
			})
			for range 3 {
				o := r.sync()
				assert.Equal(t, Failed, o.Result)
				last := o.Failures[len(o.Failures)-1]
				assert.Equal(t, []any{"2.0.0", StageGate}, []any{last.Tag, last.Stage})
				assert.Contains(t, last.Reason, "/x")
				assert.NotContains(t, last.Cure, "--force")
				assert.Equal(t, Missing, r.state("2.0.0"))
				assert.Nil(t, r.store.Served())
				r.collect()
				assert.Equal(t, 1, r.trees(), "it is kept")
			}
			r.registry.failing(nil)
			r.registry.asked()
			assert.Equal(t, []string{"2.0.0", "1.0.0"}, r.sync().Got)
			assert.Equal(t, 1, r.blobs())
			r.serves(files{"x": "1", "a": "2"})
			assert.True(t, r.poller.Status().Current)
		})
	}
}

// What waits is kept, however long the others take.
func TestWhatWaitsIsNotRemoved(t *testing.T) {
	r := newRig(t, requiring("/x"))
	r.registry.push(t, "1.0.0", day(1), files{"x": "1"})
	r.registry.push(t, "2.0.0", day(2), files{"a": "2"})
	r.registry.failing(func(string) error {
		r.collect()
		return nil
	})
	assert.Equal(t, Success, r.sync().Result)
	r.serves(files{"x": "1", "a": "2"})
}

// What a sync was cut off from is not decided.
func TestASyncThatIsCutOffWhileOneWaits(t *testing.T) {
	r := newRig(t, requiring("/x"))
	r.registry.push(t, "1.0.0", day(1), files{"x": "1"})
	r.registry.push(t, "2.0.0", day(2), files{"a": "2"})
	ctx, cancel := context.WithCancel(context.Background())
	blobs := 0
	r.registry.failing(func(call string) error {
		if call == "blob" {
			if blobs++; blobs == 2 {
				cancel()
				return ctx.Err()
			}
		}
		return nil
	})
	o := r.poller.Once(ctx, Ask{})
	assert.Empty(t, o.Failures)
	assert.Empty(t, r.store.Refusals("default"))
	assert.Empty(t, r.store.Releases())
	r.registry.failing(nil)
	assert.Equal(t, Success, r.sync().Result)
	r.serves(files{"x": "1", "a": "2"})
}

// In whatever order releases come into the registry, and with whatever syncs between, the
// same view is served, as long as none of them is refused on the way.
func TestRequiredPathsInAnyOrder(t *testing.T) {
	tags := []string{"1.0.0", "2.0.0", "3.0.0"}
	trees := map[string]files{"1.0.0": {"x": "1", "y/z": "1"}, "2.0.0": {"a": "2"}, "3.0.0": {"a": "3", "y/b": "3"}}
	var want *store.ViewRecord
	for together := range len(tags) {
		r := newRig(t, requiring("/x", "/y/z"))
		for batch := range slices.Chunk(tags, together+1) {
			for _, tag := range batch {
				r.registry.push(t, tag, day(1), trees[tag])
			}
			require.Equal(t, Success, r.sync().Result)
		}
		if want == nil {
			want = r.store.Served()
		}
		assert.Equal(t, want.ID, r.store.Served().ID)
	}
}
