package variant

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Keep removes the variants, and forgets the facts, of all contents for which
// needed says no. It also removes files that the index does not know, and
// rewrites the index, so that it grows no longer than what is kept.
func (s *Store) Keep(needed func(sum [sha256.Size]byte) bool) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	// Mostly nothing has gone, as at a start. Then nothing is written, and what
	// is known is not held a second time.
	live, dead := 0, 0
	err := readIndex(s.path("index"), func(sum [sha256.Size]byte, set Set) {
		if needed(sum) && s.believes(newFact(sum, set)) {
			live++
		} else {
			dead++
		}
	})
	if err != nil {
		return err
	}
	if dead > 0 || live != s.facts.len() {
		if err := s.compact(needed); err != nil {
			return err
		}
	}
	return s.removeBut(needed)
}

// compact rewrites the index without the lines that are not needed, were
// forgotten, or say again what another says.
func (s *Store) compact(needed func(sum [sha256.Size]byte) bool) error {
	var lines bytes.Buffer
	var all []fact
	seen := make(map[uint64]bool)
	err := readIndex(s.path("index"), func(sum [sha256.Size]byte, set Set) {
		f := newFact(sum, set)
		if !seen[f.key] && needed(sum) && s.believes(f) {
			seen[f.key] = true
			lines.Write(formatLine(sum, set))
			all = append(all, f)
		}
	})
	if err != nil {
		return err
	}
	// The index first: a file that it does not name does no harm, and goes
	// with the next removeBut.
	if err := s.replaceIndex(lines.Bytes()); err != nil {
		return err
	}
	s.mu.Lock()
	s.facts.replace(all)
	s.mu.Unlock()
	return nil
}

// believes says whether a fact of the index is still in use: not forgotten.
func (s *Store) believes(f fact) bool {
	now, ok := s.facts.find(f.key)
	return ok && now == f
}

func (s *Store) replaceIndex(lines []byte) error {
	temp := s.path(filepath.Join("tmp", "index"))
	f, err := os.Create(temp)
	if err == nil {
		_, err = f.Write(lines)
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err == nil {
		err = os.Rename(temp, s.path("index"))
	}
	if err != nil {
		return fmt.Errorf("rewrite the index of variants: %w", err)
	}
	old := s.index
	if err := s.openIndex(); err != nil {
		return err
	}
	return old.Close()
}

// removeBut removes all files of variants that are not needed, or of which
// nothing is known.
func (s *Store) removeBut(needed func(sum [sha256.Size]byte) bool) error {
	var errs []error
	folders, err := filepath.Glob(s.path("[0-9a-f][0-9a-f]"))
	if err != nil {
		return err
	}
	for _, folder := range folders {
		entries, err := os.ReadDir(folder)
		errs = append(errs, err)
		for _, e := range entries {
			sum, ok := sumOf(e.Name())
			if _, known := s.Find(sum); !ok || !known || !needed(sum) {
				path := filepath.Join(folder, e.Name())
				s.large.Delete(path)
				errs = append(errs, os.Remove(path))
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove variants that are not needed: %w", err)
	}
	return nil
}
