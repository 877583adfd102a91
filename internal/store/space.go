package store

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/specman/specman/internal/human"
)

// ErrNoSpace is wrapped by every error that more room on the volume would cure.
var ErrNoSpace = errors.New("not enough space in the store")

// volume is what the file system of a folder says of itself.
type volume struct {
	size, free int64 // bytes
	inodes     int64 // free; negative where the file system does not count them
	allInodes  int64
	readOnly   bool
}

func (s *Store) volume() (volume, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(s.dir, &fs); err != nil {
		return volume{}, fmt.Errorf("ask for the free space of %s: %w", s.dir, err)
	}
	v := volume{size: int64(fs.Blocks) * fs.Bsize, free: int64(fs.Bavail) * fs.Bsize, inodes: int64(fs.Ffree), allInodes: int64(fs.Files), readOnly: fs.Flags&unix.ST_RDONLY != 0 || s.readOnly.Load()}
	if fs.Files == 0 { // btrfs and others make inodes as they need them
		v.inodes = -1
	}
	return v, nil
}

// Free returns the bytes of the volume that this process may still use.
func (s *Store) Free() (int64, error) {
	v, err := s.volume()
	return v.free, err
}

// CheckSpace refuses what would need more bytes, or more files, than are free
// above the reserve of Options.MinFree. The error wraps ErrNoSpace and says
// what is needed, what is free, and what size would do. Of a single file the size may be
// that of an archive, and how much is in it no registry tells: the error then says what
// it takes at least.
func (s *Store) CheckSpace(bytes, files int64) error {
	v, err := s.volume()
	if err != nil {
		return err
	}
	minFree := s.options().MinFree
	if needed := plus(bytes, minFree); needed > v.free {
		lack := needed - v.free
		atLeast, cure := "", fmt.Sprintf("a volume of %s would do, %s more than now", human.Bytes(plus(v.size, lack)), human.Bytes(lack))
		if files <= 1 {
			atLeast, cure = "at least ", fmt.Sprintf("a volume of at least %s would do, %s more than now and what unpacking adds", human.Bytes(plus(v.size, lack)), human.Bytes(lack))
		}
		return fmt.Errorf("%w: %s%s needed and %s to stay free (store.minFree), but %s free in %s: %s",
			ErrNoSpace, atLeast, human.Bytes(bytes), human.Bytes(minFree), human.Bytes(v.free), s.dir, cure)
	}
	if v.inodes >= 0 && v.inodes < files {
		atLeast, cure := "", fmt.Sprintf("a volume of %d inodes would do, now it has %d", plus(v.allInodes, files-v.inodes), v.allInodes)
		if files <= 1 {
			atLeast, cure = "at least ", fmt.Sprintf("a volume with more inodes than the %d of now is needed, one for each file", v.allInodes)
		}
		return fmt.Errorf("%w: %s%d inodes needed, but %d free in %s, which has room for bytes, not for more files: %s",
			ErrNoSpace, atLeast, files, v.inodes, s.dir, cure)
	}
	return nil
}

// OnDisk is what file systems mostly take for that many bytes of a file.
func OnDisk(size int64) int64 { return (size + 4095) &^ 4095 }

// plus adds two sizes that are not negative, the largest there is at most: one of them
// may be what a registry says.
func plus(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// spaceError makes a full disk recognisable by ErrNoSpace.
func spaceError(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}

// ReadOnlyCure tells people what to do about a volume on which nothing can be written.
const ReadOnlyCure = "look at the node's disk (dmesg), make the volume writable, and restart the service"

// spareBytes is the size of a file that is given up when the volume is so full
// that not even the state could be written: to roll back, to pin and to keep
// the history must go on working then.
const spareBytes = 1 << 20

func (s *Store) sparePath() string { return filepath.Join(s.dir, "spare") }

// keepSpare makes the spare file, if there is room for it and it is not there. What it
// cannot make does no harm.
func (s *Store) keepSpare() {
	var info unix.Stat_t
	if unix.Stat(s.sparePath(), &info) == nil && info.Blocks*512 >= spareBytes || s.CheckSpace(spareBytes, 1) != nil {
		return
	}
	f, err := os.OpenFile(s.sparePath(), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	if unix.Fallocate(int(f.Fd()), 0, 0, spareBytes) != nil { // as on ext2, and NFS before 4.2
		_, _ = f.Write(make([]byte, spareBytes))
	}
}

// giveUpSpare reports whether there was a spare file to give up.
func (s *Store) giveUpSpare() bool { return os.Remove(s.sparePath()) == nil }

// checkReserve refuses further writing when less is free than Options.MinFree. It
// returns what is free above it.
func (s *Store) checkReserve() (room int64, err error) {
	v, err := s.volume()
	if err != nil {
		return 0, err
	}
	minFree := s.options().MinFree
	switch room = v.free - minFree; {
	case room <= 0:
		err = fmt.Errorf("%w: %s are free in %s, and %s are to stay free (store.minFree)", ErrNoSpace, human.Bytes(v.free), s.dir, human.Bytes(minFree))
	case v.inodes == 0:
		err = fmt.Errorf("%w: no inode is free in %s", ErrNoSpace, s.dir)
	}
	return room, err
}
