package store

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"
)

// Snapshot is what a store holds and serves, all of one moment. It shares its
// parts with the store: they must not be changed.
type Snapshot struct {
	Dir string
	// View is what is served, or, of a store that nobody has opened, what would
	// be. It is held until Close; nil where there is nothing, or nothing whole.
	View *View
	// Since is since when View is the served one; zero where that is not known.
	Since time.Time
	// Expected is the view that should be served, nil if none ever was. Where it
	// is not View, its trees are damaged and View stands in for it.
	Expected *ViewRecord

	Releases  []Release // in no particular order
	Following map[string][]Contribution
	History   []ViewRecord // newest first, the served one included
	Pin       *Pin         // nil: nothing is pinned
	Refused   []Refusal
	Forgotten []digest.Digest // manifests that were taken out by hand
	Events    []Event         // oldest first
	// Damage says why the state on disk could not be read, now or by the start of the
	// service, where that is so and the one before it, or an empty one, was taken in its
	// place.
	Damage error

	store *Store
	alone bool // the store is the snapshot's own
}

// Space is what a store takes of its volume.
type Space struct {
	Trees int   `json:"trees"`     // on disk
	Bytes int64 `json:"bytes"`     // of all trees, shared files counted once; 0 until first measured
	Free  int64 `json:"freeBytes"` // that this process may still use
	// ReadOnly says that the volume cannot be written: what is held is served.
	ReadOnly bool `json:"readOnly"`
}

// Snapshot returns what the store holds and serves now. The caller must Close it.
func (s *Store) Snapshot() *Snapshot {
	v, st := s.Acquire(), s.state.Load()
	if !st.expects(v) {
		// The two may be of both sides of a swap: look again while none can be
		// made. What differs then is a view that is damaged.
		if v != nil {
			v.Close()
		}
		s.mu.Lock()
		v, st = s.Acquire(), s.state.Load()
		s.mu.Unlock()
	}
	p := &Snapshot{
		Dir: s.dir, View: v, Expected: st.View,
		Releases: st.Releases, Following: st.Following, History: st.History,
		Pin: st.Pin, Refused: st.Refused, Forgotten: st.Forgotten, Events: st.Events, Damage: s.stateLost,
		store: s,
	}
	if v != nil {
		p.Since = st.since(v)
	}
	return p
}

// since is when a view began to be served, or came to be what should be.
func (s *state) since(v *View) time.Time {
	if s.View != nil && s.expects(v) {
		return s.View.Since
	}
	return v.began // it stands in for another one
}

func (s *state) expects(v *View) bool {
	if s.View == nil || v == nil {
		return s.View == nil && v == nil
	}
	return s.View.ID == v.id
}

// Read returns what a store on disk holds, and would serve, without opening it:
// it takes no lock and changes nothing. Sources are those of Options. A folder
// that is not there is an error that wraps fs.ErrNotExist; a store that this
// Specman is too old for, one that wraps ErrNewer. The caller must Close the
// snapshot.
func Read(dir string, sources ...string) (*Snapshot, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("read the store: %w", err)
	}
	st, damage, err := readState(dir)
	if err != nil {
		return nil, err
	}
	if len(sources) == 0 {
		sources = []string{"default"}
	}
	s := &Store{dir: dir, log: slog.New(slog.DiscardHandler)}
	s.opts.Store(&Options{Dir: dir, Sources: sources})
	s.loaded.init(dir)
	s.loaded.remove = func(string) error { return nil } // what is read only is not removed
	s.state.Store(st)
	s.loadView(st)
	p := s.Snapshot()
	p.Damage, p.alone = damage, true
	return p, nil
}

// AcquireVersion returns, held, the view with that id, or a view of the one
// release with that tag or manifest digest. The error wraps ErrNotHeld.
func (p *Snapshot) AcquireVersion(version string) (*View, error) {
	return p.store.AcquireVersion(version)
}

// AcquireDesired returns, held, the view that following leads to, pin or no
// pin: the served one where nothing is followed. The error wraps ErrNotHeld.
func (p *Snapshot) AcquireDesired() (*View, error) {
	keys := p.store.Desired().Releases
	if p.View != nil && (len(keys) == 0 || p.View.isOf(keys)) {
		p.View.refs.Add(1)
		return p.View, nil
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("a view to follow: %w", ErrNotHeld)
	}
	return p.store.versions.acquire(keys, func() (*View, error) { return p.store.buildView(keys) })
}

// Space returns what the store takes of its volume. Of a store that nobody has
// opened the trees are measured, which reads all their folders.
func (p *Snapshot) Space() (Space, error) {
	if p.alone {
		if _, err := p.store.MeasureUsage(context.Background()); err != nil {
			return Space{}, fmt.Errorf("measure the store: %w", err)
		}
	}
	v, err := p.store.volume()
	return Space{Trees: p.store.countTrees(), Bytes: p.store.usage.Load(), Free: v.free, ReadOnly: v.readOnly}, err
}

// Close lets go of the view.
func (p *Snapshot) Close() {
	if p.View != nil {
		p.View.Close()
	}
	if p.alone {
		p.store.versions.drop()
		if v := p.store.current.Swap(nil); v != nil {
			v.Close()
		}
	}
}

// DamagedFiles returns how many files of a release, by its place in Releases, are
// known to be damaged on disk.
func (v *View) DamagedFiles(release int) int {
	if damaged := v.trees[release].damaged.Load(); damaged != nil {
		return len(*damaged)
	}
	return 0
}

// FolderDamaged says whether the folder of a release's tree, by its place in
// Releases, lacks what a restart would need, though its files can be read.
func (v *View) FolderDamaged(release int) bool {
	damaged := v.trees[release].damaged.Load()
	return damaged != nil && len(*damaged) == 0
}
