package store

import (
	"crypto/sha256"
	"iter"
	"maps"
	"os"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
)

// loadedTrees are the trees of the views that somebody holds: each is loaded
// once and shared.
type loadedTrees struct {
	dir   string
	found func(t *tree, rec int32) // of each tree; nil: nobody is told
	// remove removes the folder of a tree that nobody reads any more.
	remove func(path string) error

	mu    sync.Mutex
	trees map[digest.Digest]*tree
	// last is the tree that was published last, taken until somebody follows it: what
	// was just written need not be read. nil: none.
	last *tree
	// lacking is content that no tree on disk has. What is in it is guarded by searching;
	// what was published meanwhile puts another in its place.
	lacking map[[sha256.Size]byte]bool

	searching sync.Mutex // one search through the disk at a time
}

func (l *loadedTrees) init(dir string) {
	l.dir, l.trees = dir, make(map[digest.Digest]*tree)
	l.forgetLacking()
}

// acquire returns the tree of a layer; each acquire needs a release.
func (l *loadedTrees) acquire(layer digest.Digest) (*tree, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.trees[layer]
	if t == nil {
		var err error
		if t, err = openTree(l.dir, layer); err != nil {
			return nil, err
		}
		t.found = l.found
		l.trees[layer] = t
	}
	t.users++
	return t, nil
}

// published has a tree that just got its name at hand for who takes it, in place of
// the one that was published before.
func (l *loadedTrees) published(layer digest.Digest, x *index) {
	root, err := openFiles(treeFolder(l.dir, layer))
	if err != nil {
		return // who takes it will say why
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.releaseLast()
	if l.trees[layer] != nil { // somebody was faster
		root.Close()
		return
	}
	l.last = &tree{index: x, layer: layer, root: root, found: l.found, users: 1}
	l.trees[layer] = l.last
}

// forgetPublished lets go of the tree that was published last.
func (l *loadedTrees) forgetPublished() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.releaseLast()
}

func (l *loadedTrees) releaseLast() {
	if l.last != nil {
		l.releaseLocked(l.last)
		l.last = nil
	}
}

func (l *loadedTrees) release(t *tree) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.releaseLocked(t)
}

func (l *loadedTrees) releaseLocked(t *tree) {
	if t.users--; t.users > 0 {
		return
	}
	t.root.Close()
	if l.trees[t.layer] == t {
		delete(l.trees, t.layer)
	}
	if t.aside != "" {
		// Nobody waits for it. It lies in staging, so what is left goes at the next start.
		go l.remove(t.aside)
	}
}

// moved has the folder of a layer moved away, or another put in its place. Who holds
// the tree goes on reading it where it is then; who takes it from now on gets what has
// the name. Nobody takes it meanwhile: the index would be of one folder and the files
// of the other. It returns the tree that is held, nil if none is.
func (l *loadedTrees) moved(layer digest.Digest, move func() error) (*tree, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := move(); err != nil {
		return nil, err
	}
	t := l.trees[layer]
	delete(l.trees, layer)
	return t, nil
}

// unread returns what was the folder of a tree, for the caller to remove, or "" where
// somebody reads it still: then it goes with the last reader. A nil tree is one that
// nobody reads.
func (l *loadedTrees) unread(t *tree, aside string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t != nil && t.users > 0 {
		t.aside = aside
		return ""
	}
	return aside
}

// named says whether a held tree still is the one that its layer names.
func (l *loadedTrees) named(t *tree) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.trees[t.layer] == t
}

// inUse says whether a view has the tree.
func (l *loadedTrees) inUse(layer digest.Digest) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.trees[layer] != nil
}

// openCopy opens a file with the same content in another tree, or elsewhere in the
// same one: in memory, else on disk. It is the way out when a file is damaged, so it
// may take its time. The error wraps ErrNotHeld where there is none, and tells of a
// transient fault where it could not look everywhere.
func (l *loadedTrees) openCopy(sum [sha256.Size]byte) (*os.File, error) {
	if f, err := l.searchHeld(sum); err == nil {
		return f, nil
	}
	return l.searchDisk(sum)
}

// searchHeld opens a file with a content in a tree that somebody holds. It reads files,
// and nobody who takes a tree waits for that.
func (l *loadedTrees) searchHeld(sum [sha256.Size]byte) (*os.File, error) {
	held := l.acquireLoaded()
	defer func() {
		for _, t := range held {
			l.release(t)
		}
	}()
	for _, t := range held {
		if f, err := t.openContent(sum); err == nil {
			return f, nil
		}
	}
	return nil, ErrNotHeld
}

// acquireLoaded acquires all trees that somebody has; each needs a release.
func (l *loadedTrees) acquireLoaded() []*tree {
	l.mu.Lock()
	defer l.mu.Unlock()
	held := slices.Collect(maps.Values(l.trees))
	for _, t := range held {
		t.users++
	}
	return held
}

// searchDisk opens a file with a content in any tree on disk. What was not found is
// not searched for again, however often a client asks.
func (l *loadedTrees) searchDisk(sum [sha256.Size]byte) (*os.File, error) {
	l.searching.Lock()
	defer l.searching.Unlock()
	l.mu.Lock()
	lacking := l.lacking
	l.mu.Unlock()
	if lacking[sum] {
		return nil, ErrNotHeld
	}
	layers, err := layersOnDisk(l.dir)
	if err != nil {
		return nil, err
	}
	var fault error // of a tree that could not be looked at
	for _, layer := range layers {
		f, err := l.openContentOf(layer, sum)
		if err == nil {
			return f, nil
		}
		if isTransient(err) {
			fault = err
		}
	}
	if fault != nil {
		return nil, fault
	}
	lacking[sum] = true
	return nil, ErrNotHeld
}

// forgetLacking has the disk searched again: there is something new. It does not wait for
// a search that goes on, for minutes on a sick disk.
func (l *loadedTrees) forgetLacking() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lacking = make(map[[sha256.Size]byte]bool)
}

func (l *loadedTrees) openContentOf(layer digest.Digest, sum [sha256.Size]byte) (*os.File, error) {
	t, err := l.acquire(layer)
	if err != nil {
		return nil, err
	}
	defer l.release(t)
	return t.openContent(sum)
}

// openContent opens a file of the tree that has a content. The error is that of
// openCopy.
func (t *tree) openContent(sum [sha256.Size]byte) (*os.File, error) {
	why := ErrNotHeld
	for rec := range t.filesOf(sum) {
		f, err := t.openRight(rec)
		if err == nil {
			return f, nil
		}
		if isTransient(err) {
			why = err
		}
	}
	return nil, why
}

// filesOf are the records of the tree's own files, no aliases, that have a content.
func (t *tree) filesOf(sum [sha256.Size]byte) iter.Seq[int32] {
	return func(yield func(int32) bool) {
		for rec := range t.records {
			if r := &t.records[rec]; r.kind == File && r.sum == sum && r.real == int32(rec) && !yield(int32(rec)) {
				return
			}
		}
	}
}

// openRight opens the file of a record if its bytes are right: a hard link shares the
// damage of the file that a copy is looked for.
func (t *tree) openRight(rec int32) (*os.File, error) {
	f, info, err := t.openFile(rec)
	if err != nil {
		return nil, err
	}
	if info.Size() > vouchFrom {
		err = t.vouch(rec, f, info)
	} else {
		err = compare(f, t.records[rec].sum)
	}
	if err != nil {
		f.Close()
		return nil, t.cannotOpen(rec, err)
	}
	return f, nil
}
