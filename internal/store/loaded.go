package store

import (
	"sync"

	"github.com/opencontainers/go-digest"
)

// loadedTrees are the trees of the views that somebody holds, or could ask
// for: each is loaded once and shared.
type loadedTrees struct {
	dir   string
	mu    sync.Mutex
	trees map[digest.Digest]*sharedTree
}

type sharedTree struct {
	*tree
	users int
}

func (l *loadedTrees) init(dir string) {
	l.dir, l.trees = dir, make(map[digest.Digest]*sharedTree)
}

// take returns the tree of a layer; each take needs a give.
func (l *loadedTrees) take(layer digest.Digest) (*tree, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.trees[layer]
	if t == nil {
		opened, err := openTree(l.dir, layer)
		if err != nil {
			return nil, err
		}
		t = &sharedTree{tree: opened}
		l.trees[layer] = t
	}
	t.users++
	return t.tree, nil
}

func (l *loadedTrees) give(layer digest.Digest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.trees[layer]
	if t.users--; t.users == 0 {
		delete(l.trees, layer)
		t.root.Close()
	}
}

// peek opens a tree and lets go of it at once.
func (l *loadedTrees) peek(layer digest.Digest) (*tree, error) {
	t, err := l.take(layer)
	if err == nil {
		l.give(layer)
	}
	return t, err
}

// inUse says whether a view has the tree.
func (l *loadedTrees) inUse(layer digest.Digest) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.trees[layer] != nil
}
