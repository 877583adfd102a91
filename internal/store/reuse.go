package store

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// reuse finds content that a held tree already has on disk, so that files
// which did not change between two releases are stored once. It holds the view
// whose files it offers until close. A nil reuse offers nothing.
type reuse struct {
	store   *Store
	view    *View
	bySum   map[[sha256.Size]byte]place
	staging string // folder of the new tree, below the store's
	asides  atomic.Int64
}

type place struct{ tree, rec int32 }

// reusable offers the files of the served view to a staging folder.
func (s *Store) reusable(staging string) *reuse {
	v := s.Acquire()
	if v == nil {
		return nil
	}
	r := &reuse{store: s, view: v, bySum: make(map[[sha256.Size]byte]place, v.files), staging: staging}
	for n, t := range v.trees {
		for rec := range t.records {
			if k := &t.records[rec]; k.kind == File && k.size > 0 {
				r.bySum[k.sum] = place{int32(n), k.real}
			}
		}
	}
	return r
}

func (r *reuse) close() {
	if r != nil {
		r.view.Close()
	}
}

// link gives content that is held elsewhere a second name among the new files.
// It compares the bytes first: a file that rotted on disk must not become part
// of a new tree. It reports whether name is there now.
func (r *reuse) link(sum [sha256.Size]byte, content []byte, name string) bool {
	if r == nil {
		return false
	}
	return r.linkIf(sum, r.staging+"/files/"+name, func(held *os.File) bool { return sameContent(held, content) })
}

// linkLarge is link for a file that is too large to be in memory: it is there
// already, and is replaced.
func (r *reuse) linkLarge(sum [sha256.Size]byte, name string) {
	if r == nil {
		return
	}
	aside := fmt.Sprintf("%s/aside-%d", r.staging, r.asides.Add(1)) // beside the files: it meets no name of the archive
	if r.linkIf(sum, aside, func(held *os.File) bool { return hashFile(held) == sum }) &&
		r.store.root.Rename(aside, r.staging+"/files/"+name) != nil {
		r.store.root.Remove(aside)
	}
}

// linkIf makes path, below the store's folder, a name of held content that is the
// same, byte for byte.
func (r *reuse) linkIf(sum [sha256.Size]byte, path string, same func(held *os.File) bool) bool {
	at, ok := r.bySum[sum]
	if !ok {
		return false
	}
	t := r.view.trees[at.tree]
	f, err := t.open(at.rec)
	if err != nil {
		return false
	}
	defer f.Close()
	return same(f) &&
		r.store.root.Link(treesFolder+"/"+treeName(t.layer)+"/files/"+t.path(at.rec), path) == nil
}

func sameContent(f *os.File, content []byte) bool {
	b := make([]byte, 32<<10)
	for {
		n, err := f.Read(b)
		if n > len(content) || !bytes.Equal(b[:n], content[:n]) {
			return false
		}
		content = content[n:]
		if err != nil {
			return errors.Is(err, io.EOF) && len(content) == 0
		}
	}
}

// cannotLink says whether a link failed because this file system, or this
// file, has no more hard links to give.
func cannotLink(err error) bool {
	return errors.Is(err, unix.EXDEV) || errors.Is(err, unix.EMLINK) || errors.Is(err, unix.EPERM) ||
		errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOSYS)
}

func copyFile(root *os.Root, from, to string) error {
	src, err := root.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := root.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o444)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, finishFile(dst))
}
