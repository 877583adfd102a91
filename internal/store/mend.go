package store

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

// mendPause is how long after a fault of the volume a damaged tree is tried again: what
// can be written until a full one stops it would be written each minute.
const mendPause = time.Hour

// repairQueue are the trees that are known to be damaged. Housekeep makes them whole
// from what else the store holds, registry or no registry: each is tried when its
// damage is found, again after a fault, and when a tree is published that may have what
// it lacks.
type repairQueue struct {
	mu    sync.Mutex
	trees map[digest.Digest]time.Time // when each is to be tried; zero: not before another is published
	// counted are those whose index or folder was counted as damaged, whoever finds it so
	// again.
	counted map[digest.Digest]bool
}

// noteDamaged notes that a tree is damaged.
func (s *Store) noteDamaged(layer digest.Digest) {
	m := &s.repairs
	m.mu.Lock()
	if m.trees == nil {
		m.trees = make(map[digest.Digest]time.Time)
	}
	m.trees[layer] = time.Now()
	m.mu.Unlock()
	s.wakeHousekeeping()
}

// DamagedTrees returns the layers of the trees that were found damaged. HasTree says which
// of them something has made whole since.
func (s *Store) DamagedTrees() []digest.Digest {
	s.repairs.mu.Lock()
	defer s.repairs.mu.Unlock()
	return slices.Sorted(maps.Keys(s.repairs.trees))
}

// count reports whether the index or folder of a tree is to be counted as damaged: it was
// not since it was whole.
func (m *repairQueue) count(layer digest.Digest) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.counted[layer] {
		return false
	}
	if m.counted == nil {
		m.counted = make(map[digest.Digest]bool)
	}
	m.counted[layer] = true
	return true
}

// countAnew has what is found damaged of a tree from now on counted.
func (m *repairQueue) countAnew(layer digest.Digest) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.counted, layer)
}

// has says whether a tree is known to be damaged.
func (m *repairQueue) has(layer digest.Digest) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.trees[layer]
	return ok
}

// lacks says whether a damaged tree was tried, and not all that it lacks is held.
func (m *repairQueue) lacks(layer digest.Digest) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, ok := m.trees[layer]
	return ok && at.IsZero()
}

// retry has all damaged trees tried again.
func (m *repairQueue) retry() {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	for layer := range m.trees {
		m.trees[layer] = now
	}
}

// due takes the trees that are to be tried.
func (m *repairQueue) due() []digest.Digest {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	var due []digest.Digest
	for _, layer := range slices.Sorted(maps.Keys(m.trees)) {
		if at := m.trees[layer]; !at.IsZero() && !at.After(now) {
			m.trees[layer] = time.Time{}
			due = append(due, layer)
		}
	}
	return due
}

// again has a tree that due gave tried once more after a pause, if not before.
func (m *repairQueue) again(layer digest.Digest, pause time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if at, wanted := m.trees[layer]; wanted && at.IsZero() {
		m.trees[layer] = time.Now().Add(pause)
	}
}

func (m *repairQueue) done(layer digest.Digest) {
	m.mu.Lock()
	defer m.mu.Unlock()
	// What was found damaged anew meanwhile is still to be tried.
	if m.trees[layer].IsZero() {
		delete(m.trees, layer)
		delete(m.counted, layer)
	}
}

// drop ends the trying for a tree that nobody wants any more.
func (m *repairQueue) drop(layer digest.Digest) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.trees, layer)
	delete(m.counted, layer)
}

// serveRepaired serves trees that were made anew and are not served, because a fault came
// in between.
func (s *Store) serveRepaired() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.current.Load(); v == nil || !slices.ContainsFunc(v.trees, func(t *tree) bool { return !s.loaded.named(t) }) {
		return nil
	}
	return s.reload()
}

// repairDamaged makes damaged trees whole from what the store holds, and serves what should
// be served once that is whole. What the store does not hold, a sync must bring.
func (s *Store) repairDamaged(ctx context.Context) {
	if err := s.serveRepaired(); err != nil {
		s.log.Warn("A repaired tree is not served yet; it is tried again", "error", err)
	}
	s.noteGone()
	defer s.replaceGone()
	whole := false
	for _, layer := range s.repairs.due() {
		if s.HasTree(layer) { // a sync was faster, or what could not be read can be
			s.repairs.done(layer)
			whole = true
			continue
		}
		switch err := s.Repair(ctx, layer); {
		case err == nil:
			s.repairs.done(layer)
			whole = true
			s.log.Info("A damaged tree was made whole from what the store holds", "tree", layer)
		case ctx.Err() != nil:
			return // the next start takes it up again
		case isTransient(err): // also where it could not look whether the content is held
			s.repairs.again(layer, 0)
			s.log.Warn("A damaged tree cannot be made whole at the moment; it is tried again", "tree", layer, "error", err)
		case errors.Is(err, ErrNotHeld):
			s.log.Debug("A damaged tree cannot be made whole from what the store holds", "tree", layer, "error", err)
		default:
			s.repairs.again(layer, mendPause)
			s.log.Warn("A damaged tree cannot be made whole; it is tried again", "tree", layer, "in", mendPause, "error", err)
		}
	}
	if !whole {
		return
	}
	if err := s.catchUp(); err != nil {
		s.log.Warn("What should be served can be read again, and cannot be served yet; the next sync tries again", "error", err)
	}
}

// catchUp serves what should be served, where something else, or nothing, stands in for it
// because a tree of it was lost. A sync does that too, but not every site has something to
// poll.
func (s *Store) catchUp() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.state.Load()
	if st.Pin == nil && s.servesDesired(st) {
		return nil
	}
	_, err := s.serveFollowed(st.clone(), false)
	return err
}
