package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// MakeSpace is CheckSpace, but before it refuses it removes, oldest first, what
// only Options.Keep holds: releases that are out of use for longer than
// Options.Grace. Where all of them would not be room enough it removes none: what is
// refused anyway must not cost what people could go back to.
func (s *Store) MakeSpace(bytes, files int64) error {
	refusal := s.CheckSpace(bytes, files)
	if !errors.Is(refusal, ErrNoSpace) {
		return refusal
	}
	s.waitForRemovals() // they may be enough
	if refusal = s.CheckSpace(bytes, files); !errors.Is(refusal, ErrNoSpace) {
		return refusal
	}
	// So may trees that nobody names, which go anyway.
	_, err := s.remove("removed", func(*state, time.Time) []Release { return nil })
	if refusal = s.CheckSpace(bytes, files); err != nil || !errors.Is(refusal, ErrNoSpace) {
		return errors.Join(refusal, err)
	}
	if frees, inodes := s.removableSpace(); !s.enoughWith(frees, inodes, bytes, files) {
		if inodes > 0 {
			refusal = fmt.Errorf("%w; it would not be enough either without the older releases that only store.keep holds, so they stay", refusal)
		}
		return refusal
	}
	for errors.Is(refusal, ErrNoSpace) {
		removed, err := s.removeOldest()
		refusal = s.CheckSpace(bytes, files) // a tree that nobody names may have gone too
		if err != nil || removed == nil {
			return errors.Join(refusal, err)
		}
		s.log.Warn("Removed an older release to make space", "source", removed.Source, "tag", removed.Tag, "manifest", removed.Manifest,
			"cure", "enlarge the volume, or lower store.keep")
	}
	return refusal
}

// waitForRemovals returns when the files are gone that were being removed.
func (s *Store) waitForRemovals() {
	s.removing.Lock()
	defer s.removing.Unlock()
}

// removeOldest removes the release that is out of use for the longest, nil if
// there is none that may go.
func (s *Store) removeOldest() (*Release, error) {
	garbage, err := s.remove("removed to make space", func(st *state, now time.Time) []Release {
		out := s.removable(st, now)
		return out[:min(1, len(out))]
	})
	if len(garbage.Releases) == 0 {
		return nil, err
	}
	return &garbage.Releases[0], err
}

// removable are the releases that may go to make space, the one that goes first first. One
// whose tree somebody reads, a slow client or a check of all files, would give no room
// before that ends, and its successors would go in vain. To be called under mu.
func (s *Store) removable(st *state, now time.Time) []Release {
	s.versions.drop() // what is only at hand for the next reader is not read
	s.loaded.forgetPublished()
	return slices.DeleteFunc(s.outOfUse(st, 0, now), func(r Release) bool { return s.loaded.inUse(r.Layer) })
}

// enoughWith says whether there would be room enough if so much more were free. What a GC
// removes meanwhile is counted twice, not missed, for the volume is asked last.
func (s *Store) enoughWith(frees, inodes, bytes, files int64) bool {
	v, err := s.volume()
	return err == nil && plus(bytes, s.options().MinFree) <= plus(max(0, v.free), frees) && (v.inodes < 0 || files <= plus(v.inodes, inodes))
}

// removableSpace is what to remove all that is removable would free, rather too much than
// too little: what a tree shares with one that stays is not in it. It reads each folder of
// it.
func (s *Store) removableSpace() (bytes, inodes int64) {
	namesCount := fileSystem(s.dir) == unix.TMPFS_MAGIC // a second name takes an inode, too
	names := make(map[uint64]uint64)                    // of files with several: those that would go
	for _, layer := range s.removableTrees() {
		err := eachOnDisk(context.Background(), treeFolder(s.dir, layer), func(isDir bool, info *syscall.Stat_t) {
			if namesCount {
				inodes++
			}
			if !isDir && info.Nlink > 1 {
				if names[info.Ino]++; names[info.Ino] != uint64(info.Nlink) {
					return
				}
			}
			if !namesCount {
				inodes++
			}
			bytes += max(info.Blocks*512, OnDisk(1)) // of a folder, or a link, some file systems count no block
		})
		if err != nil { // nobody knows: it may be enough
			s.log.Warn("The releases that could make space cannot be measured", "tree", layer, "error", err)
			return math.MaxInt64, math.MaxInt64
		}
	}
	return plus(bytes, bytes/64), inodes // with the file system's own notes of them
}

// removableTrees are the layers whose trees nobody needs but the releases that are
// removable.
func (s *Store) removableTrees() []digest.Digest {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, _ := s.dated()
	out := s.removable(st, wall())
	rest := st.without(out)
	var layers []digest.Digest
	for _, r := range out {
		if !rest.names(r.Layer) {
			layers = append(layers, r.Layer)
		}
	}
	for _, claimed := range s.claimed {
		layers = slices.DeleteFunc(layers, func(layer digest.Digest) bool { return layer == claimed })
	}
	slices.Sort(layers)
	return slices.Compact(layers)
}
