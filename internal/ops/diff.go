package ops

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/specman/specman/internal/store"
)

// Diff is what changes for clients from one view to another: paths of files,
// sorted. Its JSON is public: docs/api.md.
type Diff struct {
	From    string   `json:"from"` // view id
	To      string   `json:"to"`
	Added   []string `json:"added"`
	Removed []string `json:"removed"`
	Changed []string `json:"changed"` // other content at the same path
}

// DiffOf compares two views that a store holds, each named by its id, or by the
// tag or manifest digest of a release that is then taken alone. Without from it
// is the served view, without to the one that following leads to. The error
// wraps store.ErrNotHeld.
func DiffOf(p *store.Snapshot, from, to string) (Diff, error) {
	a, err := acquire(p, from, func() (*store.View, error) {
		if p.View == nil {
			return nil, fmt.Errorf("nothing is served yet: the served view is %w", store.ErrNotHeld)
		}
		return p.AcquireVersion(p.View.ID())
	})
	if err != nil {
		return Diff{}, err
	}
	defer a.Close()
	b, err := acquire(p, to, p.AcquireDesired)
	if err != nil {
		return Diff{}, err
	}
	defer b.Close()
	return diffViews(a, b), nil
}

func diffViews(a, b *store.View) Diff {
	d := Diff{From: a.ID(), To: b.ID(), Added: []string{}, Removed: []string{}, Changed: []string{}}
	for path, e := range a.All() {
		switch other, ok := b.Lookup(path); {
		case e.Kind != store.File:
		case !ok || other.Kind != store.File:
			d.Removed = append(d.Removed, path)
		case other.Sum != e.Sum:
			d.Changed = append(d.Changed, path)
		}
	}
	for path, e := range b.All() {
		if other, ok := a.Lookup(path); e.Kind == store.File && (!ok || other.Kind != store.File) {
			d.Added = append(d.Added, path)
		}
	}
	slices.Sort(d.Added)
	slices.Sort(d.Removed)
	slices.Sort(d.Changed)
	return d
}

func acquire(p *store.Snapshot, version string, otherwise func() (*store.View, error)) (*store.View, error) {
	if version == "" {
		return otherwise()
	}
	return p.AcquireVersion(version)
}

func (s *Server) getDiff(w http.ResponseWriter, r *http.Request) {
	p := s.opts.Store.Snapshot()
	defer p.Close()
	d, err := DiffOf(p, r.URL.Query().Get("from"), r.URL.Query().Get("to"))
	switch {
	case errors.Is(err, store.ErrNotHeld):
		s.problem(w, http.StatusNotFound, "%v", err)
	case err != nil:
		s.problem(w, http.StatusInternalServerError, "%v", err)
	default:
		s.json(w, http.StatusOK, d)
	}
}
