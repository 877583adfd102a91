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
// which did not change between two releases are stored once. It holds the views
// whose files it offers until close. A nil reuse offers nothing.
type reuse struct {
	store   *Store
	views   []*View
	bySum   map[[sha256.Size]byte]place
	staging string // folder of the new tree, below the store's
	asides  atomic.Int64
	// linked is what was linked so far: inodes, and bytes as file systems count them.
	linked, linkedBytes atomic.Int64
}

type place struct {
	tree *tree
	rec  int32
}

// reusable offers the files of the served view to a staging folder, and while that is
// held back those of what is followed.
func (s *Store) reusable(staging string) *reuse {
	r := &reuse{store: s, staging: staging}
	if v := s.Acquire(); v != nil {
		r.views = append(r.views, v)
	}
	if st := s.state.Load(); st.Pin != nil {
		if v, err := s.buildView(s.desired(st)); err == nil {
			r.views = append(r.views, v)
		}
	}
	if len(r.views) == 0 {
		return nil
	}
	r.bySum = make(map[[sha256.Size]byte]place, r.views[0].files)
	for _, v := range r.views {
		for _, t := range v.trees {
			for rec := range t.records {
				// A damaged file must not stand before a good one of the same content.
				if k := &t.records[rec]; k.kind == File && k.size > 0 && !t.isDamaged(k.real) {
					r.bySum[k.sum] = place{t, k.real}
				}
			}
		}
	}
	return r
}

func (r *reuse) close() {
	if r == nil {
		return
	}
	for _, v := range r.views {
		v.Close()
	}
}

// links counts a file that was linked in place of being written.
func (r *reuse) links(size int64) {
	r.linked.Add(1)
	r.linkedBytes.Add(OnDisk(size))
}

// linkLarge replaces a file that is written already, because it is too large to
// be in memory, by a name of the same content that is held.
func (r *reuse) linkLarge(sum [sha256.Size]byte, name string) {
	if r == nil {
		return
	}
	at, ok := r.bySum[sum]
	if !ok {
		return
	}
	t := at.tree
	if info, err := t.root.Lstat(t.path(at.rec)); err != nil || !info.Mode().IsRegular() {
		return // a link that somebody has put there would be linked
	}
	f, _, err := t.openFile(at.rec) // open would read it all, too
	if err != nil {
		return
	}
	defer f.Close()
	if compare(f, sum) != nil {
		return
	}
	aside := fmt.Sprintf("%s/aside-%d", r.staging, r.asides.Add(1)) // beside the files: it meets no name of the archive
	if r.store.root.Link(treesFolder+"/"+treeName(t.layer)+"/files/"+t.path(at.rec), aside) != nil {
		return
	}
	if r.store.root.Rename(aside, r.staging+"/files/"+name) != nil {
		r.store.root.Remove(aside)
		return
	}
	r.links(t.records[at.rec].size)
}

// heldFiles links small files, for one goroutine.
type heldFiles struct {
	*reuse // nil: there are none
	from   lastFolder
	buffer []byte
}

// link gives content that is held elsewhere a second name among the new files.
// It compares the bytes first: a file that rotted on disk must not become part
// of a new tree. It reports whether name is there now.
func (h *heldFiles) link(sum [sha256.Size]byte, content []byte, root *os.Root, name string, into *lastFolder) bool {
	if h.reuse == nil {
		return false
	}
	at, ok := h.bySum[sum]
	if !ok {
		return false
	}
	t := at.tree
	if t.isDamaged(at.rec) {
		return false // since bySum was made
	}
	held := t.path(at.rec)
	if !h.same(t.root, held, content) {
		return false
	}
	from, old, err := h.from.of(t.root, held)
	if err != nil {
		return false
	}
	to, base, err := into.of(root, name)
	if err != nil || unix.Linkat(from, old, to, base, 0) != nil {
		return false
	}
	h.links(int64(len(content)))
	return true
}

// same reports whether a held file has that content.
func (h *heldFiles) same(root *os.Root, name string, content []byte) bool {
	f, err := h.from.open(root, name)
	if err != nil {
		return false
	}
	defer f.Close()
	if h.buffer == nil {
		h.buffer = make([]byte, blockSize+1)
	}
	// One byte more than there should be is asked for, which a longer file has. Where
	// one call does not give it all, the file is just written anew.
	n, err := f.readOnce(h.buffer[:len(content)+1])
	return err == nil && bytes.Equal(h.buffer[:n], content)
}

func (h *heldFiles) close() { h.from.close() }

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
	dst, err := root.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, fileMode)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Chmod(fileMode), dst.Close())
}
