package poller

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/selector"
)

func indexOf(versions ...string) string {
	text := "versions:\n"
	for _, v := range versions {
		text += "- version: \"" + v + "\"\n"
	}
	return text
}

// An index that is not cumulative: Palette loses versions, and nothing else tells.
func TestVersionsThatTheServedIndexLacks(t *testing.T) {
	r := newRig(t)
	r.registry.push(t, "0.0.0", day(1), files{"a": "old", selector.IndexPath: indexOf("4.4.20", "4.5", "4.5.13")})
	r.sync()
	assert.Empty(t, r.notices())
	r.registry.push(t, "4.6.0", day(2), files{"a": "new", selector.IndexPath: indexOf("v4.5.0", "4.6.0")})
	r.sync()
	require.Len(t, r.notices(), 1)
	assert.Equal(t, "the index of 0.0.0 lists 4.5.13, 4.4.20, which the served index, that of 4.6.0, does not", r.notices()[0])
	assert.Contains(t, r.log.String(), r.notices()[0])

	r.registry.push(t, "4.6.0", day(3), files{"a": "new", selector.IndexPath: "versions: [\n"})
	r.sync()
	require.Len(t, r.notices(), 1)
	assert.Contains(t, r.notices()[0], "the index of 0.0.0 lists 4.5.13, 4.5, 4.4.20, which", "of an index that cannot be read")
	r.registry.push(t, "4.6.0", day(4), files{"a": "new", selector.IndexPath: indexOf("4.4.20", "4.5.0", "4.5.13", "4.6.0")})
	r.sync()
	assert.Empty(t, r.notices())
}

// A tree that was repaired makes the view that it was damaged in, and its index tells again.
func TestNoticesOfARepairedIndex(t *testing.T) {
	r := newRig(t)
	index := indexOf("4.4.20", "4.5.13")
	r.registry.push(t, "0.0.0", day(1), files{"copy": index, selector.IndexPath: index})
	r.registry.push(t, "4.6.0", day(2), files{selector.IndexPath: indexOf("4.6.0")})
	r.sync()
	require.Len(t, r.notices(), 1)

	releases := r.store.Releases()
	old := releases[slices.IndexFunc(releases, func(r store.Release) bool { return r.Tag == "0.0.0" })]
	damaged := filepath.Join(r.store.Dir(), "trees", "sha256-"+old.Layer.Encoded(), "files", selector.IndexPath)
	require.NoError(t, os.Truncate(damaged, 3))
	_, err := r.store.Verify(t.Context(), store.VerifyOptions{})
	require.NoError(t, err)
	target, err := r.store.Target("0.0.0", true)
	require.NoError(t, err)
	require.NoError(t, r.store.Pin(target, "pin", "test"))
	_, err = r.store.Unpin("test")
	require.NoError(t, err)
	assert.Empty(t, r.notices(), "its index cannot be read")

	require.NoError(t, r.store.Repair(t.Context(), old.Layer))
	assert.Len(t, r.notices(), 1)
}

// Between two syncs, which may be hours apart, a view changes by hand and by others.
func TestNoticesAreOfTheViewThatIsServed(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Select = selectors(t, "1.0.0", "2.0.0") })
	one := r.registry.push(t, "1.0.0", day(1), files{"a": "one", "b": "one"})
	r.registry.push(t, "2.0.0", day(2), files{"a": "two"})
	r.sync()
	require.Len(t, r.notices(), 1)
	assert.Contains(t, r.notices()[0], "2.0.0 is covered by other content of 1.0.0")

	_, err := r.store.Forget(one.String(), "test")
	require.NoError(t, err)
	require.Len(t, r.notices(), 1)
	assert.Contains(t, r.notices()[0], "was taken out by `specman forget`")
	assert.Equal(t, Forgotten, r.state("1.0.0"))
	r.sync()
	require.Len(t, r.notices(), 1)
	assert.Contains(t, r.notices()[0], "was taken out by `specman forget`")

	_, err = r.store.UnforgetAll(r.poller.Name, "")
	require.NoError(t, err)
	_, err = r.store.Follow(r.poller.Name, []store.Contribution{{Tag: "1.0.0", Manifest: one}})
	require.NoError(t, err)
	for _, n := range r.notices() {
		assert.NotContains(t, n, "covered", "it is served alone")
	}
}

// What has vanished and was then forgotten is served no more.
func TestWhatHasVanishedAndWasForgotten(t *testing.T) {
	r := newRig(t)
	r.registry.push(t, "1.0.0", day(1), files{"a": "one"})
	r.registry.push(t, "2.0.0", day(2), files{"a": "two"})
	r.sync()
	r.registry.remove("2.0.0")
	r.sync()
	require.Len(t, r.notices(), 1)
	assert.Contains(t, r.notices()[0], "2.0.0 has vanished")
	_, err := r.store.Forget("2.0.0", "test")
	require.NoError(t, err)
	assert.Equal(t, Forgotten, r.state("2.0.0"))
	require.Len(t, r.notices(), 1)
	assert.Contains(t, r.notices()[0], "was taken out")
}
