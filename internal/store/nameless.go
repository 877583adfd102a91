package store

import "os"

// nameless is a folder of staging that is to go, and could not: what it took its name from
// in trees/ is not durable yet, or it could not be removed.
type nameless struct {
	held *tree // whose folder it is, where somebody may read it
	path string
}

// takeNameless returns the folders to be removed that an earlier fault has left in staging:
// none while it lasts. A power cut must not undo a renaming and yet keep the removal.
func (s *Store) takeNameless() (unread []string) {
	if len(s.nameless) == 0 || s.unflushed && s.flushNames() != nil {
		return nil
	}
	for _, n := range s.nameless {
		if path := s.loaded.unread(n.held, n.path); path != "" {
			unread = append(unread, path)
		}
	}
	s.nameless = nil
	return unread
}

// removeAside removes a folder of staging. What cannot be removed the next GC tries again:
// until then it takes the space that a sync may need.
func (s *Store) removeAside(path string) error {
	err := os.RemoveAll(path)
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.nameless = append(s.nameless, nameless{path: path})
	}
	return err
}
