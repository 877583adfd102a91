package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
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

	mu      sync.Mutex // one change at a time
	onSwap  []func(*View)
	orphans map[digest.Digest]time.Time // trees that no release names, and since when that is known
	// awaited are sources that have brought nothing since a start that knew of no release.
	// The trees that are there may be theirs: none is removed before.
	awaited   map[string]bool
	succeeded map[string]time.Time         // of sources: when a sync last ended well
	claimed   map[ReleaseKey]digest.Digest // layers of what a sync has got or found, until its source's next Follow
	changed   chan struct{}                // capacity 1: something for Housekeep to do
	closed    bool
	// readOnly is set where the state could not be written because nothing can be: a file
	// system that has met an error does not always say so when it is asked.
	readOnly atomic.Bool
	// unflushed is set while trees/ has a name that could not be made durable.
	unflushed bool
	datesOff  bool // the high-water mark cannot be kept: no dates are safe
	// stateDamaged is set until a state is written in the place of one that could
	// not be read.
	stateDamaged bool

	loaded   loadedTrees
	mending  mending
	versions versionViews
	scrubs   scrubs
	usage    atomic.Int64 // bytes on disk, as last measured
}

// Open takes the store, throws away what a crash left unfinished, and loads the
// view that was served last; where a tree of it is damaged, the newest view of
// the history that is whole. It returns an error that wraps ErrLocked or
// ErrNewer where the store is not this process's to use. The caller must Close.
func Open(ctx context.Context, opts Options) (*Store, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if len(opts.Sources) == 0 {
		opts.Sources = []string{"default"}
	}
	dir, err := filepath.Abs(opts.Dir)
	if err != nil {
		return nil, err
	}
	for _, folder := range []string{dir, filepath.Join(dir, treesFolder), filepath.Join(dir, stagingFolder)} {
		err := spaceError(makeFolder(folder))
		if errors.Is(err, ErrNoSpace) {
			return nil, fmt.Errorf("open the store: %w", err)
		}
		if err != nil {
			return nil, fmt.Errorf("open the store: %w: store.dir must be a folder that uid %d may write", err, os.Getuid())
		}
	}
	s := &Store{dir: dir, log: opts.Logger, started: wall(), changed: make(chan struct{}, 1), orphans: make(map[digest.Digest]time.Time), claimed: make(map[ReleaseKey]digest.Digest)}
	s.opts.Store(&opts)
	s.loaded.init(dir)
	s.loaded.found = func(t *tree, rec int32) { s.markDamaged(t, rec) }
	if s.lock, err = lock(ctx, dir, opts.LockWait, s.log); err != nil {
		return nil, err
	}
	s.metrics = newMetrics(opts.Registerer, s) // first: what the start finds damaged counts
	if err := s.recover(); err != nil {
		s.Close()
		return nil, fmt.Errorf("open the store %s: %w", dir, err)
	}
	s.keepSpare()
	s.metrics.show(s)
	return s, nil
}

// recover empties staging, reads the state and loads the view.
func (s *Store) recover() error {
	var err error
	if s.root, err = os.OpenRoot(s.dir); err != nil {
		return err
	}
	leftovers, err := s.leftovers()
	if err != nil {
		return err
	}
	st, damage, err := readState(s.dir)
	if err != nil {
		return err
	}
	if damage != nil {
		s.log.Error("the store's state is damaged; going on with what is left, the next sync completes it", "error", damage)
		st.event(s.started, "damage", "", "the state was damaged: %v", damage)
		s.stateDamaged = true
	}
	s.state.Store(st)
	s.succeeded = maps.Clone(st.Succeeded)
	s.loadView(st)
	for source, contributes := range st.Following {
		for _, c := range contributes {
			if r := st.release(ReleaseKey{source, c.Tag, c.Manifest}); c.Lost && r != nil {
				s.harmed(r.Layer)
			}
		}
	}
	if layers, err := layersOnDisk(s.dir); len(st.Releases) == 0 && (err != nil || len(layers) > 0) {
		s.awaited = make(map[string]bool)
		for _, source := range s.options().Sources {
			s.awaited[source] = true
		}
	}
	s.empty(leftovers)
	return s.markStart()
}

