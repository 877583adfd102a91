package store

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Where a tree of the view that should be served is lost at a start, an older view
// stands in for it.

var standing, lost = content{"f": "old"}, content{"f": "new"}

// openStandIn returns a store in which the view of standing stands in for that of lost.
func openStandIn(t *testing.T, dir string, change ...func(*Options)) (s *Store, stands Contribution) {
	t.Helper()
	s = openStore(t, dir, change...)
	stands = hold(t, s, "1.0.0", standing)
	follow(t, s, stands)
	follow(t, s, hold(t, s, "2.0.0", lost))
	return loseIndex(t, s, lost, change...), stands
}

// loseIndex takes away the index of a tree between two runs.
func loseIndex(t *testing.T, s *Store, files content, change ...func(*Options)) *Store {
	t.Helper()
	require.NoError(t, s.Close())
	require.NoError(t, os.Remove(filepath.Join(treeFolder(s.dir, layerFor(files)), "index")))
	s = openStore(t, s.dir, change...)
	require.NotEqual(t, files, served(t, s), "another stands in")
	return s
}

func TestWhatStandsInIsNotRemoved(t *testing.T) {
	none := func(o *Options) { o.Keep = 0 }
	for name, remove := range map[string]func(*testing.T, *Store){
		"to make space": func(t *testing.T, s *Store) {
			removed, err := s.removeOldest() // the sync that would mend it finds no room
			require.NoError(t, err)
			assert.Nil(t, removed)
		},
		"as garbage": func(t *testing.T, s *Store) {
			garbage, err := s.GC(false)
			require.NoError(t, err)
			assert.Empty(t, garbage.Releases)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s, _ := openStandIn(t, dir, none)
			remove(t, s)
			assert.Equal(t, standing, served(t, s))
			assert.Len(t, s.Releases(), 2, "what it stands in for stays too")
			require.NoError(t, s.Close())
			assert.Equal(t, standing, served(t, openStore(t, dir, none)), "after a restart too")
		})
	}
}

func (s *Store) mustVolume(t *testing.T) volume {
	v, err := s.volume()
	require.NoError(t, err)
	return v
}

func TestWhatIsPinnedIsNotRemovedWhileAnotherStandsIn(t *testing.T) {
	none := func(o *Options) { o.Keep = 0 }
	s := openStore(t, t.TempDir(), none)
	pinned := content{"f": "1"}
	follow(t, s, hold(t, s, "1.0.0", pinned))
	follow(t, s, hold(t, s, "2.0.0", content{"f": "2"}))
	pin(t, s, "1.0.0")
	s = loseIndex(t, s, pinned, none)
	follow(t, s, hold(t, s, "3.0.0", content{"f": "3"}))
	garbage, err := s.GC(false)
	require.NoError(t, err)
	assert.Empty(t, garbage.Releases)
	require.NoError(t, stage(t, s, layerFor(pinned), pinned).Publish()) // had anew
	_, err = s.ServePinned()
	require.NoError(t, err)
	assert.Equal(t, pinned, served(t, s))
}

func pin(t *testing.T, s *Store, version string) {
	t.Helper()
	target, err := s.Target(version, false)
	require.NoError(t, err)
	require.NoError(t, s.Pin(target, "pin", "test"))
}

// To choose what stands in makes it what should be served.
func TestWhatStandsInCanBeChosen(t *testing.T) {
	for name, choose := range map[string]func(*testing.T, *Store, Contribution){
		"by a rollback": func(t *testing.T, s *Store, _ Contribution) { pin(t, s, "") },
		"by the registry, which went back": func(t *testing.T, s *Store, stands Contribution) {
			assert.False(t, follow(t, s, stands), "it is served already")
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s, stands := openStandIn(t, dir)
			choose(t, s, stands)
			assert.Equal(t, RecordOf(s.current.Load()).ID, s.Served().ID)
			require.NoError(t, stage(t, s, layerFor(lost), lost).Publish()) // a sync brings the tree anew
			_, err := s.ServePinned()
			require.NoError(t, err)
			assert.Equal(t, standing, served(t, s))
			require.NoError(t, s.Close())
			assert.Equal(t, standing, served(t, openStore(t, dir)), "after a restart too")
		})
	}
}

