package store

import "hash/maphash"

// pathTable finds nodes by their paths. It holds nothing but the nodes' numbers:
// the paths are in the trees already. A map from path to number would take five
// times as much, some 30 bytes a file more.
type pathTable struct {
	seed  maphash.Seed
	slots []int32 // number of a node + 1; 0: free; a power of two of them
	used  int
}

func newPathTable(size int) pathTable {
	slots := 8
	for slots*3/4 < size {
		slots *= 2
	}
	return pathTable{seed: maphash.MakeSeed(), slots: make([]int32, slots)}
}

// find returns the node with a path; pathOf tells a node's path.
func (t *pathTable) find(path string, pathOf func(node int32) string) (node int32, ok bool) {
	mask := uint64(len(t.slots) - 1)
	for at := maphash.String(t.seed, path) & mask; ; at = (at + 1) & mask {
		n := t.slots[at] - 1
		if n < 0 {
			return 0, false
		}
		if pathOf(n) == path {
			return n, true
		}
	}
}

// add puts in a node whose path is not in the table.
func (t *pathTable) add(node int32, pathOf func(node int32) string) {
	if t.used++; t.used > len(t.slots)*3/4 {
		old := t.slots
		t.slots = make([]int32, 2*len(old))
		for _, slot := range old {
			if slot > 0 {
				t.put(slot-1, pathOf)
			}
		}
	}
	t.put(node, pathOf)
}

func (t *pathTable) put(node int32, pathOf func(node int32) string) {
	mask := uint64(len(t.slots) - 1)
	at := maphash.String(t.seed, pathOf(node)) & mask
	for t.slots[at] > 0 {
		at = (at + 1) & mask
	}
	t.slots[at] = node + 1
}
