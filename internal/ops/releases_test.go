package ops

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/store"
)

// A release that is not served may be what somebody wants to go back to: what is wrong with
// it is told before, with the service running or not.
func TestReleasesThatAreNotServed(t *testing.T) {
	r := newRig(t)
	folder := make(map[string]string) // of the tree, by tag
	hold := func(tag string) store.Contribution {
		c := r.hold(tag, files{"f": tag, "g": "g" + tag})
		held, _ := r.store.Release(store.ReleaseKey{Source: "default", Tag: tag, Manifest: c.Manifest})
		folder[tag] = filepath.Join(r.store.Dir(), "trees", strings.Replace(held.Layer.String(), ":", "-", 1))
		return c
	}
	for _, tag := range []string{"gone", "index", "file", "forgotten", "well"} {
		hold(tag)
	}
	_, err := r.store.Forget("forgotten", "")
	require.ErrorContains(t, err, "all that is served")
	r.follow(hold("served"))
	_, err = r.store.Forget("forgotten", "")
	require.NoError(t, err)

	require.NoError(t, os.RemoveAll(folder["gone"]))
	require.NoError(t, os.Truncate(filepath.Join(folder["index"], "index"), 10))
	require.NoError(t, os.Remove(filepath.Join(folder["file"], "files/f")))
	_, err = r.store.Verify(t.Context(), store.VerifyOptions{})
	require.NoError(t, err)

	stopped, err := store.Read(r.store.Dir())
	require.NoError(t, err)
	defer stopped.Close()
	for name, releases := range map[string][]Release{
		"running": getJSON[[]Release](r, "/api/v1/releases"), "stopped": ReleasesOf(stopped),
	} {
		require.Len(t, releases, 6, name)
		for _, release := range releases {
			is := name + ": " + release.Tag
			assert.Equal(t, release.Tag == "gone" || release.Tag == "index", release.Lost, is)
			assert.Equal(t, release.Tag == "file", release.Damaged == 1, is)
			assert.Equal(t, release.Tag == "forgotten", release.Forgotten, is)
		}
	}
}
