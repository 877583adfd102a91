package store

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// ErrNoSpace is wrapped by every error that more room on the volume would cure.
var ErrNoSpace = errors.New("not enough space in the store")

// Free returns the bytes of the volume that this process may still use.
func (s *Store) Free() (int64, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(s.dir, &fs); err != nil {
		return 0, fmt.Errorf("ask for the free space of %s: %w", s.dir, err)
	}
	return int64(fs.Bavail) * fs.Bsize, nil
}

// CheckSpace refuses what would need more bytes than are free above the
// reserve of Options.MinFree. The error wraps ErrNoSpace and says how much is
// missing.
func (s *Store) CheckSpace(need int64) error {
	free, err := s.Free()
	if err != nil {
		return err
	}
	if missing := need + s.options().MinFree - free; missing > 0 {
		return fmt.Errorf("%w: %d bytes are needed and %d are to stay free (store.minFree), but %d are free in %s: enlarge the volume by %d bytes, or lower store.keep or store.minFree",
			ErrNoSpace, need, s.options().MinFree, free, s.dir, missing)
	}
	return nil
}

// spaceError makes a full disk recognisable by ErrNoSpace.
func spaceError(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}
