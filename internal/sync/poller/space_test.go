package poller

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/store"
)

// A volume that is full before a tree is on it tells how much the tree needs: no
// registry does. Older releases make room for it in the same sync, and where they cannot,
// no later sync downloads it again to find that out.
func TestASyncThatFillsTheVolume(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can mount a volume of a given size")
	}
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
			dir := t.TempDir()
			require.NoError(t, syscall.Mount("tmpfs", dir, "tmpfs", 0, row.volume))
			t.Cleanup(func() { assert.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
			s, err := store.Open(t.Context(), store.Options{Dir: dir, Keep: 5, MinFree: 1 << 20})
			require.NoError(t, err)
			t.Cleanup(func() { s.Close() })
			r := newRigOn(t, s, newRegistry(), func(c *Config) { c.Select = selectors(t, "0.0.0") })
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
