package store

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
)

// Condition tells what is known to be wrong with the tree of a layer: how many of its
// files are damaged, or that it is lost, and nothing of it can be served. It looks at the
// folder and at what was noted there: to load the trees of all that is held takes longer
// than whoever asks will wait.
func (p *Snapshot) Condition(layer digest.Digest) (damaged int, lost bool) {
	folder := treeFolder(p.store.dir, layer)
	for _, name := range []string{"index", "files"} {
		if _, err := os.Lstat(filepath.Join(folder, name)); errors.Is(err, fs.ErrNotExist) {
			return 0, true
		}
	}
	data, err := readSealed(filepath.Join(folder, damageFile))
	lines, whole := unseal(data)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return p.store.unnoted(layer)
	case err != nil || !whole:
		return 1, false // at least: nobody knows what was noted
	}
	damaged = bytes.Count(lines, []byte("\n"))
	return damaged, damaged == 0
}

// unnoted is Condition for a tree of which nothing is noted, as on a read-only volume.
func (s *Store) unnoted(layer digest.Digest) (damaged int, lost bool) {
	if !s.repairs.has(layer) {
		return 0, false
	}
	t, err := s.loaded.acquire(layer)
	if err != nil {
		return 0, !isTransient(err)
	}
	defer s.loaded.release(t)
	if found := t.damaged.Load(); found != nil {
		damaged = len(*found)
	}
	return damaged, false
}
