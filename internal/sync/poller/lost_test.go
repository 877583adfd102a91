package poller

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/oci"
)

func noRoute(string) error { return errors.New("no route to host") }

// openKeeping opens a store that keeps so many releases.
func openKeeping(t *testing.T, dir string, keep int) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: dir, Keep: keep})
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// treeOf is the folder of the tree of a tag's release that came last.
func treeOf(t *testing.T, s *store.Store, tag string) string {
	t.Helper()
	var last store.Release
	for _, r := range s.Releases() {
		if r.Tag == tag && r.Fetched.After(last.Fetched) {
			last = r
		}
	}
	return filepath.Join(s.Dir(), "trees", "sha256-"+last.Layer.Encoded())
}

// restartWithout closes the store of a rig, loses the index of a tag's tree, and opens it
// again with the same registry.
func (r *rig) restartWithout(tag string, keep int) *rig {
	r.Helper()
	dir, lost := r.store.Dir(), treeOf(r.T, r.store, tag)
	require.NoError(r, r.store.Close())
	require.NoError(r, os.Remove(filepath.Join(lost, "index")))
	return newRigOn(r.T, openKeeping(r.T, dir, keep), r.registry)
}

// An older view stands in for one of whose trees the upper is lost. While that may come
// back, no part of the newer view takes the place of the whole older one; once it is
// known not to, what is left is followed.
func TestAPartDoesNotTakeThePlaceOfAWhole(t *testing.T) {
	r := newRigOn(t, openKeeping(t, t.TempDir(), 3), newRegistry())
	r.registry.push(t, "1.0.0", day(1), files{"low": "1"})
	r.registry.push(t, "2.0.0", day(2), files{"top": "1"})
	r.sync()
	r.registry.push(t, "2.0.0", day(3), files{"top": "2"})
	r.sync()
	r.serves(files{"low": "1", "top": "2"})
	r = r.restartWithout("2.0.0", 3)
	older := files{"low": "1", "top": "1"}
	r.serves(older)
	for name, fault := range map[string]func(string) error{
		"no registry": noRoute,
		"no blobs":    func(call string) error { return map[string]error{"blob": unavailable}[call] },
	} {
		r.registry.failing(fault)
		r.sync()
		r.serves(older)
		assert.Len(t, r.store.Following("default"), 2, name)
	}
	r.registry.failing(func(call string) error { return map[string]error{"blob": absent("blob")}[call] })
	r.sync()
	r.serves(files{"low": "1"})
	r.registry.failing(nil)
	r.sync()
	r.serves(files{"low": "1", "top": "2"})
}

// While a registry cannot be asked, its fault is not all that a person should know: what is
// served lacks a release whose tree is lost.
func TestALostTreeIsTold(t *testing.T) {
	r := newRigOn(t, openKeeping(t, t.TempDir(), 3), newRegistry())
	r.registry.push(t, "1.0.0", day(1), files{"low": "1"})
	r.sync()
	r.registry.push(t, "2.0.0", day(2), files{"top": "1"})
	r.sync()
	lost := LostNotice("2.0.0", r.store.Served().Releases[0].Manifest)
	r = r.restartWithout("2.0.0", 3)
	r.registry.failing(noRoute)
	for range 2 {
		r.sync()
		r.serves(files{"low": "1"})
		require.Len(t, r.poller.Status().Notices, 2)
		assert.Equal(t, lost, r.poller.Status().Notices[0].What)
		assert.Contains(t, r.log.String(), lost)
	}
	r.registry.failing(nil)
	r.sync()
	assert.Empty(t, r.poller.Status().Notices)
}

// What is pinned hides what is followed: a moment in which a tree of that cannot be read
// takes nothing away.
func TestAPassingFaultOfTheDiskTakesNothingAway(t *testing.T) {
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Keep: 0})
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	r := newRigOn(t, s, newRegistry())
	r.registry.push(t, "1.0.0", day(1), files{"low": "1"})
	r.sync()
	require.NoError(t, s.Pin(*s.Served(), "pin", "test"))
	r.registry.push(t, "2.0.0", day(2), files{"top": "1"})
	r.sync()

	index := filepath.Join(treeOf(t, s, "2.0.0"), "index")
	require.NoError(t, os.Rename(index, index+".away"))
	require.NoError(t, os.Mkdir(index, 0o755)) // cannot be read
	r.registry.failing(noRoute)
	r.sync()
	require.NoError(t, os.Remove(index))
	require.NoError(t, os.Rename(index+".away", index))
	_, err = s.GC(false)
	require.NoError(t, err)
	assert.Len(t, s.Releases(), 2)
	_, err = s.Unpin("")
	require.NoError(t, err)
	r.serves(files{"low": "1", "top": "1"})
}

