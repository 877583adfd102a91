package store

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
)

// overlay is a list of trees laid over each other, the first on top: one table
// from path to what is served there.
//
// Trees are laid as folders are copied over each other from the lowest to the
// highest: folders merge, an upper file replaces what is below it, a folder
// whole, and an upper folder replaces a file.
type overlay struct {
	trees    []*tree
	byPath   pathTable // of nodes; "" is the root, node 0
	nodes    []node
	children []int32 // numbers of nodes, those of one folder side by side, by name
	files    int
	bytes    int64
	stats    []Coverage // per tree
}

// node is one served path of a view. It holds no pointer.
type node struct {
	tree, rec int32 // rec -1: a folder of which no tree has a record: the root
	lo, hi    int32 // a folder's children
	since     int64 // since when the content is served here: see View.date
}

// Coverage says what became of one release's files in a view.
type Coverage struct {
	Served  int `json:"served"`  // files served from this release
	Covered int `json:"covered"` // files hidden by a release above
	// Differs counts those of the covered whose path serves other content, or none.
	Differs int `json:"coveredByOtherContent"`
}

func newOverlay(trees []*tree) *overlay {
	size := 1
	for _, t := range trees {
		size = max(size, len(t.records)+1)
	}
	o := &overlay{
		trees:  trees,
		byPath: newPathTable(size),
		nodes:  make([]node, 1, size),
		stats:  make([]Coverage, len(trees)),
	}
	o.nodes[0] = node{tree: -1, rec: -1}
	o.byPath.add(0, o.path)
	// blockers are files that a folder above hides. They still hide what lies
	// below them, as they would if the trees were copied one over the other.
	blockers := make(map[string]bool)
	for n, t := range trees {
		o.lay(int32(n), t, blockers)
	}
	o.link()
	return o
}

// lay puts tree number n below what is there. Records come sorted, so that a
// folder comes before what is in it.
func (o *overlay) lay(n int32, t *tree, blockers map[string]bool) {
	hidden := make(map[string]bool) // folders of this tree below a file of a tree above
	newBlockers := make(map[string]bool)
	for rec := range t.records {
		r, path := &t.records[rec], t.path(int32(rec))
		above := o.served(path)
		if len(hidden) > 0 {
			if parent, _, ok := cutLast(path); ok && hidden[parent] {
				o.cover(n, r, above) // a tree above that file may have the path, too
				hidden[path] = r.kind == Dir
				continue
			}
		}
		if above != nil {
			switch {
			case r.kind == File:
				o.cover(n, r, above)
				if above.kind == Dir {
					newBlockers[path] = true
				}
			case above.kind == File || blockers[path]:
				hidden[path] = true
			}
			continue
		}
		o.nodes = append(o.nodes, node{tree: n, rec: int32(rec)})
		o.byPath.add(int32(len(o.nodes)-1), o.path)
		if r.kind == File {
			o.stats[n].Served++
			o.files++
			o.bytes += r.size
		}
	}
	for path := range newBlockers {
		blockers[path] = true
	}
}

// served is what is served at a path below the root, nil if nothing is.
func (o *overlay) served(path string) *record {
	if at, ok := o.find(path); ok {
		return o.nodes[at].record(o.trees)
	}
	return nil
}

// cover counts a file of tree n that is not served; by is what is served at
// its path, nil if nothing is.
func (o *overlay) cover(n int32, r, by *record) {
	if r.kind != File {
		return
	}
	o.stats[n].Covered++
	if by == nil || by.kind != File || by.sum != r.sum {
		o.stats[n].Differs++
	}
}

// link gives each folder its children, sorted by name.
func (o *overlay) link() {
	parents := make([]int32, len(o.nodes))
	for n := 1; n < len(o.nodes); n++ {
		parent, _, _ := cutLast(o.path(int32(n)))
		parents[n], _ = o.find(parent) // each folder on the way has a node
		o.nodes[parents[n]].hi++
	}
	var next int32
	for n := range o.nodes {
		count := o.nodes[n].hi
		o.nodes[n].lo, o.nodes[n].hi = next, next
		next += count
	}
	o.children = make([]int32, next)
	for n := 1; n < len(o.nodes); n++ {
		p := &o.nodes[parents[n]]
		o.children[p.hi] = int32(n)
		p.hi++
	}
	for n := range o.nodes {
		slices.SortFunc(o.children[o.nodes[n].lo:o.nodes[n].hi], func(a, b int32) int {
			return strings.Compare(o.path(a), o.path(b))
		})
	}
}

// find returns the number of the node at a path.
func (o *overlay) find(path string) (int32, bool) { return o.byPath.find(path, o.path) }

// path is the path of a node, "" of the root.
func (o *overlay) path(n int32) string { return o.nodes[n].path(o.trees) }

func (n *node) record(trees []*tree) *record {
	if n.rec < 0 {
		return nil
	}
	return &trees[n.tree].records[n.rec]
}

func (n *node) path(trees []*tree) string {
	if n.rec < 0 {
		return ""
	}
	return trees[n.tree].path(n.rec)
}

func (n *node) kind(trees []*tree) Kind {
	if r := n.record(trees); r != nil {
		return r.kind
	}
	return Dir
}

// viewID names a view by the releases in it, top first: the same on every
// replica that serves them in that order.
func viewID(releases []Release) string {
	sum := sha256.New()
	for n := range releases {
		r := &releases[n]
		fmt.Fprintf(sum, "%s %s %s %s\n", r.Source, r.Tag, r.Manifest, r.Layer)
	}
	return fmt.Sprintf("v-%x", sum.Sum(nil)[:8])
}
