package store

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

// Views that are not served are kept loaded for clients that ask for them by
// name: a client that is held at a version asks for nothing else, and laying one
// out takes some milliseconds for 30,000 paths. All of them together are to have
// no more paths than this, about 70 MB if no tree is shared: a dozen releases of
// 40,000. The latest few are kept whatever their size, as are not more than so
// many: each may have a tree of its own, which is an open folder.
const (
	maxVersionPaths = 500_000
	minVersionViews = 4
	maxVersionViews = 64
	// maxVersionIdle is how long one is kept that nobody asks for. To load it again costs
	// more than to lay it out: each large file is read to its end before it is given out.
	maxVersionIdle = 10 * time.Minute
)

// versionViews are views that clients have asked for by name, the latest first.
type versionViews struct {
	mu       sync.Mutex
	views    []*View
	building []*versionBuild
}

// versionBuild is a view that is being laid out: by one request, for all that
// want it meanwhile.
type versionBuild struct {
	keys    []ReleaseKey
	waiting int64 // further holds that are due, guarded by versionViews.mu
	dropped bool  // not to be kept; guarded likewise

	done chan struct{} // closed when what follows is set
	view *View
	err  error
}

// AcquireVersion returns, held, the view with that id, or a view of the one
// release with that tag or manifest digest. The error wraps ErrNotHeld where
// the store has no such thing, or its tree is gone; not where the tree is there
// and cannot be read, of which a client must not be told that it does not exist.
func (s *Store) AcquireVersion(version string) (*View, error) {
	if v := s.Acquire(); v != nil {
		if v.id == version {
			return v, nil
		}
		v.Close()
	}
	st := s.state.Load()
	var keys []ReleaseKey
	if r := s.named(st, version); r != nil {
		keys = []ReleaseKey{r.Key()}
	} else if n := slices.IndexFunc(st.History, func(h ViewRecord) bool { return h.ID == version }); n >= 0 {
		keys = st.History[n].Releases
	} else {
		return nil, fmt.Errorf("release or view %q: %w", version, ErrNotHeld)
	}
	return s.versions.acquire(keys, func() (*View, error) {
		v, err := s.buildView(keys)
		if errors.Is(err, errNoTree) {
			err = fmt.Errorf("%w: %w", ErrNotHeld, err)
		}
		if err != nil {
			return nil, fmt.Errorf("release or view %q: %w", version, err)
		}
		return v, nil
	})
}

func (c *versionViews) acquire(keys []ReleaseKey, build func() (*View, error)) (*View, error) {
	c.mu.Lock()
	if n := slices.IndexFunc(c.views, func(v *View) bool { return v.isOf(keys) }); n >= 0 {
		defer c.mu.Unlock()
		v := c.views[n]
		c.views = slices.Insert(slices.Delete(c.views, n, n+1), 0, v)
		v.refs.Add(1)
		v.asked = time.Now()
		return v, nil
	}
	if n := slices.IndexFunc(c.building, func(b *versionBuild) bool { return slices.Equal(b.keys, keys) }); n >= 0 {
		b := c.building[n]
		b.waiting++
		c.mu.Unlock()
		<-b.done
		return b.view, b.err
	}
	b := &versionBuild{keys: keys, done: make(chan struct{}), err: errors.New("it could not be laid out")} // what a panic leaves
	c.building = append(c.building, b)
	c.mu.Unlock()
	defer c.finish(b)
	b.view, b.err = build() // without the lock: who asks for another version does not wait
	return b.view, b.err
}

// finish hands out what was built, and keeps it.
func (c *versionViews) finish(b *versionBuild) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(b.done)
	c.building = slices.DeleteFunc(c.building, func(other *versionBuild) bool { return other == b })
	if b.view == nil {
		return
	}
	b.view.refs.Add(b.waiting)
	if b.dropped {
		return
	}
	b.view.refs.Add(1)
	b.view.asked = time.Now()
	c.views = slices.Insert(c.views, 0, b.view)
	keep, paths := 0, 0
	for _, v := range c.views {
		if paths += len(v.nodes); keep == maxVersionViews || keep >= minVersionViews && paths > maxVersionPaths {
			break
		}
		keep++
	}
	c.close(keep)
}

// close lets go of all views but the latest.
func (c *versionViews) close(keep int) {
	for _, v := range c.views[keep:] {
		v.Close()
	}
	c.views = slices.Delete(c.views, keep, len(c.views))
}

// dropIdle lets go of the views that nobody has asked for lately.
func (c *versionViews) dropIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := slices.IndexFunc(c.views, func(v *View) bool { return time.Since(v.asked) > maxVersionIdle }); n >= 0 {
		c.close(n)
	}
}

// drop lets go of all views, those that are being laid out included, so that
// their trees can be removed once nobody reads them.
func (c *versionViews) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.close(0)
	for _, b := range c.building {
		b.dropped = true
	}
}

// named finds the release that a tag, or a manifest digest, names: of what is followed
// the one nearest the top, else of what is served, else the one that was fetched last.
func (s *Store) named(st *state, version string) *Release {
	keys := s.followed(st)
	if st.View != nil {
		keys = append(keys, st.View.Releases...)
	}
	for _, k := range keys {
		if k.is(version) {
			if r := st.release(k); r != nil {
				return r
			}
		}
	}
	var found *Release
	for n := range st.Releases {
		if r := &st.Releases[n]; r.Key().is(version) && (found == nil || r.Fetched.After(found.Fetched)) {
			found = r
		}
	}
	return found
}

// is says whether a tag, or a manifest digest, names the release.
func (k ReleaseKey) is(version string) bool {
	return k.Tag == version || k.Manifest == digest.Digest(version)
}