// A tag has moved to what is not to be had, so that its older digest is served. Then the
// tree of that is lost, and fetched anew: it is served again, at once or whenever the
// registry gives it.
func TestWhatWasLostIsServedAgain(t *testing.T) {
	bad := map[string]func(r *rig){
		"refused": func(r *rig) { r.registry.pushBytes(r.T, "2.0.0", day(2), []byte("no archive")) },
		"passed over": func(r *rig) {
			r.registry.put(r.T, "2.0.0", &oci.Manifest{ConfigMediaType: "application/vnd.cncf.helm.config.v1+json"})
		},
		"vanished": func(r *rig) {
			r.registry.remove("2.0.0")
			r.registry.pushBytes(r.T, "0.9.0", day(2), []byte("no archive")) // or else there is no repository
		},
	}
	for name, spoil := range bad {
		for _, beside := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, another beside it: %t", name, beside), func(t *testing.T) {
				r := newRigOn(t, openKeeping(t, t.TempDir(), 3), newRegistry())
				all := files{"top": "2"}
				if beside {
					r.registry.push(t, "1.0.0", day(1), files{"low": "1"})
					all["low"] = "1"
				}
				r.registry.push(t, "2.0.0", day(1), files{"top": "2"})
				r.sync()
				spoil(r)
				r.sync()
				r.serves(all)
				r = r.restartWithout("2.0.0", 3)
				r.registry.failing(func(call string) error { return map[string]error{"blob": unavailable}[call] })
				r.sync()
				r.sync()
				if beside {
					r.serves(files{"low": "1"})
				}
				require.NoError(t, r.store.Close()) // that it was contributed outlives a restart
				r = newRigOn(t, openKeeping(t, r.store.Dir(), 3), r.registry)
				r.registry.failing(nil)
				r.sync()
				r.serves(all)
			})
		}
	}
}

// While one lost tree is not to be had, what other tags bring is not held for ever.
func TestWhatASyncDidNotFollowIsNotHeldForEver(t *testing.T) {
	r := newRigOn(t, openKeeping(t, t.TempDir(), 1), newRegistry())
	r.registry.push(t, "1.0.0", day(1), files{"low": "1"})
	r.registry.push(t, "2.0.0", day(2), files{"top": "1"})
	r.sync()
	r.registry.push(t, "1.0.0", day(3), files{"low": "2"})
	r.sync()
	r = r.restartWithout("1.0.0", 1)
	blobs := 0
	r.registry.failing(func(call string) error { // the layer that was lost, which lies below
		if call == "blob" {
			if blobs++; blobs%2 == 0 {
				return unavailable
			}
		}
		return nil
	})
	for n := range 9 {
		r.registry.push(t, "2.0.0", day(4+n), files{"top": fmt.Sprint("new ", n)})
		r.sync()
		_, err := r.store.GC(false)
		require.NoError(t, err)
	}
	r.serves(files{"low": "1", "top": "1"})
	assert.LessOrEqual(t, len(r.store.Releases()), 6)
}

// The pinned view is lost for good: what is followed is served, and not nothing.
func TestAPinnedViewIsLostForGood(t *testing.T) {
	r := newRigOn(t, openKeeping(t, t.TempDir(), 3), newRegistry())
	r.registry.push(t, "1.0.0", day(1), files{"f": "1"})
	r.sync()
	require.NoError(t, r.store.Pin(*r.store.Served(), "pin", "test"))
	r = r.restartWithout("1.0.0", 3)
	clear(r.registry.blobs)
	r.registry.push(t, "2.0.0", day(2), files{"f": "2"})
	r.sync()
	r.serves(files{"f": "2"})
}