// What cannot be served now keeps nobody from changing the configuration, or from
// forgetting.
func TestChangesWhileAnotherStandsIn(t *testing.T) {
	s, _ := openStandIn(t, t.TempDir())
	assert.NoError(t, s.Configure(Options{Keep: 5, Sources: []string{"default"}}))
	assert.Equal(t, 5, s.options().Keep)
	assert.Equal(t, standing, served(t, s))

	s = openStore(t, t.TempDir())
	pinned := content{"f": "1"}
	follow(t, s, hold(t, s, "1.0.0", pinned))
	follow(t, s, hold(t, s, "2.0.0", content{"f": "2"}), hold(t, s, "0.1.0", content{"g": "2"}))
	pin(t, s, "1.0.0")
	s = loseIndex(t, s, pinned)
	_, err := s.Forget("0.1.0", "")
	assert.NoError(t, err)
	assert.Len(t, s.Following("default"), 1)
}

// What stood in for another goes out of use when that is had again, not when it did before.
func TestWhatStoodInHasItsGrace(t *testing.T) {
	grace := func(o *Options) { o.Keep, o.Grace = 0, time.Minute }
	dir := t.TempDir()
	s, _ := openStandIn(t, dir, grace)
	require.NoError(t, s.Close())
	setClock(t, dir, time.Hour)
	s = openStore(t, dir, grace)
	require.Equal(t, standing, served(t, s))
	c := hold(t, s, "2.0.0", lost)
	follow(t, s, c)
	require.Equal(t, lost, served(t, s))
	garbage, err := s.GC(false)
	require.NoError(t, err)
	assert.Empty(t, garbage.Releases, "it was served a moment ago")
}

// A source that is taken out of the configuration while something is pinned is out of use:
// its releases go when their time has come.
func TestWhatNobodyFollowsWhilePinnedGoes(t *testing.T) {
	options := Options{Keep: 0, Sources: []string{"default", "b"}}
	s := openStore(t, t.TempDir(), func(o *Options) { options.Dir = o.Dir; *o = options })
	follow(t, s, hold(t, s, "1.0.0", content{"f": "1"}))
	require.NoError(t, s.Pin(*s.Served(), "pin", "test"))
	other := content{"g": "2"}
	require.NoError(t, stage(t, s, layerFor(other), other).Publish())
	require.NoError(t, s.Add(Release{Source: "b", Tag: "9.0.0", Manifest: layerFor(other), Layer: layerFor(other), Fetched: time.Now()}))
	_, err := s.Follow("b", []Contribution{{Tag: "9.0.0", Manifest: layerFor(other)}})
	require.NoError(t, err)
	options.Sources = options.Sources[:1]
	require.NoError(t, s.Configure(options))
	would, err := s.GC(true)
	require.NoError(t, err)
	garbage, err := s.GC(false)
	require.NoError(t, err)
	assert.Equal(t, would.Trees, garbage.Trees)
	require.Len(t, garbage.Releases, 1)
	assert.Equal(t, "b", garbage.Releases[0].Source)
}

