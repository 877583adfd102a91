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
	kept := make(map[[sha256.Size]byte]Set)
	err := readIndex(s.path("index"), func(sum [sha256.Size]byte, set Set) {
		if needed(sum) {
			kept[sum] = set
		}
	})
	if err != nil {
		return err
	}
	// The index first: a file that it does not name does no harm, and goes
	// with the next Keep.
	var lines bytes.Buffer
	all := make([]fact, 0, len(kept))
	for sum, set := range kept {
		lines.Write(formatLine(sum, set))
		if f := newFact(sum, set); s.believes(f) {
			all = append(all, f)
		}
	}
	if err := s.replaceIndex(lines.Bytes()); err != nil {
		return err
	}
	s.mu.Lock()
	s.facts.replace(all)
	s.mu.Unlock()
	return s.removeBut(kept)
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

// removeBut removes all files of variants that are not among the kept.
func (s *Store) removeBut(kept map[[sha256.Size]byte]Set) error {
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
			if _, keep := kept[sum]; !ok || !keep {
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
