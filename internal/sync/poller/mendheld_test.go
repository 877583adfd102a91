package poller

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/oci/ocitest"
)

// damage overwrites a file of the served view on the disk, and has the store find it.
func (r *rig) damage(path string) {
	r.Helper()
	r.damageOf(r.store.Acquire(), path)
}

// damageOf is damage of a view, or of a release alone.
func (r *rig) damageOf(v *store.View, path string) {
	r.Helper()
	defer v.Close()
	e, ok := v.Lookup(path)
	require.True(r, ok)
	found, err := filepath.Glob(filepath.Join(v.Folder(), path))
	require.NoError(r, err)
	require.Len(r, found, 1)
	require.NoError(r, os.Chmod(found[0], 0o644))
	require.NoError(r, os.WriteFile(found[0], []byte("rotten"), 0o644))
	r.store.ReportDamage(v, e)
}

// A pinned view is served by night too, when what is followed has moved on.
func TestAPinnedTreeIsFetchedAnew(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Select = selectors(t, "0.0.0") })
	r.registry.push(t, "0.0.0", day(1), files{"a": "one", "b": "1"})
	r.sync()
	require.NoError(t, r.store.Pin(*r.store.Served(), "pin", "test"))
	r.registry.push(t, "0.0.0", day(2), files{"a": "two", "b": "2"})
	require.Equal(t, Success, r.sync().Result)
	r.damage("a")
	require.Len(t, r.store.DamagedTrees(), 1)
	layer := r.store.DamagedTrees()[0]
	r.serves(files{"a": "", "b": "1"})

	r.registry.asked()
	for _, err := range []error{unavailable, absent("blob")} {
		r.broken("blob", err)
		assert.Equal(t, Noop, r.sync().Result, "what is followed is as it should be")
		assert.Contains(t, r.registry.asked(), "blob", "after a fault that may pass, the next sync asks again")
		assert.Contains(t, r.log.String(), "A damaged release cannot be fetched anew")
	}
	r.registry.failing(nil)
	r.sync()
	assert.NotContains(t, r.registry.asked(), "blob", "not at each poll")

	require.Contains(t, r.poller.lost, layer)
	r.poller.lost[layer] = time.Now()
	assert.Equal(t, Noop, r.sync().Result)
	r.serves(files{"a": "one", "b": "1"})
	assert.True(t, r.store.HasTree(layer))
	assert.NotNil(t, r.store.Pinned())
	r.registry.asked()
	r.sync()
	assert.NotContains(t, r.registry.asked(), "blob")
}

// damagedAside is a site that serves a pinned view with a damaged file, while 2.0.0 has
// moved on.
func damagedAside(s *site) {
	s.run()
	time.Sleep(time.Second)
	require.NoError(s, s.store.Pin(*s.store.Served(), "pin", "test"))
	s.push("2.0.0", day(3), files{"a": "moved"})
	s.sync()
	(&rig{T: s.T, store: s.store}).damage("a")
}

// What the registry says of a damaged layer holds for the next time that it is asked for
// one, though the polls go on.
func TestMendingKeepsToTheBackOff(t *testing.T) {
	for name, row := range map[string]struct {
		answer ocitest.Answer
		blobs  int // in the first hour, at most
		wait   time.Duration
	}{
		"503 for half an hour": {status(503, "Retry-After", "1800"), 2, 30 * time.Minute},
		"429 for an hour":      {status(429, "Retry-After", "3600"), 1, time.Hour},
		"503":                  {status(503), backOffSyncs, 5 * time.Minute},
		"401":                  {status(401), 7, 33 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			atSite(t, func(s *site) {
				damagedAside(s)
				at(blob, row.answer)(s)
				s.registry.Forget()
				time.Sleep(time.Hour)
				requests := s.registry.Counts()
				assert.GreaterOrEqual(t, requests[tags], 50, "the polls are not slowed")
				assert.Positive(t, requests[blob])
				assert.LessOrEqual(t, requests[blob], row.blobs)
				assert.Equal(t, Noop, s.poller.Status().LastResult, "what is followed is as it should be")

				s.registry.Heal()
				time.Sleep(row.wait + 2*time.Minute)
				s.serves(files{"a": "two"})
			})
		})
	}
	t.Run("a person does not wait", func(t *testing.T) {
		atSite(t, func(s *site) {
			damagedAside(s)
			at(blob, status(429, "Retry-After", "3600"))(s)
			s.sync()
			s.registry.Heal()
			s.sync()
			s.serves(files{"a": ""})
			_, err := s.poller.Sync(context.Background(), Ask{Mend: true})
			require.NoError(t, err)
			s.serves(files{"a": "two"})
		})
	})
	t.Run("another password", func(t *testing.T) {
		mounted, options := withSecret(t, (*ocitest.Registry).RequireBasic)
		atSite(t, func(s *site) {
			damagedAside(s)
			at(blob, status(401))(s)
			time.Sleep(time.Hour)
			s.registry.Heal()
			mounted.swap(files{"username": "robot$palette", "password": "old"})
			time.Sleep(70 * time.Second)
			s.serves(files{"a": "two"})
		}, options)
	})
}

