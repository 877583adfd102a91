package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// Staging is a tree that is being unpacked. Its methods but Publish, Discard
// and Open are what an archive reader calls, from one goroutine. It must end
// with Publish or Discard.
type Staging struct {
	store   *Store
	layer   digest.Digest
	folder  string // below the store's folder: staging/<unique>
	files   *os.Root
	parent  lastFolder // of the last folder
	index   *indexBuilder
	sealed  *index
	writers *writers
	reuse   *reuse // nil: nothing is held that could be
	flusher *flusher
}

// NewStaging begins a tree for a layer. The layer is empty where its digest is
// known only at the end of the stream; Identify names it then.
func (s *Store) NewStaging(layer digest.Digest) (*Staging, error) {
	if layer != "" {
		if err := layer.Validate(); err != nil {
			return nil, fmt.Errorf("unpack layer %q: %w", layer, err)
		}
	}
	path, err := os.MkdirTemp(s.staging(), "tree-*")
	if err != nil {
		return nil, fmt.Errorf("make a staging folder: %w", spaceError(err))
	}
	st := &Staging{store: s, layer: layer, folder: filepath.Join(stagingFolder, filepath.Base(path)), index: newIndexBuilder(0)}
	err = func() (err error) {
		if err = os.Chmod(path, folderMode); err != nil { // whatever the umask
			return err
		}
		if st.flusher, err = newFlusher(path); err != nil {
			return err
		}
		files := filepath.Join(path, "files")
		if err = errors.Join(os.Mkdir(files, folderMode), os.Chmod(files, folderMode)); err != nil {
			return err
		}
		st.files, err = os.OpenRoot(files)
		return err
	}()
	if err != nil {
		st.Discard()
		return nil, fmt.Errorf("make a staging folder: %w", spaceError(err))
	}
	st.reuse = s.reusable(st.folder)
	st.writers = startWriters(st.files, st.reuse, s.checkReserve)
	return st, nil
}

// Dir makes a folder, or dates one that is there. Its parent must be there.
func (st *Staging) Dir(name string, modTime time.Time) error {
	if st.index.entries[name] == nil {
		if err := st.parent.mkdir(st.files, name); err != nil {
			return st.failed("make folder", name, err)
		}
	}
	return st.index.dir(name, seconds(modTime))
}

// File writes a file of size bytes; it replaces one of that name.
func (st *Staging) File(name string, modTime time.Time, size int64, content io.Reader) error {
	if st.index.entries[name] != nil {
		if err := st.Remove(name); err != nil {
			return err
		}
	}
	if err := st.index.file(name, seconds(modTime), size, [32]byte{}); err != nil {
		return err
	}
	entry := st.index.entries[name]
	reading, writing := st.writers.write(name, size, content, &entry.sum)
	if writing != nil {
		return st.failed("write", name, writing)
	}
	return reading
}

// HardLink makes name the same file as target, which must be one.
func (st *Staging) HardLink(name, target string) error {
	if err := st.writers.wait(); err != nil {
		return st.failed("write", target, err)
	}
	t := st.index.entries[target]
	if t == nil || t.kind != File {
		return fmt.Errorf("link %q to %q: that is no file of the tree", name, target)
	}
	if st.index.entries[name] != nil {
		if err := st.Remove(name); err != nil {
			return err
		}
	}
	err := st.files.Link(target, name)
	if cannotLink(err) {
		err = copyFile(st.files, target, name)
	}
	if err != nil {
		return st.failed("link", name, err)
	}
	return st.index.file(name, t.modTime, t.size, t.sum)
}

// Remove takes out a file because a later entry of the archive replaces it.
func (st *Staging) Remove(name string) error {
	if err := st.writers.wait(); err != nil {
		return st.failed("write", name, err)
	}
	if err := st.files.Remove(name); err != nil {
		return st.failed("replace", name, err)
	}
	delete(st.index.entries, name)
	return nil
}

// Symlink keeps a link of the archive for people who look at the files; what
// is served through it is told by Alias.
func (st *Staging) Symlink(name, target string, modTime time.Time) error {
	if err := st.files.Symlink(target, name); err != nil {
		return st.failed("link", name, err)
	}
	st.index.links = append(st.index.links, Link{Name: name, Target: target, modTime: seconds(modTime)})
	return nil
}

// Alias serves at name what target, a file or folder of the tree, has.
func (st *Staging) Alias(name, target string, _ bool) error {
	if err := st.writers.wait(); err != nil {
		return st.failed("write", target, err)
	}
	return st.index.alias(name, target)
}

// Skip notes entries of the archive that are not served. Total counts also
// those that are not named.
func (st *Staging) Skip(named []Skipped, total int) {
	st.index.skipped, st.index.skippedTotal = named, total
}

