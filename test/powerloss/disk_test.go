package powerloss

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// node is a file, a folder or a symlink, whatever its names.
type node struct {
	folder bool
	target string // of a symlink
	number int    // in the order of making, for messages
}

// place is where a name can be: a folder and the name in it.
type place struct {
	folder *node
	name   string
}

// entry says that a name begins, or ceases (node nil), to be a node's.
type entry struct {
	place
	node *node
}

// operation is one change of the disk, or one flush. It changes names or the
// content of one file, never both.
type operation struct {
	what string // for people

	names []entry // changed together or not at all

	file *node // whose content is changed
	off  int64
	data []byte
	size int64 // that the file is cut or grown to; -1: as data makes it

	flush  bool
	covers *node // by the flush; nil: everything
	began  int   // how many operations had ended when the flush began
}

// blob is the content of a file at some moment. It is never changed.
type blob struct {
	data []byte
	sum  [sha256.Size]byte
}

func newBlob(data []byte) *blob { return &blob{data, sha256.Sum256(data)} }

// history is what happened to a disk, in order.
type history struct {
	root       *node
	operations []operation
	nodes      int
	contents   map[*node][]*blob // after each operation on the file
}

func newHistory() *history {
	h := &history{contents: make(map[*node][]*blob)}
	h.root = h.node(node{folder: true})
	return h
}

func (h *history) node(n node) *node {
	h.nodes++
	n.number = h.nodes
	return &n
}

func (h *history) add(op operation) {
	h.operations = append(h.operations, op)
	if op.file != nil {
		h.contents[op.file] = append(h.contents[op.file], newBlob(op.change(h.content(op.file, len(h.contents[op.file])).data)))
	}
}

var emptyBlob = newBlob(nil)

// content is what a file holds after so many operations on it.
func (h *history) content(file *node, operations int) *blob {
	if operations == 0 {
		return emptyBlob
	}
	return h.contents[file][operations-1]
}

// change returns what a file holds after the operation that held old before it.
func (op *operation) change(old []byte) []byte {
	size := op.size
	if size < 0 {
		size = max(int64(len(old)), op.off+int64(len(op.data)))
	}
	b := make([]byte, size)
	copy(b, old)
	copy(b[min(op.off, size):], op.data)
	return b
}

// disk is what a disk holds at one moment.
type disk struct {
	root    *node
	names   map[place]*node
	content map[*node]*blob // nil: empty
}

func newDisk(root *node) *disk {
	return &disk{root: root, names: make(map[place]*node), content: make(map[*node]*blob)}
}

func (d *disk) rename(names []entry) {
	for _, e := range names {
		if e.node == nil {
			delete(d.names, e.place)
		} else {
			d.names[e.place] = e.node
		}
	}
}

func (d *disk) holds(file *node) *blob {
	if b := d.content[file]; b != nil {
		return b
	}
	return emptyBlob
}

// tree returns what can be reached from the root: each path and what is there.
func (d *disk) tree() map[string]*node {
	below := make(map[*node][]place)
	for p := range d.names {
		below[p.folder] = append(below[p.folder], p)
	}
	found := make(map[string]*node)
	var walk func(path string, folder *node)
	walk = func(path string, folder *node) {
		for _, p := range below[folder] {
			n := d.names[p]
			found[filepath.Join(path, p.name)] = n
			if n.folder {
				walk(filepath.Join(path, p.name), n)
			}
		}
	}
	walk("", d.root)
	return found
}

// build makes below dir what can be reached from the root; a file with several
// names is one file.
func (d *disk) build(dir string) error {
	tree := d.tree()
	made := make(map[*node]string)
	for _, path := range slices.Sorted(maps.Keys(tree)) {
		n, at := tree[path], filepath.Join(dir, path)
		var err error
		switch first, there := made[n]; {
		case n.folder:
			err = os.Mkdir(at, 0o755)
		case n.target != "":
			err = os.Symlink(n.target, at)
		case there:
			err = os.Link(first, at)
		default:
			err = writeFile(at, d.holds(n).data)
			made[n] = at
		}
		if err != nil {
			return fmt.Errorf("build a state of the disk: %w", err)
		}
	}
	return nil
}

// writeFile writes zeros, such as the store's spare, as a hole.
func writeFile(path string, data []byte) error {
	if bytes.Count(data, []byte{0}) < len(data) {
		return os.WriteFile(path, data, 0o644)
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(int64(len(data))), f.Close())
}