// leftovers are the names in staging, which a process that was killed has left. What it
// had taken aside for another tree that never came gets its name back.
func (s *Store) leftovers() ([]string, error) {
	folder := filepath.Join(s.dir, stagingFolder)
	if info, err := os.Lstat(folder); err != nil || !info.IsDir() {
		return nil, errors.Join(err, fmt.Errorf("%s is no folder: it is emptied at each start, so it must not be a link", folder))
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var left []string
	for _, e := range entries {
		path := filepath.Join(folder, e.Name())
		if layer, ok := layerOf(strings.TrimPrefix(e.Name(), replacedPrefix)); ok {
			final := treeFolder(s.dir, layer)
			if _, err := os.Lstat(final); errors.Is(err, fs.ErrNotExist) && os.Rename(path, final) == nil {
				continue
			}
		}
		left = append(left, path)
	}
	// What that process has renamed is there, but not for certain yet: a state must not
	// name it, nor staging be emptied of what had its name before.
	if err := s.flushNames(); err != nil {
		s.log.Warn("cannot make certain what an earlier run left", "error", err)
		return nil, nil
	}
	return left, nil
}

// emptyPause is how long a start waits for the leftovers to be gone.
const emptyPause = 200 * time.Millisecond

// empty removes what an earlier run left. Serving does not wait for a large tree to be
// removed, which can take a minute.
func (s *Store) empty(leftovers []string) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, path := range leftovers {
			// One that cannot be removed harms nothing but space.
			if err := os.RemoveAll(path); err != nil {
				s.log.Warn("cannot remove what an earlier run left", "error", err)
			}
		}
	}()
	select {
	case <-done:
	case <-time.After(emptyPause):
	}
}

// loadView makes the newest whole view of the state the current one.
func (s *Store) loadView(st *state) {
	if st.View == nil {
		return
	}
	for n, record := range append([]ViewRecord{*st.View}, st.History...) {
		if n > 0 && (record.ID == st.View.ID || record.Alone) {
			continue // it was the first to be tried, or somebody's trial
		}
		v, err := s.buildView(record.Releases)
		if err != nil {
			s.log.Error("a held view cannot be served; taking the one before", "view", record.ID, "error", err)
			s.metrics.damaged()
			for _, k := range record.Releases {
				if r := st.release(k); r != nil && !s.HasTree(r.Layer) {
					s.harmed(r.Layer) // to be made, or fetched, anew
				}
			}
			continue
		}
		if n > 0 {
			s.log.Warn("serving an earlier view until the damage is repaired", "view", v.id)
		}
		for _, t := range v.trees {
			if !t.whole() {
				s.harmed(t.layer)
			}
		}
		s.current.Store(v)
		return
	}
	if keys := s.readable(st, s.desired(st)); len(keys) > 0 {
		if v, err := s.buildView(keys); err == nil {
			s.log.Error("no held view is whole; serving what can be read of what is followed until the damage is repaired", "view", v.id)
			s.current.Store(v)
			return
		}
	}
	s.log.Error("no held view is whole; the next sync must bring one")
}

// markStart dates what is served from now on: a start counts as a change of
// what is served, because nobody knows what was served between two processes.
func (s *Store) markStart() error {
	v := s.current.Load()
	if v == nil {
		return nil
	}
	st := s.state.Load()
	safe := !s.started.Before(st.HighWater.Add(time.Second))
	next := st.clone()
	if s.started.After(next.HighWater) {
		next.HighWater = s.started
	}
	if err := s.save(next); err != nil {
		s.log.Warn("the store cannot be written; what is held is served, without Last-Modified", "error", err)
		s.datesOff, safe = true, false
	}
	if safe {
		v.date(s.started, nil)
	}
	return nil
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
	s.touched()
	maps.DeleteFunc(s.claimed, func(k ReleaseKey, _ digest.Digest) bool { // of sources that nobody polls any more
		return k.Source != ImportSource && !slices.Contains(opts.Sources, k.Source)
	})
	next := s.state.Load().clone()
	if next.Pin != nil || s.servesDesired(next) {
		return nil
	}
	_, err := s.serve(next, s.desired(next))
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
	t, err := s.loaded.take(layer)
	if err != nil {
		return false
	}
	defer s.loaded.give(t)
	return t.whole()
}

