package store

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// indexHeader is the first line of an index file. A change of the format
// changes the number; an index of another number is not read.
const indexHeader = "specman-index 1"

// errIndex marks an index that is cut short, altered or of another format.
var errIndex = errors.New("the index is damaged")

// Kind says what a path is.
type Kind uint8

// The kinds of path that are served. A symlink is served as what it points to.
const (
	Dir Kind = iota + 1
	File
)

// record is one served path of a tree. It holds no pointer, so that the
// garbage collector never looks into a tree's records: 64 bytes a path.
type record struct {
	sum     [sha256.Size]byte
	size    int64
	modTime int64 // seconds since 1970, the archive's
	off     uint32
	real    int32 // the record whose path holds the bytes on disk: itself, unless it is an alias
	len     uint16
	kind    Kind
}

// Link is a symlink of the archive that is served. Target is as in the archive.
type Link struct {
	Name    string
	Target  string
	modTime int64
}

// Skipped is an entry of the archive that is not served, and why.
type Skipped struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// index is what a tree holds: the parsed form of its index file. Records are
// sorted by path; every folder on the way to a path has a record of its own.
type index struct {
	names   string // all paths, one after the other
	records []record
	links   []Link
	skipped []Skipped
	// skippedTotal counts also those skipped entries that are not named.
	skippedTotal int
	files        int
	bytes        int64
}

func (x *index) path(n int32) string {
	r := &x.records[n]
	return x.names[r.off : r.off+uint32(r.len)]
}

// find returns the number of the record of path, by binary search.
func (x *index) find(path string) (int32, bool) {
	n, ok := slices.BinarySearchFunc(x.records, path, func(r record, path string) int {
		return strings.Compare(x.names[r.off:r.off+uint32(r.len)], path)
	})
	return int32(n), ok
}

// write puts the index into w as lines of tab-separated columns, followed by a
// line that holds the sha256 of all lines before it.
func (x *index) write(w io.Writer) error {
	sum := sha256.New()
	b := bufio.NewWriterSize(io.MultiWriter(w, sum), 64<<10)
	fmt.Fprintf(b, "%s\n", indexHeader)
	for n := range x.records {
		r, path := &x.records[n], escape(x.path(int32(n)))
		switch {
		case r.real != int32(n):
			fmt.Fprintf(b, "a\t%s\t%s\n", path, escape(x.path(r.real)))
		case r.kind == Dir:
			fmt.Fprintf(b, "d\t%s\t%d\n", path, r.modTime)
		default:
			fmt.Fprintf(b, "f\t%s\t%d\t%d\t%x\n", path, r.modTime, r.size, r.sum)
		}
	}
	for _, l := range x.links {
		fmt.Fprintf(b, "l\t%s\t%d\t%s\n", escape(l.Name), l.modTime, escape(l.Target))
	}
	for _, s := range x.skipped {
		fmt.Fprintf(b, "s\t%s\t%s\n", escape(s.Name), escape(s.Reason))
	}
	fmt.Fprintf(b, "n\t%d\n", x.skippedTotal)
	if err := b.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "sha256\t%x\n", sum.Sum(nil))
	return err
}

// escape makes a path fit for a column: control characters and % become %XX.
func escape(s string) string {
	odd := func(c byte) bool { return c < ' ' || c == 0x7f || c == '%' }
	if !slices.ContainsFunc([]byte(s), odd) {
		return s
	}
	var b strings.Builder
	for n := range len(s) {
		if odd(s[n]) {
			fmt.Fprintf(&b, "%%%02X", s[n])
		} else {
			b.WriteByte(s[n])
		}
	}
	return b.String()
}

func unescape(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	for n := 0; n < len(s); n++ {
		if s[n] == '%' && n+2 < len(s) {
			if c, err := strconv.ParseUint(s[n+1:n+3], 16, 8); err == nil {
				b.WriteByte(byte(c))
				n += 2
				continue
			}
		}
		b.WriteByte(s[n])
	}
	return b.String()
}