// Since when what stands in is served: the start that found the other lost, or when it took
// the place of what stood in before.
func TestSinceWhenAnotherStandsIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := openStore(t, dir)
		follow(t, s, hold(t, s, "1.0.0", content{"f": "1"}))
		forgotten := hold(t, s, "2.0.0", content{"f": "2"})
		follow(t, s, forgotten)
		follow(t, s, hold(t, s, "3.0.0", lost))
		time.Sleep(time.Hour)
		reg := prometheus.NewRegistry()
		s = loseIndex(t, s, lost, func(o *Options) { o.Registerer = reg })
		defer s.Close()
		since := func() time.Time {
			p := s.Snapshot()
			defer p.Close()
			told := gather(t, reg)["specman_view_swapped_timestamp_seconds"][0].GetGauge().GetValue()
			assert.InDelta(t, float64(p.Since.UnixNano())/1e9, told, 1e-3)
			return p.Since
		}
		assert.Equal(t, time.Duration(0), time.Since(since()), "the start")
		time.Sleep(time.Hour)
		assert.Equal(t, time.Hour, time.Since(since()))
		_, err := s.Forget(forgotten.Manifest.String(), "")
		require.NoError(t, err)
		require.Equal(t, content{"f": "1"}, served(t, s))
		time.Sleep(time.Minute)
		assert.Equal(t, time.Minute, time.Since(since()), "another stands in by now")

		require.NoError(t, stage(t, s, layerFor(lost), lost).Publish())
		s.repairDamaged(t.Context())
		require.Equal(t, lost, served(t, s))
		time.Sleep(time.Second)
		assert.Equal(t, time.Second, time.Since(since()))
	})
}

// A view is pinned to keep what is newer from being served. Where it is lost, what is newer
// is served only where there is nothing else.
func TestWhatStandsInForAPinnedViewIsOlder(t *testing.T) {
	s := openStore(t, t.TempDir())
	versions := []content{{"f": "1"}, {"f": "2"}, {"f": "3"}}
	for n, files := range versions {
		follow(t, s, hold(t, s, fmt.Sprintf("%d.0.0", n+1), files))
	}
	pin(t, s, "") // a rollback
	pinned := s.Served().ID
	require.Equal(t, versions[1], served(t, s))
	s = loseIndex(t, s, versions[1])
	assert.Equal(t, versions[0], served(t, s))
	lastSwap := func() (last string) {
		for _, e := range s.Events() {
			if e.Kind == "swap" {
				last = e.Message
			}
		}
		return last
	}
	assert.Equal(t, fmt.Sprintf("serving %s: 1.0.0 on top, in the place of %s, of which a tree is lost", s.current.Load().id, pinned), lastSwap())
	events := len(s.Events())
	require.NoError(t, s.Close())
	s = openStore(t, s.dir)
	assert.Len(t, s.Events(), events, "each start finds the same")

	s = loseIndex(t, s, versions[0])
	assert.Equal(t, versions[2], served(t, s))
	s = loseAll(t, s, versions[2])
	assert.Nil(t, s.Acquire())
	assert.Equal(t, fmt.Sprintf("serving nothing, in the place of %s, of which a tree is lost", pinned), lastSwap())

	require.NoError(t, stage(t, s, layerFor(versions[1]), versions[1]).Publish()) // had anew
	_, err := s.ServePinned()
	require.NoError(t, err)
	assert.Equal(t, versions[1], served(t, s))
	assert.Equal(t, fmt.Sprintf("serving %s: 2.0.0 on top", pinned), lastSwap())
}

func TestAPartOfAPinnedViewStandsInForIt(t *testing.T) {
	s := openStore(t, t.TempDir())
	base, top := content{"base": "1"}, content{"top": "1"}
	a, b := hold(t, s, "1.0.0", base), hold(t, s, "2.0.0", top)
	follow(t, s, b, a)
	require.NoError(t, s.Pin(*s.Served(), "pin", "test"))
	follow(t, s, hold(t, s, "3.0.0", content{"newer": "1"}), b, a)
	s = loseIndex(t, s, base)
	assert.Equal(t, top, served(t, s))
	follow(t, s, hold(t, s, "4.0.0", content{"newer": "2"}), b)
	assert.Equal(t, top, served(t, s), "nothing newer")
	require.NoError(t, stage(t, s, layerFor(base), base).Publish())
	_, err := s.ServePinned()
	require.NoError(t, err)
	assert.Equal(t, content{"base": "1", "top": "1"}, served(t, s))
}
