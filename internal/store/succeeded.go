package store

import (
	"maps"
	"time"
)

// NoteSuccess notes that a sync of a source, by whatever name, has ended well. An idle
// poll is to write nothing: it is kept with the next change of the state, and by
// KeepSuccesses.
func (s *Store) NoteSuccess(source string, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.succeeded == nil {
		s.succeeded = make(map[string]time.Time)
	}
	s.succeeded[source] = at.Round(0).UTC()
}

// Succeeded returns when a sync of a source is last known to have ended well, by this
// process or an earlier one; the zero time if none is.
func (s *Store) Succeeded(source string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.succeeded[source]
}

// withSuccesses is a state with what was noted since the last one.
func (s *Store) withSuccesses(st *state) *state {
	next := *st
	next.Succeeded = maps.Clone(s.succeeded)
	return &next
}

// KeepSuccesses writes what was noted and is not kept yet. It is for the end of a service,
// which another one follows.
func (s *Store) KeepSuccesses() {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.state.Load()
	if maps.EqualFunc(st.Succeeded, s.succeeded, time.Time.Equal) {
		return
	}
	if err := s.save(st); err != nil {
		s.log.Warn("When syncs last succeeded cannot be kept", "error", err)
	}
}
