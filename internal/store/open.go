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
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// Open takes the store, throws away what a crash left unfinished, and loads the
// view that was served last; where a tree of it is damaged, what stands in for it
// (see standIns). It returns an error that wraps ErrLocked or
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
	spread(filepath.Join(dir, stagingFolder))
	s := &Store{dir: dir, log: opts.Logger, started: wall(), changed: make(chan struct{}, 1), orphans: make(map[digest.Digest]time.Time), claimed: make(map[ReleaseKey]digest.Digest), scrubs: scrubs{rate: scrubRate}}
	s.opts.Store(&opts)
	s.loaded.init(dir)
	s.loaded.remove = func(path string) error {
		s.removing.RLock()
		defer s.removing.RUnlock()
		return s.removeAside(path)
	}
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
		s.stateDamaged, s.stateLost = true, damage
	}
	s.state.Store(st)
	s.succeeded = maps.Clone(st.Succeeded)
	s.loadView(st)
	s.noteIndexes()
	s.recallDamage(st)
	for source, contributes := range st.Following {
		for _, c := range contributes {
			if r := st.release(ReleaseKey{source, c.Tag, c.Manifest}); c.Lost && r != nil {
				s.noteDamaged(r.Layer)
			}
		}
	}
	if len(st.Releases) == 0 {
		layers, err := layersOnDisk(s.dir)
		s.blank = err != nil || len(layers) > 0
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
		if layer, ok := replacedTree(e.Name()); ok {
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
		for _, path := range left {
			s.nameless = append(s.nameless, nameless{path: path})
		}
		return nil, nil
	}
	return left, nil
}

// replacedTree tells whose tree has that name in staging because another was to replace it.
func replacedTree(name string) (layer digest.Digest, ok bool) {
	name, replaced := strings.CutPrefix(name, replacedPrefix)
	name, _, _ = strings.Cut(name, ".")
	layer, ok = layerOf(name)
	return layer, ok && replaced
}

// emptyPause is how long a start waits for the leftovers to be gone.
const emptyPause = 200 * time.Millisecond

// empty removes what an earlier run left. Serving does not wait for a large tree to be
// removed, which can take a minute.
func (s *Store) empty(leftovers []string) {
	done := make(chan struct{})
	s.removing.RLock()
	go func() {
		defer close(done)
		defer s.removing.RUnlock()
		for _, path := range leftovers {
			// One that cannot be removed harms nothing but space.
			if err := s.removeAside(path); err != nil {
				s.log.Warn("cannot remove what an earlier run left; it is tried again", "error", err)
			}
		}
	}()
	select {
	case <-done:
	case <-time.After(emptyPause):
	}
}

// loadView makes the view that should be served the current one, or else what stands in for
// it: see standIns.
func (s *Store) loadView(st *state) {
	if st.View == nil {
		return
	}
	if (st.Pin != nil || !st.spoilt(st.View.Releases)) && s.loadWhole(st, *st.View) {
		return
	}
	for _, c := range s.standIns(st) {
		if !s.loadCandidate(st, c) {
			continue
		}
		if c.newer || c.forgotten {
			s.log.Error("what is served now was not to be served: a newer view than the one that is held, or one of which a release was forgotten; nothing else is whole")
		}
		return
	}
	s.log.Error("no held view is whole; the next sync must bring one")
}

// loadCandidate makes a view that may stand in the current one.
func (s *Store) loadCandidate(st *state, c candidate) bool {
	if c.part {
		return s.loadPart(s.readable(st, c.Releases))
	}
	if !s.loadWhole(st, c.ViewRecord) {
		return false
	}
	s.log.Warn("serving another view until the damage is repaired", "view", c.ID)
	return true
}

// loadPart makes a view of some releases the current one.
func (s *Store) loadPart(keys []ReleaseKey) bool {
	v, _ := s.standIn(keys, nil)
	if v == nil {
		return false
	}
	s.log.Error("no held view is whole; serving what can be read until the damage is repaired", "view", v.id)
	v.began = s.started
	s.current.Store(v)
	return true
}

// loadWhole makes the view of a record the current one, if it is whole. What it finds
// lost is to be made, or fetched, anew.
func (s *Store) loadWhole(st *state, record ViewRecord) bool {
	v, err := s.buildView(record.Releases)
	if err != nil {
		s.log.Error("a held view cannot be served; trying another", "view", record.ID, "error", err)
		for _, k := range record.Releases {
			if r := st.release(k); r != nil && !s.HasTree(r.Layer) {
				s.noteDamaged(r.Layer)
			}
		}
		return false
	}
	if v.began = s.started; st.expects(v) {
		v.began = st.View.Since
	}
	s.current.Store(v)
	return true
}

// markStart dates what is served from now on: a start counts as a change of
// what is served, because nobody knows what was served between two processes.
func (s *Store) markStart() error {
	v := s.current.Load()
	st := s.state.Load()
	if v == nil && st.View == nil {
		return nil
	}
	next := st.clone()
	next.serves(v, s.started)
	safe := v != nil && !s.started.Before(st.HighWater.Add(time.Second))
	if s.started.After(next.HighWater) {
		next.HighWater = s.started
	}
	if err := s.save(next); err != nil {
		s.log.Warn("the store cannot be written; what is held is served, without Last-Modified", "error", err)
		s.datesOff, safe = true, false
	}
	if safe {
		v.date(s.started.UnixNano(), nil)
	}
	return nil
}
