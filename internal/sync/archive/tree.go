package archive

import (
	"strconv"
	"strings"
	"time"
)

// kind is what a path of the tree is at present.
type kind uint8

const (
	folder  kind = iota
	file         // a regular file or a hard link to one
	link         // a symlink; what it leads to is known only at the end
	skipped      // not served, whatever the rest of the archive brings
)

// node is a path of the tree. It names its folder by number and itself by the
// last part of its path, so that memory is bounded by the number of nodes even
// where all paths are long.
type node struct {
	name string
	size int64 // of a file

	parent     int32
	firstChild int32 // of a folder; 0: none, since the root is nobody's child
	next       int32 // sibling

	kind     kind
	why      skipReason // of what is skipped
	typeflag byte       // of what is skipped for its type
	onPath   bool       // see aliases
}

// symlink is what is known of a node of kind link beside its path.
type symlink struct {
	target  string // as in the archive
	modTime time.Time

	walked walked
	why    skipReason // why it is not served
	hops   uint8      // symlinks that are followed on the way, itself included
	to     int32      // the file or folder that it leads to, if that is none of them
}

// skipReason says why a path is not served.
type skipReason uint8

const (
	served skipReason = iota
	isCharDevice
	isBlockDevice
	isFifo
	isUnknown
	linksToSkipped
	isAbsolute // from here on of symlinks
	leadsOutside
	leadsNowhere
	leadsInCircles
	leadsToSkipped
	leadsToOwnFolder
)

func (why skipReason) String() string {
	switch why {
	case isCharDevice:
		return "character device"
	case isBlockDevice:
		return "block device"
	case isFifo:
		return "named pipe"
	case linksToSkipped:
		return "hard link to an entry that is skipped"
	case isAbsolute:
		return "is absolute; make it relative"
	case leadsOutside:
		return "leads out of the archive"
	case leadsNowhere:
		return "leads to nothing in the archive"
	case leadsInCircles:
		return "leads through too many symlinks, or in a circle"
	case leadsToSkipped:
		return "leads to an entry that is skipped"
	case leadsToOwnFolder:
		return "leads to a folder that contains it"
	}
	return "entry of an unknown type"
}

const root int32 = 0

// place is where a name lies: the key of the index.
type place struct {
	folder int32
	name   string
}

// tree holds the paths of an archive, as the entries read so far have left
// them. A folder stays a folder; files, links and skipped entries may become
// each other.
type tree struct {
	nodes []node // in the order of their first appearance; the root first
	index map[place]int32
	links map[int32]*symlink // by node, for those of kind link

	files, folders int   // of each kind at present, the root not counted
	bytes          int64 // of files
	targetBytes    int   // of links

	// Most entries lie in the same folder as the one before.
	lastPath   string
	lastFolder int32
}

func newTree() *tree {
	return &tree{
		nodes:    []node{{name: ".", kind: folder}},
		index:    make(map[place]int32),
		links:    make(map[int32]*symlink),
		lastPath: ".",
	}
}

// others counts the paths that are no files.
func (t *tree) others() int { return len(t.nodes) - 1 - t.files }

// add makes a node; its kind is still to be set unless it is a folder.
func (t *tree) add(parent int32, name string, k kind) int32 {
	id := int32(len(t.nodes))
	name = strings.Clone(name) // not to keep the whole path
	t.nodes = append(t.nodes, node{name: name, parent: parent, next: t.nodes[parent].firstChild, kind: k})
	t.nodes[parent].firstChild = id
	t.index[place{parent, name}] = id
	if k == folder {
		t.folders++
	}
	return id
}

// find looks a clean path up without following symlinks.
func (t *tree) find(name string) (id int32, ok bool) {
	if name == "." {
		return root, true
	}
	id = root
	for part := range strings.SplitSeq(name, "/") {
		if id, ok = t.index[place{id, part}]; !ok {
			return 0, false
		}
	}
	return id, true
}

// path is the clean path of a node.
func (t *tree) path(id int32) string {
	if id == root {
		return "."
	}
	length, depth := -1, 0
	for at := id; at != root; at = t.nodes[at].parent {
		length += 1 + len(t.nodes[at].name)
		depth++
	}
	path := make([]byte, length)
	end := length
	for at := id; at != root; at = t.nodes[at].parent {
		end -= copy(path[end-len(t.nodes[at].name):], t.nodes[at].name)
		if end > 0 {
			end--
			path[end] = '/'
		}
	}
	return string(path)
}

// clear takes back what the node counted for as what it was, before it becomes
// something else.
func (t *tree) clear(id int32) {
	n := &t.nodes[id]
	switch n.kind {
	case file:
		t.files--
		t.bytes -= n.size
		n.size = 0
	case link:
		t.targetBytes -= len(t.links[id].target)
		delete(t.links, id)
	}
	n.kind, n.why, n.typeflag = skipped, isUnknown, 0
}

func (t *tree) setFile(id int32, size int64) {
	t.clear(id)
	t.nodes[id].kind = file
	t.nodes[id].size = size
	t.files++
	t.bytes += size
}

func (t *tree) setLink(id int32, target string, modTime time.Time) {
	t.clear(id)
	t.nodes[id].kind = link
	t.links[id] = &symlink{target: target, modTime: modTime}
	t.targetBytes += len(target)
}

func (t *tree) setSkipped(id int32, why skipReason, typeflag byte) {
	t.clear(id)
	t.nodes[id].why = why
	t.nodes[id].typeflag = typeflag
}

// skips calls report for each path that is not served, in the order of the
// archive, with a reason that is safe to print.
func (t *tree) skips(report func(name, reason string)) {
	for i := range t.nodes {
		id, n := int32(i), &t.nodes[i]
		switch n.kind {
		case skipped:
			reason := n.why.String()
			if n.why == isUnknown {
				reason += " " + strconv.QuoteRune(rune(n.typeflag))
			}
			report(t.path(id), reason)
		case link:
			if l := t.links[id]; l.why != served {
				report(t.path(id), "symlink to "+quote(l.target)+" "+l.why.String())
			}
		}
	}
}