// One damaged layer that is never had keeps no other from being had.
func TestMendingAsksForEachInTurn(t *testing.T) {
	for _, bad := range []string{"a", "b"} { // one of them is asked for first
		t.Run(bad, func(t *testing.T) {
			atSite(t, func(s *site) {
				damagedAside(s)
				layers := map[string]digest.Digest{"a": s.store.DamagedTrees()[0]}
				s.push("1.0.0", day(4), files{"b": "moved"})
				for _, r := range s.store.Releases() {
					if r.Tag == "1.0.0" {
						layers["b"] = r.Layer
						v, err := s.store.AcquireVersion(r.Manifest.String())
						require.NoError(s, err)
						(&rig{T: s.T, store: s.store}).damageOf(v, "b")
					}
				}
				require.Len(s, s.store.DamagedTrees(), 2)
				s.registry.Break(ocitest.Fault{Operation: blob, Answer: only(layers[bad].String(), ocitest.Hang())})
				time.Sleep(time.Hour)
				for path, layer := range layers {
					assert.Equal(s, path != bad, s.store.HasTree(layer), path)
				}
			})
		})
	}
}

// Who forces a sync, or repairs, does not wait for the hour to end.
func TestWhatWasLostIsAskedForAtOnce(t *testing.T) {
	for name, ask := range map[string]Ask{"force": {Force: true}, "mend": {Mend: true}} {
		t.Run(name, func(t *testing.T) { testWhatWasLostIsAskedFor(t, ask) })
	}
}

func testWhatWasLostIsAskedFor(t *testing.T, ask Ask) {
	r := newRig(t, func(c *Config) { c.Select = selectors(t, "0.0.0") })
	r.registry.push(t, "0.0.0", day(1), files{"a": "one"})
	r.sync()
	require.NoError(t, r.store.Pin(*r.store.Served(), "pin", "test"))
	r.registry.push(t, "0.0.0", day(2), files{"a": "two"})
	r.sync()
	r.damage("a")
	r.broken("blob", absent("blob"))
	r.sync()
	r.registry.failing(nil)
	r.sync()
	r.serves(files{"a": ""})
	r.poller.Once(context.Background(), ask)
	r.serves(files{"a": "one"})
}

// What a start cannot load is fetched anew too, and what is pinned served again.
func TestAPinnedTreeWhoseIndexIsLostIsFetchedAnew(t *testing.T) {
	dir := t.TempDir()
	registry := newRegistry()
	start := func() *rig {
		s, err := store.Open(t.Context(), store.Options{Dir: dir, Keep: 3})
		require.NoError(t, err)
		t.Cleanup(func() { s.Close() })
		return newRigOn(t, s, registry, func(c *Config) { c.Select = selectors(t, "0.0.0") })
	}
	r := start()
	registry.push(t, "0.0.0", day(1), files{"a": "one"})
	r.sync()
	require.NoError(t, r.store.Pin(*r.store.Served(), "pin", "test"))
	layer := r.store.Releases()[0].Layer
	registry.push(t, "0.0.0", day(2), files{"a": "two"})
	r.sync()
	require.NoError(t, r.store.Close())
	require.NoError(t, os.Remove(filepath.Join(dir, "trees", "sha256-"+layer.Encoded(), "index")))

	r = start()
	require.False(t, r.store.HasTree(layer))
	r.broken("blob", unavailable)
	assert.Equal(t, Noop, r.sync().Result)
	registry.failing(nil)
	assert.Equal(t, Success, r.sync().Result)
	r.serves(files{"a": "one"})
	assert.NotNil(t, r.store.Pinned())
	assert.Equal(t, Noop, r.sync().Result)
	require.NoError(t, r.store.Close())
	start().serves(files{"a": "one"})
}

// A volume that is too full for one damaged tree keeps no smaller one from being mended,
// and is not filled at each poll to find out again that it is.
func TestADamagedTreeForWhichThereIsNoRoom(t *testing.T) {
	r, dir := onVolume(t, "size=48m")
	held := []files{{"f": strings.Repeat("L", 12<<20)}, {"f": "1"}, {"f": "2"}, {"f": "3"}, {"f": "4"}}
	for n, content := range append(held, files{"f": "followed"}) {
		r.registry.push(t, "0.0.0", day(n+1), content)
		require.Equal(t, Success, r.sync().Result)
	}
	views := r.store.History()
	require.Len(t, views, len(held)+1)
	for _, view := range views[1:] {
		require.NoError(t, r.store.Pin(view, "rollback", "test"))
		r.damage("f")
	}
	_, err := r.store.Unpin("test")
	require.NoError(t, err)
	free, err := r.store.Free()
	require.NoError(t, err)
	full := filepath.Join(dir, "full")
	require.NoError(t, os.WriteFile(full, make([]byte, free-8<<20), 0o600))

	damaged := func() (left int) {
		for _, layer := range r.store.DamagedTrees() {
			if !r.store.HasTree(layer) {
				left++
			}
		}
		return left
	}
	require.Equal(t, len(held), damaged())
	for n := range 3 {
		r.registry.asked()
		assert.Equal(t, Noop, r.sync().Result)
		assert.Equal(t, 1, damaged(), "all but the large one")
		if n > 0 {
			assert.NotContains(t, r.registry.asked(), "blob")
		}
	}
	assert.Contains(t, r.log.String(), "enlarge the volume")
	require.NoError(t, os.Remove(full))
	r.sync()
	assert.Zero(t, damaged(), "as soon as there is room")
}
