package store

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// indexParser reads the lines of an index straight into its final form: lines
// lie sorted by path, as index.write leaves them, so that a start needs neither
// a map nor a sort, and leaves no garbage behind.
type indexParser struct {
	index
	paths   strings.Builder // becomes index.names
	aliases []parsedAlias
}

// parsedAlias is a record that shows what another path has, which may come
// after it.
type parsedAlias struct {
	rec    int32
	target string
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
	p := newIndexParser(body)
	for line := range bytes.Lines(body) {
		if err := p.line(bytes.TrimSuffix(line, []byte("\n"))); err != nil {
			return nil, fmt.Errorf("%w: %q: %w", errIndex, line, err)
		}
	}
	x, err := p.finish()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errIndex, err)
	}
	return x, nil
}

// newIndexParser makes room for just what there is: what grows while it is
// filled would take twice as much.
func newIndexParser(body []byte) *indexParser {
	p := new(indexParser)
	records, paths := 0, 0
	for line := range bytes.Lines(body) {
		switch line[0] {
		case 'd', 'f', 'a':
			_, rest, _ := bytes.Cut(line, []byte("\t"))
			records++
			paths += max(bytes.IndexByte(rest, '\t'), 0)
		}
	}
	p.records = make([]record, 0, records)
	p.paths.Grow(paths)
	return p
}

func (p *indexParser) line(line []byte) error {
	var columns [5][]byte
	count := 0
	for more := true; more; count++ {
		if count == len(columns) {
			return errors.New("too many columns")
		}
		columns[count], line, more = bytes.Cut(line, []byte("\t"))
	}
	f := columns[:count]
	switch kind := string(f[0]); {
	case kind == "d" && count == 3:
		return p.add(f[1], record{kind: Dir, modTime: parseInt(f[2])})
	case kind == "f" && count == 5:
		r := record{kind: File, modTime: parseInt(f[2]), size: parseInt(f[3])}
		if r.size < 0 {
			return errors.New("bad size")
		}
		if len(f[4]) != hex.EncodedLen(len(r.sum)) {
			return errors.New("bad sha256")
		}
		if _, err := hex.Decode(r.sum[:], f[4]); err != nil {
			return errors.New("bad sha256")
		}
		return p.add(f[1], r)
	case kind == "a" && count == 3:
		p.aliases = append(p.aliases, parsedAlias{rec: int32(len(p.records)), target: unescape(string(f[2]))})
		return p.add(f[1], record{})
	case kind == "l" && count == 4:
		p.links = append(p.links, Link{Name: unescape(string(f[1])), modTime: parseInt(f[2]), Target: unescape(string(f[3]))})
	case kind == "s" && count == 3:
		p.skipped = append(p.skipped, Skipped{Name: unescape(string(f[1])), Reason: unescape(string(f[2]))})
	case kind == "n" && count == 2:
		p.skippedTotal = int(parseInt(f[1]))
	default:
		return errors.New("unknown line")
	}
	return nil
}

// add appends the record of the next path.
func (p *indexParser) add(escaped []byte, r record) error {
	off := p.paths.Len()
	if bytes.IndexByte(escaped, '%') < 0 {
		p.paths.Write(escaped)
	} else {
		p.paths.WriteString(unescape(string(escaped)))
	}
	n, length := len(p.records), p.paths.Len()-off
	if length > math.MaxUint16 || p.paths.Len() > math.MaxUint32 || n >= math.MaxInt32 {
		return errors.New("a path too long, or too many")
	}
	p.names = p.paths.String()
	if n > 0 && p.path(int32(n-1)) >= p.names[off:] {
		return errors.New("the path does not come after the one before")
	}
	r.off, r.len, r.real = uint32(off), uint16(length), int32(n)
	p.records = append(p.records, r)
	return nil
}

// finish gives aliases what they show, and checks that each path lies in a
// folder.
func (p *indexParser) finish() (*index, error) {
	x := p.index
	for _, a := range p.aliases {
		x.records[a.rec].real = -1 // until it has a target: an alias of an alias is none
	}
	for _, a := range p.aliases {
		target, ok := x.find(a.target)
		if !ok || x.records[target].real != target {
			return nil, fmt.Errorf("%q is an alias of %q, which is no path of the tree", x.path(a.rec), a.target)
		}
		r := &x.records[a.rec]
		shown := x.records[target]
		r.sum, r.size, r.modTime, r.kind, r.real = shown.sum, shown.size, shown.modTime, shown.kind, target
	}
	known := "" // the folder of the path before: mostly that of the next one too
	for n := range x.records {
		r, path := &x.records[n], x.path(int32(n))
		if parent, _, ok := cutLast(path); ok && (parent != known || parent == "") {
			if p, ok := x.find(parent); !ok || x.records[p].kind != Dir {
				return nil, fmt.Errorf("%q lies in no folder", path)
			}
			known = parent
		}
		if r.kind == File {
			x.files++
			if r.real == int32(n) {
				x.bytes += r.size
			}
		}
	}
	return &x, nil
}

func parseInt(digits []byte) int64 {
	n, err := strconv.ParseInt(string(digits), 10, 64)
	if err != nil {
		return math.MinInt64
	}
	return n
}
