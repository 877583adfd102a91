package store

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
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

// parseIndex reads what write wrote. It returns an error that wraps errIndex
// for anything else, down to the last byte.
func parseIndex(data []byte) (*index, error) {
	lines, ok := unseal(data)
	if !ok {
		return nil, fmt.Errorf("%w: its checksum does not match", errIndex)
	}
	body, ok := bytes.CutPrefix(lines, []byte(indexHeader+"\n"))
	if !ok {
		return nil, fmt.Errorf("%w: it does not begin with %q", errIndex, indexHeader)
	}
	// From here on the bytes are those that were written: what follows guards
	// against a mistake of this program, not of the disk.
	b := newIndexBuilder(bytes.Count(body, []byte("\n")))
	type alias struct{ name, target string }
	var aliases []alias
	for line := range strings.Lines(string(body)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		for n := range f {
			f[n] = unescape(f[n])
		}
		var err error
		switch {
		case f[0] == "d" && len(f) == 3:
			err = b.dir(f[1], parseInt(f[2]))
		case f[0] == "f" && len(f) == 5:
			var sum [sha256.Size]byte
			if len(f[4]) != hex.EncodedLen(len(sum)) {
				err = errors.New("bad sha256")
			} else if _, err = hex.Decode(sum[:], []byte(f[4])); err == nil {
				err = b.file(f[1], parseInt(f[2]), parseInt(f[3]), sum)
			}
		case f[0] == "a" && len(f) == 3:
			aliases = append(aliases, alias{f[1], f[2]})
		case f[0] == "l" && len(f) == 4:
			b.links = append(b.links, Link{Name: f[1], modTime: parseInt(f[2]), Target: f[3]})
		case f[0] == "s" && len(f) == 3:
			b.skipped = append(b.skipped, Skipped{Name: f[1], Reason: f[2]})
		case f[0] == "n" && len(f) == 2:
			b.skippedTotal = int(parseInt(f[1]))
		default:
			err = errors.New("unknown line")
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %q: %w", errIndex, line, err)
		}
	}
	for _, a := range aliases {
		if err := b.alias(a.name, a.target); err != nil {
			return nil, fmt.Errorf("%w: %w", errIndex, err)
		}
	}
	x, err := b.finish()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errIndex, err)
	}
	return x, nil
}

func parseInt(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return math.MinInt64
	}
	return n
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