// What is served is a part already, as a tree of the only view was lost: a new release of
// another tag need not wait for it.
func TestANewReleaseBesideALostOne(t *testing.T) {
	r := newRigOn(t, openKeeping(t, t.TempDir(), 3), newRegistry())
	r.registry.push(t, "1.0.0", day(1), files{"low": "1"})
	r.registry.push(t, "2.0.0", day(2), files{"top": "1"})
	r.sync()
	r = r.restartWithout("2.0.0", 3)
	r.registry.push(t, "3.0.0", day(3), files{"new": "1"})
	asked := 0
	r.registry.failing(func(call string) error { // 3.0.0 is asked for first, and then 2.0.0
		if call == "blob" {
			if asked++; asked > 1 {
				return unavailable
			}
		}
		return nil
	})
	r.sync()
	r.serves(files{"low": "1", "new": "1"})
	r.registry.failing(nil)
	r.sync()
	r.serves(files{"low": "1", "new": "1", "top": "1"})
}

// A tree of one source is lost and not to be had at the moment, and an older view stands in:
// that is no failure of another source.
func TestALostTreeOfOneSourceIsNoFailureOfAnother(t *testing.T) {
	dir := t.TempDir()
	open := func() *store.Store {
		s, err := store.Open(t.Context(), store.Options{Dir: dir, Sources: []string{"top", "low"}, Keep: 3})
		require.NoError(t, err)
		t.Cleanup(func() { s.Close() })
		return s
	}
	regs := map[string]*registry{"top": newRegistry(), "low": newRegistry()}
	rigs := func(s *store.Store) map[string]*rig {
		r := make(map[string]*rig)
		for name, reg := range regs {
			r[name] = newRigOn(t, s, reg, func(c *Config) { c.Name = name })
		}
		return r
	}
	s := open()
	r := rigs(s)
	regs["top"].push(t, "1.0.0", day(1), files{"top": "one"})
	regs["low"].push(t, "0.1.0", day(1), files{"low": "one"})
	r["top"].sync()
	r["low"].sync()
	regs["top"].push(t, "1.0.0", day(2), files{"top": "two"})
	r["top"].sync()
	r["low"].serves(files{"top": "two", "low": "one"})
	lost := treeOf(t, s, "1.0.0")
	require.NoError(t, s.Close())
	require.NoError(t, os.Remove(filepath.Join(lost, "index")))

	s = open()
	r = rigs(s)
	r["low"].serves(files{"top": "one", "low": "one"})
	regs["top"].failing(func(string) error { return unavailable })
	r["top"].sync()
	d := regs["low"].push(t, "0.1.0", day(3), files{"low": "two"})
	for range 2 {
		o := r["low"].sync()
		assert.Empty(t, o.Failures)
		assert.Equal(t, d, s.Following("low")[0].Manifest, "what it brings is noted at least")
	}
}

// Both states are lost, and with them what the trees are. The next sync finds them without a
// download: no GC takes them in the middle of it.
func TestTreesOfALostStateAreKeptForTheSyncThatWantsThem(t *testing.T) {
	dir := t.TempDir()
	reg := newRegistry()
	s := openKeeping(t, dir, 3)
	r := newRigOn(t, s, reg)
	const tags = 12
	for n := range tags {
		reg.push(t, fmt.Sprintf("1.0.%d", n), day(1), files{fmt.Sprint("f", n): fmt.Sprint(n)})
	}
	r.sync()
	require.Equal(t, tags, r.trees())
	require.NoError(t, s.Close())
	for _, name := range []string{"state.json", "state.previous.json"} {
		require.NoError(t, os.Truncate(filepath.Join(dir, name), 20))
	}
	s = openKeeping(t, dir, 3)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go s.Housekeep(ctx) // its first GC notes the trees; the registry is down for longer than store.grace (here 0)
	r = newRigOn(t, s, reg)
	reg.failing(func(string) error { return unavailable })
	r.sync()
	time.Sleep(100 * time.Millisecond)
	require.Equal(t, tags, r.trees())
	reg.failing(nil)
	reg.asked()
	r.sync()
	assert.Zero(t, r.blobs(), "downloads of what was held")
}
