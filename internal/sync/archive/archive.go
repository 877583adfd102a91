// Package archive reads archives that nobody vouches for, and packs archives
// that everybody can read.
//
// What always holds for [Extract], whatever the bytes:
//
//   - A [Sink] is only ever given clean names: relative, separated by single
//     slashes, without "." or ".." or NUL, at most 255 bytes a name, 4096 a path
//     and 256 names deep. Each folder is announced before what lies in it, and
//     no path is a folder and something else, not even one after the other.
//   - Nothing is dropped in silence. An entry is kept, or named in
//     [Report.Skipped], or the whole archive is refused with a [RefusedError].
//   - The stream is read to its true end, so that the checksum of a compressed
//     stream, and the size and digest that the caller's reader may check at EOF,
//     have been checked when Extract returns. It is read a little ahead, in another
//     goroutine, which has ended when Extract returns.
//   - Memory grows with the number of entries (less than 400 bytes each), never
//     with their bytes; the time it takes is bounded by [Limits] and the input.
//
// All policy is here: which entries are kept, what counts against which limit,
// where symlinks lead. A Sink only stores.
//
// To add a format, write a file like gzip.go and add a row to the table in
// format.go.
package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
)

// What a single name and path may take, whatever the [Limits]. These are
// Linux's NAME_MAX and PATH_MAX, and a depth that no honest tree reaches.
const (
	maxNameBytes = 255
	maxPathBytes = 4096
	maxDepth     = 256
)

// Limits bound one archive, unpacked. A zero field means its default.
type Limits struct {
	// TreeBytes bounds the content of all files together; default 8 GiB. Content
	// counts when it is unpacked, so files that a later entry replaces count
	// too, and so does each hard link with the size of its file.
	TreeBytes int64

	// Files bounds the files of the tree, those that are reached through
	// symlinks included; default 1,000,000. What is no file (folders, links,
	// skipped entries) has a bound of its own: the same number, but at least
	// 10,000, so that a low limit of files stays one of files.
	Files int

	// FileBytes bounds a single file; default 4 GiB.
	FileBytes int64
}

func (l Limits) withDefaults() Limits {
	if l.TreeBytes == 0 {
		l.TreeBytes = 8 << 30
	}
	if l.Files == 0 {
		l.Files = 1_000_000
	}
	if l.FileBytes == 0 {
		l.FileBytes = 4 << 30
	}
	return l
}

// others bounds the paths that are no files.
func (l Limits) others() int {
	return max(l.Files, 10_000)
}

// streamBytes bounds the decompressed tar stream as a whole: the content, and
// room for what lies around it (headers, long names, padding, incremental
// listings). It ends archives whose bulk is in no file at all.
func (l Limits) streamBytes() int64 {
	around := int64(l.others()) * (8 << 10)
	if l.TreeBytes > math.MaxInt64-around {
		return math.MaxInt64
	}
	return l.TreeBytes + around
}

// Sink receives what an archive holds, in the order of the archive. Extract
// calls it from one goroutine. An error of a Sink ends the extraction and is
// returned as it is.
type Sink interface {
	// Dir makes the folder name. One that the archive only implies comes with
	// the zero time; where its own entry follows later, Dir is called again with
	// that entry's time.
	Dir(name string, modTime time.Time) error

	// File makes the file name, in place of an earlier file of that name. It has
	// size bytes; content fails rather than end early. What is left unread of
	// content is skipped.
	File(name string, modTime time.Time, size int64, content io.Reader) error

	// HardLink makes the file name with the content and time that the file
	// target has now; a later File that replaces target changes target alone.
	// No file of that name exists: an earlier one was removed first.
	HardLink(name, target string) error

	// Remove removes the file name, whose place a later entry took.
	Remove(name string) error

	// Symlink tells of a symlink that is served, once each, after the last entry
	// of the archive and when the stream has proved whole; target is as in the
	// archive. What the link serves follows as Alias.
	Symlink(name, target string, modTime time.Time) error

	// Alias tells that name, a symlink or a path below one, serves what target
	// is: a real folder if dir, else a real file. Parents come first, and each
	// path below a link to a folder comes on its own.
	Alias(name, target string, dir bool) error
}

// Report says what an archive was found to hold; after an error, what it was
// found to hold until then.
type Report struct {
	Format  string // "tar", "tar+gzip", "tar+zstd"; "" if it could not be told
	Files   int    // regular files and hard links of the final tree
	Dirs    int    // folders of the final tree, those that are only implied included, the root not
	Bytes   int64  // of Files; a hard link counts like a file
	Aliases int    // paths that are served through symlinks, beside Files and Dirs

	// Skipped names what is not served, in the order of the archive, up to
	// 1,000 entries; SkippedTotal counts all of them.
	Skipped      []Skipped
	SkippedTotal int
}

// maxSkippedNamed bounds Report.Skipped.
const maxSkippedNamed = 1000

func (r *Report) skip(name, reason string) {
	r.SkippedTotal++
	if len(r.Skipped) < maxSkippedNamed {
		r.Skipped = append(r.Skipped, Skipped{Name: name, Reason: reason})
	}
}

// Skipped is an entry that is not served, and why.
type Skipped struct {
	Name   string // as in the archive, cleaned; any bytes but NUL, so quote it for people
	Reason string // safe to print
}

// String is one line that is safe to print.
func (s Skipped) String() string {
	return quote(s.Name) + ": " + s.Reason
}

// Extract reads the archive r (gzip, zstd or plain tar, told by its first
// bytes) and hands what it holds to sink.
//
// It returns a *[RefusedError] if the archive is at fault. Then, and on
// success, r has been read to its end, so that a reader that checks size and
// digest at EOF has spoken: if r itself fails, that error is returned (wrapped)
// and never a RefusedError, since a transfer that went wrong says nothing about
// the archive. An error of sink, or of ctx, is returned without
// reading on, but for a Read that is under way.
func Extract(ctx context.Context, r io.Reader, limits Limits, sink Sink) (Report, error) {
	src := &source{ctx: ctx, r: r}
	report, err := extract(src, limits, sink)
	var refused *RefusedError
	if errors.As(err, &refused) {
		src.drain()
	}
	if src.err != nil {
		err = fmt.Errorf("reading the archive: %w", src.err)
	}
	return report, err
}
