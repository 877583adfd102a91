package store

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/specman/specman/internal/atomicfile"
)

// publish gives a complete, durable folder of staging its final name. Where a
// damaged tree has that name, the new one takes its place in every view that
// is made from now on, the served one included. The index is the one that the
// folder holds. After an error, given says whether the tree has its name all the same,
// and is what is served and found.
func (s *Store) publish(folder string, layer digest.Digest, x *index) (given bool, err error) {
	s.removing.RLock()
	defer s.removing.RUnlock()
	given, unread, err := s.putInPlace(folder, layer, x)
	if unread != "" { // nobody waits for that
		err = errors.Join(err, s.removeAside(unread))
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
	held, aside, err := s.swapIn(folder, layer)
	if err != nil {
		return false, "", err
	}
	step("tree: renamed")
	err = s.flushNames()
	step("tree: published")
	s.loaded.published(layer, x)
	s.loaded.forgetLacking()
	if s.repairs.has(layer) {
		s.recordEvent("repair", "the tree of %s was made anew", s.nameOf(layer))
	}
	s.repairs.countAnew(layer)
	s.repairs.retry()
	s.wakeHousekeeping()
	if aside != "" && err == nil {
		unread = s.loaded.unread(held, aside)
	} else if aside != "" {
		s.nameless = append(s.nameless, nameless{held, aside})
	}
	if held != nil {
		err = errors.Join(err, s.reload())
	}
	return true, unread, err
}

// swapIn renames a folder of staging to a layer's final name. A damaged tree
// that has it changes places with the new one, so that whoever looks, at any
// moment and after a power cut, finds one of the two. It returns the tree that had the
// name, where somebody reads it, and where its folder is now, if it had one.
func (s *Store) swapIn(folder string, layer digest.Digest) (held *tree, aside string, err error) {
	from, final := filepath.Join(s.dir, folder), treeFolder(s.dir, layer)
	held, err = s.loaded.moved(layer, func() error {
		if exchange(from, final) == nil {
			aside = from
			return nil
		}
		// Mostly nothing has the name. A file system that cannot exchange (NFS) has a
		// moment in which nothing has it; nobody looks at the tree meanwhile.
		before := filepath.Join(s.staging(), fmt.Sprintf("%s%s.%08x", replacedPrefix, treeName(layer), rand.Uint32())) // leftovers takes it back
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

// replacedPrefix begins the name in staging of a tree whose name another one is to get.
const replacedPrefix = "replaced-"

// exchange swaps two names in one step. It is a variable for tests, which have no file
// system that cannot.
var exchange = func(a, b string) error {
	return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
}

// flushNames makes the names in trees/ durable: no state may name a tree that a power
// cut could take away, nor may what had its name be removed.
func (s *Store) flushNames() error {
	s.unflushed = true
	if err := atomicfile.Sync(filepath.Join(s.dir, treesFolder)); err != nil {
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
	v.date(0, old)
	v.began = old.began
	s.current.Store(v)
	old.Close()
	return nil
}
