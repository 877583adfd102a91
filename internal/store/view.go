package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"sync/atomic"
	"time"
)

// View is a list of releases laid over each other: what is served, or was, or
// could be. It is immutable and safe for concurrent use. Whoever got it from
// the store holds it, and with it all its files, until Close.
type View struct {
	*overlay
	id       string
	releases []Release // top first; of each the tree with the same number

	loaded   *loadedTrees
	refs     atomic.Int64 // one is the store's own, for as long as it hands the view out
	released atomic.Bool

	began   time.Time    // since when it is served; of one that a start found there, since before that
	swapped atomic.Int64 // when it had taken the place of another, in nanoseconds since 1970; 0: not, or not safe to tell

	asked time.Time // by name, the last time; guarded by versionViews.mu
}

// Entry is one path of a view. It is a small value that stays true for as long
// as the view is held.
type Entry struct {
	Kind Kind
	Size int64             // bytes, of a file
	Sum  [sha256.Size]byte // sha256 of the content, of a file
	// ModTime is the archive's date, in whole seconds; zero where it has none.
	ModTime time.Time
	// Since is when this process began to serve this content at this path. It
	// is zero where a client that has nothing but dates could mistake it for
	// content served earlier: then no date may be sent.
	Since time.Time

	node int32
}

// ErrDamaged is returned by View.Open for a file that is not what the index
// says it is.
var ErrDamaged = errors.New("the file is damaged")

// ID returns the view's name: "v-" and 16 hex digits.
func (v *View) ID() string { return v.id }

// Releases returns the view's releases, top first. The caller must not change them.
func (v *View) Releases() []Release { return v.releases }

// Coverage returns what is served of each release, in the order of Releases.
func (v *View) Coverage() []Coverage { return v.stats }

// Skipped returns the entries of a release's archive that are not served, by the
// release's place in Releases, and how many there are, named or not.
func (v *View) Skipped(release int) (named []Skipped, total int) {
	return v.trees[release].skipped, v.trees[release].skippedTotal
}

// Links returns the symlinks of a release's archive that are served, by the
// release's place in Releases. The caller must not change them.
func (v *View) Links(release int) []Link { return v.trees[release].links }

// Files returns how many files the view serves, and how many bytes they are.
func (v *View) Files() (files int, bytes int64) { return v.files, v.bytes }

// Lookup finds a path: slash-separated, clean, without a slash at either end;
// "" is the root.
func (v *View) Lookup(path string) (Entry, bool) {
	n, ok := v.find(path)
	if !ok {
		return Entry{}, false
	}
	return v.entry(n), true
}

// Has says whether a path is served.
func (v *View) Has(path string) bool {
	_, ok := v.find(path)
	return ok
}

// IsFile says whether a path is served, and is a file.
func (v *View) IsFile(path string) bool {
	n, ok := v.find(path)
	return ok && v.nodes[n].kind(v.trees) == File
}

// Folder is the path of the files of a view of one tree; of several, of the top one.
func (v *View) Folder() string { return v.trees[0].root.Name() }

func (v *View) entry(n int32) Entry {
	nd := &v.nodes[n]
	e := Entry{Kind: Dir, node: n}
	if r := nd.record(v.trees); r != nil {
		e.Kind, e.Size, e.Sum = r.kind, r.size, r.sum
		if r.modTime != 0 {
			e.ModTime = time.Unix(r.modTime, 0).UTC()
		}
	}
	if since := v.since(nd); since != 0 {
		e.Since = time.Unix(0, since).UTC()
	}
	return e
}

// Children yields what is in a folder, by name.
func (v *View) Children(dir Entry) iter.Seq2[string, Entry] {
	return func(yield func(string, Entry) bool) {
		nd := &v.nodes[dir.node]
		for _, n := range v.children[nd.lo:nd.hi] {
			if !yield(path.Base(v.nodes[n].path(v.trees)), v.entry(n)) {
				return
			}
		}
	}
}

// All yields every path of the view but the root, in no particular order.
func (v *View) All() iter.Seq2[string, Entry] {
	return func(yield func(string, Entry) bool) {
		for n := 1; n < len(v.nodes); n++ {
			if !yield(v.nodes[n].path(v.trees), v.entry(int32(n))) {
				return
			}
		}
	}
}

// Release returns the release that an entry comes from: for a folder, the
// upper one of those that have it; for the root, the top of the view.
func (v *View) Release(e Entry) *Release {
	return &v.releases[max(v.nodes[e.node].tree, 0)]
}

// Open opens a file of the view. A file that is known to be damaged is opened
// where another tree has the same content; the error wraps ErrDamaged
// where there is none, and where the file turns out to be gone or of another
// size than was published.
func (v *View) Open(e Entry) (*os.File, error) {
	nd := &v.nodes[e.node]
	if e.Kind != File {
		return nil, fmt.Errorf("open %q: is a folder", nd.path(v.trees))
	}
	t := v.trees[nd.tree]
	f, err := t.open(t.records[nd.rec].real)
	if errors.Is(err, ErrDamaged) {
		if f, err := v.loaded.openCopy(e.Sum); err == nil {
			return f, nil
		}
	}
	return f, err
}

// OpenOwn opens a file of a release of the view, by the release's place in Releases,
// whether what lies above lets it be seen or not. The error wraps [fs.ErrNotExist] where
// the release has no such file.
func (v *View) OpenOwn(release int, path string) (*os.File, error) {
	t := v.trees[release]
	rec, ok := t.find(path)
	if !ok || t.records[rec].kind != File {
		return nil, fmt.Errorf("open %q in tree %s: %w", path, t.layer, fs.ErrNotExist)
	}
	return t.open(t.records[rec].real)
}

// Read reads a file of the view into content, which is of its size, and compares it
// with what was published. The error wraps ErrDamaged where that of Open does, where
// the bytes are others, and where the disk does not give them.
func (v *View) Read(e Entry, content []byte) error {
	f, err := v.Open(e)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.ReadFull(f, content); err != nil {
		return fmt.Errorf("read %q: %w", f.Name(), asDamage(err))
	}
	if sha256.Sum256(content) != e.Sum {
		return fmt.Errorf("read %q: %w: its sha256 is not the published one", f.Name(), ErrDamaged)
	}
	return nil
}

// Close ends the hold. The view and its entries must not be used after it.
func (v *View) Close() {
	// A reader that lost the race with a swap may count up and down once more
	// after the last holder: the trees are given back only once.
	if v.refs.Add(-1) == 0 && v.released.CompareAndSwap(false, true) {
		for _, t := range v.trees {
			v.loaded.release(t)
		}
	}
}
