package store

import (
	"errors"
	"fmt"
	"slices"
	"sync"
)

// maxVersionViews is how many views that are not served are kept loaded for
// clients that ask for them by name.
const maxVersionViews = 4

// versionViews are views that clients have asked for by name, the latest first.
type versionViews struct {
	mu    sync.Mutex
	views []*View
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
	if r := s.tagged(st, version); r != nil {
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
	defer c.mu.Unlock()
	n := slices.IndexFunc(c.views, func(v *View) bool { return slices.Equal(v.keys(), keys) })
	if n < 0 {
		v, err := build()
		if err != nil {
			return nil, err
		}
		if len(c.views) == maxVersionViews {
			c.views[maxVersionViews-1].Close()
			c.views = c.views[:maxVersionViews-1]
		}
		c.views, n = append(c.views, v), len(c.views)
	}
	v := c.views[n]
	c.views = slices.Insert(slices.Delete(c.views, n, n+1), 0, v)
	v.holders.Add(1)
	return v, nil
}

// drop lets go of all views, so that their trees can be removed once nobody
// reads them.
func (c *versionViews) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, v := range c.views {
		v.Close()
	}
	c.views = nil
}
