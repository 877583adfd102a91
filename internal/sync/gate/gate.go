// Package gate holds back a release that is whole, and yet not what the site meant to
// serve. It judges whatever comes in, from a registry or by hand: a tar made one folder
// up is as easily imported as pushed.
package gate

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/specman/specman/internal/store"
)

// Rules are what a release must pass beside being whole.
type Rules struct {
	// MaxVanishedPercent refuses a release by which more than that per cent of
	// the files of the tag's last release would disappear; 0: off.
	MaxVanishedPercent int
	// RequirePaths are paths that the resulting view must hold.
	RequirePaths []string
	// Command is run with the path of the tree's files as its last argument.
	Command []string
	// Timeout bounds Command.
	Timeout time.Duration
}

// Any says whether there is any rule.
func (r *Rules) Any() bool {
	return r.MaxVanishedPercent > 0 || len(r.RequirePaths) > 0 || len(r.Command) > 0
}

// Tree is what is judged: it is staged and sealed, or held under another name.
type Tree interface {
	// Has says whether a path would be served.
	Has(name string) bool
	// IsFile says whether it would, and is a file.
	IsFile(name string) bool
	// Sum is the published sha256 of a file.
	Sum(name string) (sum [sha256.Size]byte, ok bool)
	// Folder is the path of the files.
	Folder() string
}

// Candidate is a release that may come into the view, with what it is judged by.
type Candidate struct {
	Tree Tree
	Last digest.Digest // layer of the tag's last release; empty: there is none
}

// RefusedError says that a rule holds a release back, and why.
type RefusedError struct{ Err error }

func (e *RefusedError) Error() string { return e.Err.Error() }
func (e *RefusedError) Unwrap() error { return e.Err }

// Judge returns a *[RefusedError] where c must not become part of any view, and another
// error where the command has not judged: the context's, or why it cannot be started.
// What the view must hold is for [Required] to judge: that may be another release's.
func (r *Rules) Judge(ctx context.Context, st *store.Store, c Candidate) error {
	if err := r.vanished(st, c); err != nil {
		return &RefusedError{err}
	}
	if len(r.Command) == 0 {
		return nil
	}
	return guarded(st, c.Tree, func() error { return r.command(ctx, c.Tree.Folder()) })
}

func (r *Rules) vanished(st *store.Store, c Candidate) error {
	if r.MaxVanishedPercent == 0 || c.Last == "" {
		return nil
	}
	last, err := st.AcquireTree(c.Last)
	if err != nil {
		return nil // nothing to compare with: it is damaged, and about to be replaced
	}
	defer last.Close()
	var total, gone int
	for name, e := range last.All() {
		if e.Kind != store.File {
			continue
		}
		total++
		if !c.Tree.Has(name) {
			gone++
		}
	}
	if gone*100 > r.MaxVanishedPercent*total {
		return fmt.Errorf("%d of the %d files of its last release would vanish, more than gate.maxVanishedPercent (%d) allows: was the archive made in another folder?",
			gone, total, r.MaxVanishedPercent)
	}
	return nil
}
