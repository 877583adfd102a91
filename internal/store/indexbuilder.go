package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// indexBuilder collects the paths of a tree while it is unpacked, in any order; a
// later fact about a path replaces an earlier one. It is not safe for concurrent
// use.
type indexBuilder struct {
	entries      map[string]*builderEntry
	links        []Link
	skipped      []Skipped
	skippedTotal int
}

type builderEntry struct {
	sum     [sha256.Size]byte
	size    int64
	modTime int64
	kind    Kind
	target  string // of an alias
}

func newIndexBuilder(size int) *indexBuilder {
	return &indexBuilder{entries: make(map[string]*builderEntry, size)}
}

func (b *indexBuilder) dir(name string, modTime int64) error {
	if e := b.entries[name]; e != nil && e.kind != Dir {
		return fmt.Errorf("%q is a file and a folder", name)
	}
	b.entries[name] = &builderEntry{kind: Dir, modTime: modTime}
	return nil
}

func (b *indexBuilder) file(name string, modTime, size int64, sum [sha256.Size]byte) error {
	if size < 0 {
		return fmt.Errorf("%q has no size", name)
	}
	if e := b.entries[name]; e != nil && e.kind != File {
		return fmt.Errorf("%q is a file and a folder", name)
	}
	b.entries[name] = &builderEntry{kind: File, modTime: modTime, size: size, sum: sum}
	return nil
}

// alias makes name show what target, a path that is no alias, has.
func (b *indexBuilder) alias(name, target string) error {
	e := b.entries[target]
	if e == nil || e.target != "" {
		return fmt.Errorf("%q is an alias of %q, which is no path of the tree", name, target)
	}
	a := *e
	a.target = target
	b.entries[name] = &a
	return nil
}

// finish sorts what was collected into an index and lets go of the rest.
func (b *indexBuilder) finish() (*index, error) {
	names := make([]string, 0, len(b.entries))
	var total int
	for name := range b.entries {
		if len(name) > math.MaxUint16 {
			return nil, fmt.Errorf("a path of %d bytes is too long", len(name))
		}
		names = append(names, name)
		total += len(name)
	}
	if total > math.MaxUint32 || len(names) > math.MaxInt32 {
		return nil, errors.New("too many paths for one tree")
	}
	slices.Sort(names)
	x := &index{
		names:        strings.Join(names, ""),
		records:      make([]record, 0, len(names)),
		links:        b.links,
		skipped:      b.skipped,
		skippedTotal: b.skippedTotal,
	}
	var off uint32
	for n, name := range names {
		e := b.entries[name]
		if parent, _, ok := cutLast(name); ok {
			if p := b.entries[parent]; p == nil || p.kind != Dir {
				return nil, fmt.Errorf("%q lies in no folder", name)
			}
		}
		x.records = append(x.records, record{
			sum: e.sum, size: e.size, modTime: e.modTime, kind: e.kind,
			off: off, len: uint16(len(name)), real: int32(n),
		})
		off += uint32(len(name))
		if e.kind == File {
			x.files++
			if e.target == "" {
				x.bytes += e.size
			}
		}
	}
	for n, name := range names {
		if target := b.entries[name].target; target != "" {
			x.records[n].real, _ = x.find(target)
		}
	}
	b.entries = nil
	return x, nil
}

// cutLast splits a path at its last slash; ok is false for a top-level name.
func cutLast(path string) (parent, name string, ok bool) {
	n := strings.LastIndexByte(path, '/')
	if n < 0 {
		return "", path, false
	}
	return path[:n], path[n+1:], true
}
