package poller

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/testenv"
)

// A volume that is full before a tree is on it tells how much the tree needs: no
// registry does. Older releases make room for it in the same sync, and where they cannot,
// no later sync downloads it again to find that out.
func TestASyncThatFillsTheVolume(t *testing.T) {
	noise := func(n int) string { // does not compress
		b := make([]byte, 3<<20)
		rand.NewChaCha8([32]byte{byte(n)}).Read(b)
		return string(b)
	}
	many := make(files)
	for n := range 100 {
		many[fmt.Sprint(n)] = "x"
	}
	for name, row := range map[string]struct {
		volume      string
		fits, never files
		missing     string
	}{
		"bytes": {"size=24m", files{"f": strings.Repeat("B", 12<<20)}, files{"f": strings.Repeat("B", 30<<20)},
			"30 MiB needed and 1 MiB to stay free"},
		"inodes": {"size=64m,nr_inodes=160", many, func() files {
			all := make(files)
			for n := range 300 {
				all[fmt.Sprint(n)] = "x"
			}
			return all
		}(), "300 inodes needed, but "},
	} {
		t.Run(name, func(t *testing.T) {
			r, dir := onVolume(t, row.volume)
			s := r.store
			for n := range 4 {
				content := files{"n": noise(n)}
				if name == "inodes" {
					for m := range 20 {
						content[fmt.Sprint(m)] = fmt.Sprint(n, m)
					}
				}
				r.registry.push(t, "0.0.0", day(n+1), content)
				require.Equal(t, Success, r.sync().Result)
			}
			require.Len(t, s.Releases(), 4)

			r.registry.push(t, "0.0.0", day(5), row.fits)
			o := r.sync()
			require.Empty(t, o.Failures)
			r.serves(row.fits)
			assert.Less(t, len(s.Releases()), 5)
			assert.True(t, slices.ContainsFunc(s.Events(), func(e store.Event) bool {
				return strings.Contains(e.Message, "removed to make space 0.0.0")
			}), "and it is named")

			r.registry.push(t, "0.0.0", day(6), row.never)
			for n := range 3 {
				r.registry.asked()
				o := r.sync()
				require.Len(t, o.Failures, 1)
				assert.Equal(t, StageSpace, o.Failures[0].Stage)
				assert.Contains(t, o.Failures[0].Reason, row.missing)
				if n > 0 {
					assert.NotContains(t, r.registry.asked(), "blob")
				}
			}
			r.serves(row.fits)
			left, err := os.ReadDir(dir + "/staging")
			require.NoError(t, err)
			assert.Empty(t, left)
		})
	}
}

// onVolume is a rig whose store is on a tmpfs of its own.
func onVolume(t *testing.T, options string) (*rig, string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can mount a volume of a given size")
	}
	dir := t.TempDir()
	require.NoError(t, syscall.Mount("tmpfs", dir, "tmpfs", 0, options))
	t.Cleanup(func() { assert.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	s, err := store.Open(t.Context(), store.Options{Dir: dir, Keep: 5, MinFree: 1 << 20})
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return newRigOn(t, s, newRegistry(), func(c *Config) { c.Select = selectors(t, "0.0.0") }), dir
}

// some is n files of 100 KiB, which compress as well as manifests do.
func some(from, n int) files {
	all := make(files)
	for n := range n {
		all[fmt.Sprintf("f%d", from+n)] = strings.Repeat(fmt.Sprintf("%08d", from+n), 100<<10/8)
	}
	return all
}

// What a tree needs is what it does not share with the served one. A volume that was full
// for a moment, and then has room for that, is enough.
func TestWhatATreeNeedsIsWhatItDoesNotShare(t *testing.T) {
	r, dir := onVolume(t, "size=48m")
	content := some(0, 280)
	r.registry.push(t, "0.0.0", day(1), content)
	require.Equal(t, Success, r.sync().Result)
	full := filepath.Join(dir, "full")
	require.NoError(t, os.WriteFile(full, make([]byte, 15<<20), 0o600))
	maps.Copy(content, some(1000, 40)) // 4 MiB
	r.registry.push(t, "0.0.0", day(2), content)
	o := r.sync()
	require.Len(t, o.Failures, 1)
	assert.Equal(t, StageSpace, o.Failures[0].Stage)
	require.NoError(t, os.Truncate(full, 10<<20))
	assert.Equal(t, Success, r.sync().Result)
	r.serves(files{"f1007": content["f1007"]})
}

// Older releases make room for what is new of the next one, and no more than that is
// asked for.
func TestOlderReleasesMakeRoomForWhatIsNew(t *testing.T) {
	r, _ := onVolume(t, "size=24m")
	for n := range 2 { // 3 MiB each
		r.registry.push(t, "0.0.0", day(n+1), some(2000+100*n, 30))
		require.Equal(t, Success, r.sync().Result)
	}
	content := some(0, 130) // 13 MiB
	r.registry.push(t, "0.0.0", day(3), content)
	require.Equal(t, Success, r.sync().Result)
	maps.Copy(content, some(1000, 55)) // 5.5 MiB
	r.registry.push(t, "0.0.0", day(4), content)
	o := r.sync()
	assert.Empty(t, o.Failures)
	r.serves(files{"f1007": content["f1007"]})
}

// A release that shares most of its files needs few inodes: none that could be gone back
// to is removed for as many as it has names.
func TestSharedFilesNeedNoInodes(t *testing.T) {
	dir, _ := testenv.LoopVolume(t, 64<<20, "mkfs.ext4", "-q", "-N", "400")
	s, err := store.Open(t.Context(), store.Options{Dir: dir, Keep: 5, MinFree: 1 << 20})
	require.NoError(t, err)
	r := newRigOn(t, s, newRegistry(), func(c *Config) { c.Select = selectors(t, "0.0.0") })
	content := make(files)
	for n := range 190 {
		content[fmt.Sprint(n)] = fmt.Sprint(n)
	}
	for n := range 6 {
		content["changes"] = fmt.Sprint(n)
		r.registry.push(t, "0.0.0", day(n+1), content)
		require.Equal(t, Success, r.sync().Result)
	}
	assert.Len(t, s.Releases(), 6)
	require.NoError(t, s.Close())
}
