package gate

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/specman/specman/internal/store"
)

// ErrWritten is wrapped by the *[RefusedError] of a tree in which the command has written.
var ErrWritten = errors.New("it has written in the tree, which it must not")

// state is what shows, without reading a file, that somebody has written to it. The time
// of the last change is no part of it: another name of the file may come or go meanwhile.
type state struct {
	mode     fs.FileMode
	inode    uint64
	size     int64 // of a folder: 0
	modified int64 // likewise
}

// statesOf is the state of all that is in a folder, by path.
func statesOf(folder string) (map[string]state, error) {
	states := make(map[string]state)
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		s := state{mode: info.Mode()}
		if sys, ok := info.Sys().(*syscall.Stat_t); ok {
			s.inode = sys.Ino
		}
		if !d.IsDir() { // what comes and goes in a folder shows by itself
			s.size, s.modified = info.Size(), info.ModTime().UnixNano()
		}
		states[path[len(folder):]] = s
		return nil
	})
	return states, err
}

// changed are the paths at which there is something else than before, sorted.
func changed(before, after map[string]state) []string {
	paths := make(map[string]bool)
	for path, s := range before {
		if now, ok := after[path]; !ok || now != s {
			paths[path] = true
		}
	}
	for path := range after {
		if _, ok := before[path]; !ok {
			paths[path] = true
		}
	}
	return slices.Sorted(maps.Keys(paths))
}

// guarded runs f, which must not write in the tree. Files that did not change between two
// releases are stored once: what is written to one is written to every tree that has it.
// So the store looks at what is held of their content.
func guarded(st *store.Store, tree Tree, f func() error) error {
	folder := filepath.Clean(tree.Folder())
	before, err := statesOf(folder)
	if err != nil {
		return fmt.Errorf("look at the tree before gate.command runs: %w", err)
	}
	judgement := f()
	after, err := statesOf(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		return errors.Join(judgement, fmt.Errorf("look at the tree after gate.command ran: %w", err))
	}
	paths := changed(before, after) // what cannot be looked at any more is one of them
	if len(paths) == 0 {
		return judgement
	}
	sums := make(map[[sha256.Size]byte]bool)
	for _, path := range paths {
		if sum, ok := tree.Sum(path[min(1, len(path)):]); ok {
			sums[sum] = true
		}
	}
	st.Suspect(sums)
	return &RefusedError{fmt.Errorf("gate.command: %w: %q is not what it was%s", ErrWritten, paths[0], more(len(paths)-1))}
}

func more(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", and %d more", n)
}
