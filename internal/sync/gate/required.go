package gate

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/specman/specman/internal/store"
)

// Required judges views, given by their releases, top first, by [Rules.RequirePaths].
// They need not be laid for that, nor all their trees be held. Each tree is looked at
// once. It is not safe for concurrent use.
type Required struct {
	paths []string
	store *store.Store
	trees map[digest.Digest][]effect // for each of paths
}

// ErrLacking is wrapped by the *[RefusedError] of a view that would lack a required path.
var ErrLacking = errors.New("the view would lack what gate.requirePaths asks for")

// effect is what a tree does to a path of a view.
type effect uint8

const (
	shows effect = iota // the path is what the trees below make it
	has
	hides // a file in the place of a folder above the path: trees below cannot have it
)

// Required returns what judges views of releases that are held in st, or learnt.
func (r *Rules) Required(st *store.Store) *Required {
	return &Required{paths: r.RequirePaths, store: st, trees: make(map[digest.Digest][]effect)}
}

// Learn looks at the tree of a layer that is not held.
func (q *Required) Learn(layer digest.Digest, t Tree) {
	effects := make([]effect, len(q.paths))
	for n, path := range q.paths {
		effects[n] = effectOf(t, strings.Trim(path, "/"))
	}
	q.trees[layer] = effects
}

func effectOf(t Tree, path string) effect {
	if t.Has(path) {
		return has
	}
	for end := strings.LastIndexByte(path, '/'); end > 0; end = strings.LastIndexByte(path[:end], '/') {
		if t.IsFile(path[:end]) {
			return hides
		}
	}
	return shows
}

// Lacking returns the required paths that a view would not serve.
func (q *Required) Lacking(view []store.Release) []string {
	var lacking []string
	for n, path := range q.paths {
		if !q.served(n, view) {
			lacking = append(lacking, path)
		}
	}
	return lacking
}

// served says whether a view would serve a path, given by its number.
func (q *Required) served(path int, view []store.Release) bool {
	for _, r := range view {
		switch q.effect(r.Layer, path) {
		case has:
			return true
		case hides:
			return false
		}
	}
	return false
}

// somewhere says whether each path is had by any of some releases, hidden or not.
func (q *Required) somewhere(releases []store.Release) bool {
	for n := range q.paths {
		if !slices.ContainsFunc(releases, func(r store.Release) bool { return q.effect(r.Layer, n) == has }) {
			return false
		}
	}
	return true
}

func (q *Required) effect(layer digest.Digest, path int) effect {
	if _, known := q.trees[layer]; !known {
		v, err := q.store.AcquireTree(layer)
		if err != nil {
			return shows // nothing can be served from it
		}
		q.Learn(layer, v)
		v.Close()
	}
	return q.trees[layer][path]
}

// Judge returns a *[RefusedError] where a view would lack a required path.
func (q *Required) Judge(view []store.Release) error {
	if lacking := q.Lacking(view); len(lacking) > 0 {
		return lack(lacking)
	}
	return nil
}

func lack(paths []string) error {
	return &RefusedError{fmt.Errorf("%w: %s", ErrLacking, strings.Join(paths, ", "))}
}

// Admit judges new releases, given top first, that are to come into a view together: one
// may bring what the view would lack with another alone. The function view returns the
// view with some of them, in whatever order, and however often, it is told of them. With
// all that are admitted the view lacks nothing, and with any other it would. Where none
// are found with whom it lacks nothing, all are refused. The errors are *[RefusedError].
func Admit[T comparable](q *Required, together []T, view func(with []T) []store.Release) (admitted []T, refused map[T]error) {
	lacking := func(with []T) []string { return q.Lacking(view(with)) }
	in := slices.Clone(together)
	if !q.somewhere(slices.Concat(view(nil), view(together))) {
		in = nil // none of them helps: there is no need to try
	}
	for len(in) > 0 && len(lacking(in)) > 0 {
		in = leaveOut(in, lacking)
	}
	beside := together
	if len(lacking(in)) == 0 {
		in = takeBack(in, together, lacking)
		beside = in
	}
	refused = make(map[T]error)
	for _, t := range together {
		if slices.Contains(in, t) {
			admitted = append(admitted, t)
		} else {
			refused[t] = lack(lacking(append(slices.Clone(beside), t)))
		}
	}
	return admitted, refused
}

// leaveOut takes out one, such that as few paths as can be are lacking without it: the
// first of those. It may not be at fault, where several hide the same path.
func leaveOut[T any](in []T, lacking func(with []T) []string) (left []T) {
	for n := range in {
		if rest := slices.Concat(in[:n], in[n+1:]); n == 0 || len(lacking(rest)) < len(lacking(left)) {
			left = rest
		}
	}
	return left
}

// takeBack adds to those with whom nothing is lacking what was left out in vain.
func takeBack[T comparable](in, all []T, lacking func(with []T) []string) []T {
	for before := -1; before != len(in); {
		before = len(in)
		for _, t := range all {
			if with := append(slices.Clone(in), t); !slices.Contains(in, t) && len(lacking(with)) == 0 {
				in = with
			}
		}
	}
	return in
}
