package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Who is told that something is not held may forget it; who meets a fault asks again.
func TestAFaultIsNotAbsence(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	old := hold(t, s, "1.0.0", content{"f": "old"})
	follow(t, s, old)
	view := s.Served().ID
	follow(t, s, hold(t, s, "2.0.0", content{"f": "new"}))
	index := filepath.Join(dir, "trees", treeName(layerFor(content{"f": "old"})), "index")
	versions := []string{"1.0.0", old.Manifest.String(), view}

	require.NoError(t, os.Rename(index, index+".away"))
	require.NoError(t, os.Mkdir(index, 0o755)) // cannot be read, by root neither
	for _, version := range versions {
		_, err := s.AcquireVersion(version)
		require.Error(t, err)
		assert.NotErrorIs(t, err, ErrNotHeld, version)
	}
	require.NoError(t, os.Remove(index))
	require.NoError(t, os.Rename(index+".away", index))
	for _, version := range versions {
		v, err := s.AcquireVersion(version)
		require.NoError(t, err, "the fault is over")
		v.Close()
	}

	s.versions.drop()
	require.NoError(t, os.RemoveAll(filepath.Dir(index)))
	for _, version := range append(versions, "3.0.0") {
		_, err := s.AcquireVersion(version)
		assert.ErrorIs(t, err, ErrNotHeld, version)
	}
}

// laidOut counts how often a view is laid out, and says which.
type laidOut struct {
	s     *Store
	count int
}

func (l *laidOut) acquire(t *testing.T, c Contribution) *View {
	t.Helper()
	keys := []ReleaseKey{{"default", c.Tag, c.Manifest}}
	v, err := l.s.versions.acquire(keys, func() (*View, error) {
		l.count++
		return l.s.buildView(keys)
	})
	require.NoError(t, err)
	assert.Equal(t, c.Tag, v.Releases()[0].Tag)
	return v
}

func TestADozenVersionsAreKeptLaidOut(t *testing.T) {
	s := openStore(t, t.TempDir(), func(o *Options) { o.Keep = 100 })
	var held []Contribution
	for n := range maxVersionViews + 1 {
		held = append(held, hold(t, s, fmt.Sprintf("1.0.%d", n), content{"f": fmt.Sprint(n)}))
	}
	follow(t, s, held[maxVersionViews])
	laid := &laidOut{s: s}
	for range 3 { // in turn: the worst order for what keeps the latest
		for _, c := range held[:12] {
			laid.acquire(t, c).Close()
		}
	}
	assert.Equal(t, 12, laid.count)

	for _, c := range held { // not any number of them
		laid.acquire(t, c).Close()
	}
	assert.Len(t, s.versions.views, maxVersionViews)
	assert.False(t, s.loaded.inUse(layerFor(content{"f": "0"})), "the one that was asked for longest ago is let go")
	v := laid.acquire(t, held[1])
	s.versions.drop()
	assert.Equal(t, content{"f": "1"}, read(t, v), "who has it, has it")
	v.Close()
	assert.Empty(t, s.versions.views)
	assert.False(t, s.loaded.inUse(layerFor(content{"f": "1"})))
}

// What a client is held at stays loaded, and with it what is known of its large files. What
// nobody asks for any more takes no memory, and what nobody needs any more no space.
func TestGCLeavesWhatIsAskedForLaidOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, t.TempDir(), func(o *Options) { o.Keep = 1 })
		defer s.Close()
		asked, idle := hold(t, s, "1.0.0", content{"f": "1"}), hold(t, s, "2.0.0", content{"f": "2"})
		follow(t, s, asked, idle)
		laid := &laidOut{s: s}
		laid.acquire(t, idle).Close()
		for range 15 {
			laid.acquire(t, asked).Close()
			_, err := s.GC(false)
			require.NoError(t, err)
			time.Sleep(housekeepInterval)
		}
		assert.Equal(t, 2, laid.count)
		assert.Len(t, s.versions.views, 1)

		follow(t, s, hold(t, s, "3.0.0", content{"f": "3"}))
		laid.acquire(t, asked).Close()
		laid.acquire(t, idle).Close()
		garbage, err := s.GC(false)
		require.NoError(t, err)
		assert.Len(t, garbage.Trees, 1, "that it was at hand does not keep it")
	})
}

func TestLargeVersionsAreFew(t *testing.T) {
	var c versionViews
	large := &View{overlay: &overlay{nodes: make([]node, maxVersionPaths/5)}}
	for n := range 10 {
		v := &View{overlay: large.overlay, releases: []Release{{Tag: fmt.Sprint(n)}}, loaded: new(loadedTrees)}
		v.refs.Store(1)
		_, err := c.acquire(v.keys(), func() (*View, error) { return v, nil })
		require.NoError(t, err)
	}
	assert.Len(t, c.views, 5, "as many as have no more paths together")
	large.nodes = make([]node, maxVersionPaths)
	v := &View{overlay: large.overlay, loaded: new(loadedTrees)}
	v.refs.Store(1)
	_, err := c.acquire(nil, func() (*View, error) { return v, nil })
	require.NoError(t, err)
	assert.Len(t, c.views, minVersionViews, "a few of any size")
}

// One lays a version out, those that want it meanwhile wait, and others do not.
func TestOneLaysAVersionOut(t *testing.T) {
	s := openStore(t, t.TempDir())
	one, two := hold(t, s, "1.0.0", content{"f": "1"}), hold(t, s, "2.0.0", content{"f": "2"})
	follow(t, s, one, two)
	key := func(c Contribution) []ReleaseKey { return []ReleaseKey{{"default", c.Tag, c.Manifest}} }
	begun, goOn := make(chan struct{}), make(chan struct{})
	views := make(chan *View, 3)
	get := func(build func() (*View, error)) {
		v, err := s.versions.acquire(key(one), build)
		assert.NoError(t, err)
		views <- v
	}
	go get(func() (*View, error) {
		close(begun)
		<-goOn
		return s.buildView(key(one))
	})
	<-begun
	for range 2 {
		go get(func() (*View, error) { return nil, errors.New("a second one lays it out") })
	}
	v, err := s.versions.acquire(key(two), func() (*View, error) { return s.buildView(key(two)) })
	require.NoError(t, err, "and another version is had meanwhile")
	v.Close()
	require.Eventually(t, func() bool {
		s.versions.mu.Lock()
		defer s.versions.mu.Unlock()
		return s.versions.building[0].waiting == 2
	}, 10*time.Second, time.Millisecond)
	s.versions.drop() // as GC does: what is laid out meanwhile is not kept either
	close(goOn)
	for n := range 3 {
		v := <-views
		assert.Equal(t, content{"f": "1"}, read(t, v))
		v.Close()
		assert.Equal(t, n == 2, v.released.Load(), "each has a hold of its own, and nobody else has one")
	}
}