// Identify says whose tree it is, where NewStaging could not be told.
func (st *Staging) Identify(layer digest.Digest) error {
	if err := layer.Validate(); err != nil {
		return fmt.Errorf("unpack layer %q: %w", layer, err)
	}
	st.layer = layer
	return nil
}

// Seal ends the writing: after it the staged tree can be read.
func (st *Staging) Seal() error {
	if st.sealed != nil {
		return nil
	}
	err := st.writers.close()
	st.writers = nil
	if err != nil {
		return fmt.Errorf("write the tree of %s: %w", st.layer, spaceError(err))
	}
	st.sealed, err = st.index.finish()
	return err
}

// Open opens a file of the sealed tree.
func (st *Staging) Open(name string) (*os.File, error) {
	n, ok := st.sealed.find(name)
	if !ok || st.sealed.records[n].kind != File {
		return nil, fmt.Errorf("open %q in the staged tree: %w", name, fs.ErrNotExist)
	}
	return st.files.Open(st.sealed.path(st.sealed.records[n].real))
}

// Shares says what of the tree needs no space of its own, because files that are held
// already get another name: how many inodes, and bytes as file systems count them. It
// goes on being told after Discard.
func (st *Staging) Shares() (files, bytes int64) {
	if st.reuse == nil {
		return 0, 0
	}
	if on := fileSystem(st.store.dir); on != 0 && on != unix.TMPFS_MAGIC { // where a name takes an inode, too
		files = st.reuse.linked.Load()
	}
	return files, st.reuse.linkedBytes.Load()
}

// CountShared counts, for Shares, a file that does not come any more because the tree was
// given up.
func (st *Staging) CountShared(sum [sha256.Size]byte, size int64) {
	if st.reuse == nil {
		return
	}
	if _, held := st.reuse.bySum[sum]; held {
		st.reuse.links(size)
	}
}

// Folder is the path of the sealed tree's files.
func (st *Staging) Folder() string { return filepath.Join(st.store.dir, st.folder, "files") }

// Files returns how many files the sealed tree serves, and their bytes on disk.
func (st *Staging) Files() (files int, bytes int64) { return st.sealed.files, st.sealed.bytes }

// Publish makes the tree durable and gives it its final name. After an error nothing is
// published, or, where only the last flush failed, what is will be found by who looks
// for the layer again. Either way the staging is ended.
func (st *Staging) Publish() error {
	defer st.Discard()
	if st.folder == "" {
		return fmt.Errorf("publish the tree of %s: it was given up", st.layer)
	}
	if err := st.Seal(); err != nil {
		return err
	}
	if err := st.layer.Validate(); err != nil {
		return fmt.Errorf("publish a tree without a layer: %w", err)
	}
	if err := st.writeIndex(); err != nil {
		return fmt.Errorf("write the index of %s: %w", st.layer, spaceError(err))
	}
	step("tree: written")
	err := st.flusher.flush()
	st.flusher = nil
	if err != nil {
		return fmt.Errorf("make the tree of %s durable: %w", st.layer, spaceError(err))
	}
	step("tree: flushed")
	given, err := st.store.publish(st.folder, st.layer, st.sealed)
	if given {
		st.folder = "" // what has this name now, if anything, is what may still be read
	}
	return err
}

// writeIndex writes as it goes: the index of a large tree is not held as text too.
func (st *Staging) writeIndex() error {
	f, err := os.OpenFile(filepath.Join(st.store.dir, st.folder, "index"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(st.sealed.write(f), f.Chmod(0o644), f.Close())
}

// Discard throws the tree away, unless it is published.
func (st *Staging) Discard() {
	if st.writers != nil {
		st.writers.close()
		st.writers = nil
	}
	if st.flusher != nil {
		st.flusher.close()
		st.flusher = nil
	}
	st.parent.close()
	if st.files != nil {
		st.files.Close()
	}
	if st.folder != "" {
		_ = st.store.removeAside(filepath.Join(st.store.dir, st.folder))
		st.folder = ""
	}
}

func (st *Staging) failed(doing, name string, err error) error {
	return fmt.Errorf("%s %q in the staging folder: %w", doing, name, spaceError(err))
}

// seconds is the date that an index keeps: 0 for none.
func seconds(t time.Time) int64 {
	if t.IsZero() || t.Unix() == math.MinInt64 {
		return 0
	}
	return t.Unix()
}

// Has says whether the sealed tree serves a path.
func (st *Staging) Has(name string) bool {
	_, ok := st.sealed.find(name)
	return ok
}

// IsFile says whether the sealed tree serves a path, and it is a file.
func (st *Staging) IsFile(name string) bool {
	n, ok := st.sealed.find(name)
	return ok && st.sealed.records[n].kind == File
}
