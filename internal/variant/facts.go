package variant

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sync/atomic"
)

// Coding is a content coding (RFC 9110, 8.4.1).
type Coding uint8

// The codings, Identity for none.
const (
	Identity Coding = iota
	Gzip
	Zstd
)

// codings are those that variants are made in, in the order of Set.
var codings = [...]Coding{Gzip, Zstd}

// String returns the coding's name in HTTP.
func (c Coding) String() string { return [...]string{"identity", "gzip", "zstd"}[c] }

func (c Coding) extension() string { return [...]string{"", ".gz", ".zst"}[c] }

// Tag is the beginning of the sha256 of coded bytes. Beside the content's own
// sha256 it tells apart what different encoders made of it.
type Tag [8]byte

// Variant is what is known of a coded form without reading it.
type Variant struct {
	Size int64 // bytes; 0: there is none, as it would not be smaller by a tenth
	Tag  Tag
}

// Set is the variants of one content.
type Set [len(codings)]Variant

// Get returns the variant in a coding; ok is false where there is none.
func (s *Set) Get(c Coding) (v Variant, ok bool) {
	if c == Identity {
		return Variant{}, false
	}
	v = s[c-1]
	return v, v.Size > 0
}

// fact is what memory holds of a content: 32 bytes, without a pointer. Contents
// are told apart by the first 8 bytes of their sha256. Two that share those
// share a fact as well; that nothing wrong is served then is the merit of the
// files' names, which are whole sums.
type fact struct {
	key      uint64
	variants [len(codings)]struct {
		size uint32
		tag  Tag
	}
}

func (f *fact) set() (s Set) {
	for n, v := range f.variants {
		s[n] = Variant{Size: int64(v.size), Tag: v.tag}
	}
	return s
}

func newFact(sum [sha256.Size]byte, s Set) fact {
	f := fact{key: keyOf(sum)}
	for n, v := range s {
		f.variants[n].size, f.variants[n].tag = uint32(v.Size), v.Tag
	}
	return f
}

func keyOf(sum [sha256.Size]byte) uint64 { return binary.BigEndian.Uint64(sum[:]) }

// facts is a set of facts that is read without a lock: 256 sorted slices, by
// the first byte of the sum, each replaced whole when it changes. One goroutine
// at a time may change it.
type facts struct {
	shards [256]atomic.Pointer[[]fact]
}

func (x *facts) shard(key uint64) *atomic.Pointer[[]fact] { return &x.shards[key>>56] }

func search(sorted []fact, key uint64) (int, bool) {
	return slices.BinarySearchFunc(sorted, key, func(f fact, key uint64) int { return cmp.Compare(f.key, key) })
}

func (x *facts) find(key uint64) (fact, bool) {
	shard := x.shard(key).Load()
	if shard == nil {
		return fact{}, false
	}
	n, ok := search(*shard, key)
	if !ok {
		return fact{}, false
	}
	return (*shard)[n], true
}

func (x *facts) add(f fact) {
	var old []fact
	if shard := x.shard(f.key).Load(); shard != nil {
		old = *shard
	}
	n, found := search(old, f.key)
	rest := old[n:]
	if found {
		rest = rest[1:]
	}
	next := make([]fact, 0, n+1+len(rest))
	next = append(append(append(next, old[:n]...), f), rest...)
	x.shard(f.key).Store(&next)
}

func (x *facts) remove(key uint64) {
	shard := x.shard(key).Load()
	if shard == nil {
		return
	}
	if n, ok := search(*shard, key); ok {
		next := slices.Delete(slices.Clone(*shard), n, n+1)
		x.shard(key).Store(&next)
	}
}

// replace puts all facts in place at once; of two with one key the last counts.
func (x *facts) replace(all []fact) {
	var counts [len(x.shards)]int
	for n := range all {
		counts[all[n].key>>56]++
	}
	var shards [len(x.shards)][]fact
	for n, count := range counts {
		shards[n] = make([]fact, 0, count)
	}
	for _, f := range all {
		n := f.key >> 56
		shards[n] = append(shards[n], f)
	}
	for n, shard := range shards {
		slices.SortStableFunc(shard, func(a, b fact) int { return cmp.Compare(a.key, b.key) })
		used := 0
		for m, f := range shard {
			if m+1 == len(shard) || shard[m+1].key != f.key {
				shard[used] = f
				used++
			}
		}
		shard = shard[:used]
		x.shards[n].Store(&shard)
	}
}

func (x *facts) len() (n int) {
	for shard := range x.shards {
		if s := x.shards[shard].Load(); s != nil {
			n += len(*s)
		}
	}
	return n
}

// TagOf returns the tag of coded bytes with that sha256.
func TagOf(sum [sha256.Size]byte) Tag { return Tag(sum[:len(Tag{})]) }