// publish gives a complete, durable folder of staging its final name. Where a
// damaged tree has that name, the new one takes its place in every view that
// is made from now on, the served one included. The index is the one that the
// folder holds. After an error, given says whether the tree has its name all the same,
// and is what is served and found.
func (s *Store) publish(folder string, layer digest.Digest, x *index) (given bool, err error) {
	given, unread, err := s.putInPlace(folder, layer, x)
	if unread != "" { // nobody waits for that
		err = errors.Join(err, os.RemoveAll(unread))
	}
	if err != nil {
		err = fmt.Errorf("publish the tree of %s: %w", layer, spaceError(err))
	}
	return given, err
}

// putInPlace is publish; unread is the folder that the tree has replaced, to be removed.
func (s *Store) putInPlace(folder string, layer digest.Digest, x *index) (given bool, unread string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false, "", errClosed
	}
	held, aside, err := s.giveName(folder, layer)
	if err != nil {
		return false, "", err
	}
	step("tree: renamed")
	err = s.flushNames()
	step("tree: published")
	s.loaded.published(layer, x)
	s.loaded.forgetLacking()
	if s.mending.has(layer) {
		s.tell("repair", "the tree of %s was made anew", s.nameOf(layer))
	}
	s.mending.retry()
	s.touched()
	if aside != "" && err == nil {
		unread = s.loaded.unread(held, aside)
	}
	if held != nil {
		err = errors.Join(err, s.reload())
	}
	return true, unread, err
}

// replacedPrefix begins the name in staging of a tree whose name another one is to get.
const replacedPrefix = "replaced-"

// exchange swaps two names in one step. It is a variable for tests, which have no file
// system that cannot.
var exchange = func(a, b string) error {
	return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
}

// giveName renames a folder of staging to a layer's final name. A damaged tree
// that has it changes places with the new one, so that whoever looks, at any
// moment and after a power cut, finds one of the two. It returns the tree that had the
// name, where somebody reads it, and where its folder is now, if it had one.
func (s *Store) giveName(folder string, layer digest.Digest) (held *tree, aside string, err error) {
	from, final := filepath.Join(s.dir, folder), treeFolder(s.dir, layer)
	held, err = s.loaded.moved(layer, func() error {
		if exchange(from, final) == nil {
			aside = from
			return nil
		}
		// Mostly nothing has the name. A file system that cannot exchange (NFS) has a
		// moment in which nothing has it; nobody looks at the tree meanwhile.
		before := filepath.Join(s.dir, stagingFolder, replacedPrefix+treeName(layer)) // leftovers takes it back
		_ = os.RemoveAll(before)
		if err := os.Rename(final, before); errors.Is(err, fs.ErrNotExist) {
			before = ""
		} else if err != nil {
			return fmt.Errorf("put the damaged tree aside: %w", err)
		}
		if err := os.Rename(from, final); err != nil {
			if before != "" {
				err = errors.Join(err, os.Rename(before, final))
			}
			return err
		}
		aside = before
		return nil
	})
	return held, aside, err
}

// flushNames makes the names in trees/ durable: no state may name a tree that a power
// cut could take away, nor may what had its name be removed.
func (s *Store) flushNames() error {
	s.unflushed = true
	if err := syncPath(filepath.Join(s.dir, treesFolder)); err != nil {
		return spaceError(err)
	}
	s.unflushed = false
	return nil
}

// reload serves the same view anew, from the trees that are on disk now.
func (s *Store) reload() error {
	s.versions.drop()
	old := s.current.Load()
	if old == nil {
		return nil
	}
	v, err := s.buildView(old.keys())
	if err != nil {
		return fmt.Errorf("load the repaired tree: %w", err)
	}
	v.date(time.Time{}, old)
	s.current.Store(v)
	old.Close()
	return nil
}
