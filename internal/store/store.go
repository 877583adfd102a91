package store

import (
	"errors"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	treesFolder   = "trees"
	stagingFolder = "staging"
)

// ImportSource is the name of the source to which imported archives belong. It
// lies below all others.
const ImportSource = "import"

// errClosed is of a change that comes after Close: the store may be another process's.
var errClosed = errors.New("the store is closed")

// Options say where a store is and what it keeps.
type Options struct {
	Dir string // made if it is not there
	// Sources are the names of the configured sources, top of the view first.
	// Empty means one, "default".
	Sources  []string
	Keep     int           // releases kept per source beside those in use
	Grace    time.Duration // a tree out of use stays on disk at least this long
	MinFree  int64         // bytes of the volume left free
	LockWait time.Duration // how long Open waits for another process to end
	// ScrubInterval is how often Housekeep checks all files; 0: never.
	ScrubInterval time.Duration

	Logger     *slog.Logger          // nil: none
	Registerer prometheus.Registerer // nil: no metrics
}

// Store is an open store. Its methods are safe for concurrent use; those that
// change what is held or served wait for each other, those that read do not.
type Store struct {
	opts    atomic.Pointer[Options] // replaced by Configure
	dir     string
	root    *os.Root
	lock    *os.File
	log     *slog.Logger
	metrics *metrics
	started time.Time

	current atomic.Pointer[View]
	state   atomic.Pointer[state] // replaced under mu

	mu sync.Mutex // one change at a time
	// removing is read-locked while files are removed that have lost their names: who needs
	// their space waits for it.
	removing sync.RWMutex
	onSwap   []func(*View)
	orphans  map[digest.Digest]time.Time // trees that no release names, and since when that is known
	// blank is of a start that found trees and knew of no release: they may be those of any
	// source that has brought nothing since.
	blank     bool
	succeeded map[string]time.Time         // of sources: when a sync last ended well
	claimed   map[ReleaseKey]digest.Digest // layers of what a sync has got, found or will ask for, until that is followed or its source's next sync
	changed   chan struct{}                // capacity 1: something for Housekeep to do
	closed    bool
	// readOnly is set where the state could not be written because nothing can be: a file
	// system that has met an error does not always say so when it is asked.
	readOnly atomic.Bool
	// unflushed is set while trees/ has a name that could not be made durable.
	unflushed bool
	nameless  []nameless // what a fault has left in staging: GC removes it
	datesOff  bool       // the high-water mark cannot be kept: no dates are safe
	// stateDamaged is set until a state is written in the place of one that could
	// not be read.
	stateDamaged bool
	// stateLost is why the start could not read the state, nil where it could.
	stateLost error

	loaded   loadedTrees
	repairs  repairQueue
	versions versionViews
	scrubs   scrubs
	usage    atomic.Int64 // bytes on disk, as last measured
}

// Close ends the use of the store. Views that are still held stay readable; from
// then on Acquire finds none.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.versions.drop()
	s.loaded.forgetPublished()
	if v := s.current.Swap(nil); v != nil {
		v.Close()
	}
	if s.root != nil {
		s.root.Close()
	}
	return s.lock.Close()
}

// Configure changes what is kept, and the order of the sources: Dir, Logger and
// Registerer stay as they were. What is served follows at once, unless pinned; after an
// error the options hold all the same, and the next Follow serves what follows.
func (s *Store) Configure(opts Options) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.options()
	opts.Dir, opts.Logger, opts.Registerer = old.Dir, old.Logger, old.Registerer
	s.opts.Store(&opts)
	s.wakeHousekeeping()
	maps.DeleteFunc(s.claimed, func(k ReleaseKey, _ digest.Digest) bool { // of sources that nobody polls any more
		return k.Source != ImportSource && !slices.Contains(opts.Sources, k.Source)
	})
	next := s.state.Load().clone()
	if next.Pin != nil {
		if dated, changed := s.dated(); changed {
			_ = s.save(dated) // or else GC does
		}
		return nil
	}
	if s.servesDesired(next) {
		return nil
	}
	_, err := s.serveDesired(next, true)
	return err
}

func (s *Store) options() *Options { return s.opts.Load() }

// Dir returns the store's folder.
func (s *Store) Dir() string { return s.dir }

// OnSwap has f called after each swap, one call at a time, in order, with the
// new view, which f must not Close and not keep. To be called before the store
// is used by others.
func (s *Store) OnSwap(f func(*View)) { s.onSwap = append(s.onSwap, f) }

// HasTree says whether the tree of a layer is held, whole as far as is known.
func (s *Store) HasTree(layer digest.Digest) bool {
	t, err := s.loaded.acquire(layer)
	if err != nil {
		return false
	}
	defer s.loaded.release(t)
	return t.whole()
}
