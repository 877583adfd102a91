package powerloss

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// cut is a moment at which the power goes: so many operations have ended.
type cut struct {
	*history
	at     int
	forced []bool // by operation: it is kept for certain
}

// cuts yields every moment of a history from the operation numbered from on:
// after each operation once.
func (h *history) cuts(from int) func(yield func(cut) bool) {
	return func(yield func(cut) bool) {
		durable := make([]bool, len(h.operations))
		for at := 0; at <= len(h.operations); at++ {
			if at > 0 {
				h.settle(durable, &h.operations[at-1])
			}
			if at >= from && !yield(cut{h, at, h.causes(durable, at)}) {
				return
			}
		}
	}
}

// settle marks what a flush makes durable: what it covers, if that had ended
// before the flush began.
func (h *history) settle(durable []bool, flush *operation) {
	if !flush.flush {
		return
	}
	for n := range flush.began {
		op := &h.operations[n]
		durable[n] = durable[n] || flush.covers == nil || op.file == flush.covers ||
			slices.ContainsFunc(op.names, func(e entry) bool { return e.folder == flush.covers })
	}
}

// causes adds to the durable operations those without which they could not have
// taken place: earlier changes of the same names.
func (h *history) causes(durable []bool, at int) []bool {
	forced := slices.Clone(durable[:at])
	needed := make(map[place]bool)
	for n := at - 1; n >= 0; n-- {
		for _, e := range h.operations[n].names {
			forced[n] = forced[n] || needed[e.place]
		}
		if forced[n] {
			for _, e := range h.operations[n].names {
				needed[e.place] = true
			}
		}
	}
	return forced
}

// fate says what becomes of content that no flush covers.
type fate int

const (
	lost  fate = iota
	whole      // it got to the disk all the same
	zeros      // the file has its size, but what was written is zero
	torn       // some sectors got there, and perhaps not the whole size
	fates
)

// state is what the disk holds after the cut, if of the changes that are not
// certain those happened which keep lets, and content met its fate.
func (c cut) state(keep func(n int) bool, content func(*node) fate, random *rand.Rand) *disk {
	d := newDisk(c.root)
	dropped := make(map[place]bool)
	type writes struct{ certain, all int }
	files := make(map[*node]writes)
	for n := range c.at {
		op := &c.operations[n]
		if op.file != nil {
			w := files[op.file]
			w.all++
			if c.forced[n] {
				w.certain = w.all // a flush of a file covers all writes before it
			}
			files[op.file] = w
			continue
		}
		if c.forced[n] || keep(n) && !slices.ContainsFunc(op.names, func(e entry) bool { return dropped[e.place] }) {
			d.rename(op.names)
			continue
		}
		for _, e := range op.names {
			dropped[e.place] = true
		}
	}
	byNumber := func(a, b *node) int { return cmp.Compare(a.number, b.number) }
	for _, file := range slices.SortedFunc(maps.Keys(files), byNumber) { // the same fates for the same seed
		w := files[file]
		before, after := c.content(file, w.certain), c.content(file, w.all)
		if w.certain == w.all {
			d.content[file] = after
		} else {
			d.content[file] = blend(before, after, content(file), random)
		}
	}
	return d
}

// blend is what a file holds whose last writes met their fate.
func blend(before, after *blob, f fate, random *rand.Rand) *blob {
	const sector = 512
	switch f {
	case lost:
		return before
	case whole:
		return after
	case zeros:
		b := make([]byte, len(after.data))
		copy(b, before.data)
		return newBlob(b)
	}
	size := min(len(before.data), len(after.data))
	if grown := max(len(before.data), len(after.data)) - size; grown > 0 {
		size += random.IntN(grown + 1)
	}
	b := make([]byte, size)
	copy(b, before.data)
	for off := 0; off < size && off < len(after.data); off += sector {
		if random.IntN(2) == 0 {
			copy(b[off:min(off+sector, size)], after.data[off:])
		}
	}
	return newBlob(b)
}

// states yields what the disk may hold after the cut: first the plain cases,
// then as many random ones as asked for.
func (c cut) states(count int, random *rand.Rand) func(yield func(what string, d *disk) bool) {
	all := func(int) bool { return true }
	none := func(int) bool { return false }
	always := func(f fate) func(*node) fate { return func(*node) fate { return f } }
	return func(yield func(string, *disk) bool) {
		if !yield("all happened", c.state(all, always(whole), random)) ||
			!yield("nothing since the flushes happened", c.state(none, always(lost), random)) ||
			!yield("names without content", c.state(all, always(lost), random)) ||
			!yield("names with zeros", c.state(all, always(zeros), random)) {
			return
		}
		for n := range count {
			share := []float64{0.1, 0.5, 0.9}[n%3]
			keep := func(int) bool { return random.Float64() < share }
			mixed := func(*node) fate { return fate(random.IntN(int(fates))) }
			if !yield(fmt.Sprintf("random state %d", n), c.state(keep, mixed, random)) {
				return
			}
		}
	}
}

// fingerprint is the same for states that a store cannot tell apart: what is
// below staging/ counts only as being there.
func (d *disk) fingerprint() [sha256.Size]byte {
	h := sha256.New()
	tree := d.tree()
	first := make(map[*node]string)
	for _, path := range slices.Sorted(maps.Keys(tree)) {
		n := tree[path]
		if strings.HasPrefix(path, "staging/") {
			io.WriteString(h, "rubbish\x00")
			continue
		}
		fmt.Fprintf(h, "%s\x00%t\x00%s\x00%s\x00%x\x00", path, n.folder, n.target, first[n], d.holds(n).sum)
		if first[n] == "" {
			first[n] = path
		}
	}
	return [sha256.Size]byte(h.Sum(nil))
}
