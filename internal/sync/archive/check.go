package archive

import (
	"context"
	"io"
	"time"
)

// Kind is what an [Entry] is.
type Kind string

// The kinds of entries.
const (
	Folder   Kind = "folder"
	File     Kind = "file"
	HardLink Kind = "hard link"
	Symlink  Kind = "symlink" // one that is served
	Alias    Kind = "alias"   // a path that is served through a symlink
)

// Entry is something that an archive holds and that is kept.
type Entry struct {
	Name    string // clean; any bytes but NUL
	Kind    Kind
	Size    int64     // of a File
	ModTime time.Time // of a Folder, File or Symlink; zero for a folder that is only implied
	Target  string    // of a HardLink, Symlink (as in the archive) or Alias
}

// Check is [Extract] to nowhere: would this archive be accepted? It calls each,
// if not nil, for what would be kept, in the order of the archive; an entry that
// a later one replaces has been called for too.
func Check(ctx context.Context, r io.Reader, limits Limits, each func(Entry)) (Report, error) {
	return Extract(ctx, r, limits, checker{each})
}

// checker is a Sink that keeps nothing.
type checker struct{ each func(Entry) }

func (c checker) tell(e Entry) error {
	if c.each != nil {
		c.each(e)
	}
	return nil
}

func (c checker) Dir(name string, modTime time.Time) error {
	return c.tell(Entry{Name: name, Kind: Folder, ModTime: modTime})
}

func (c checker) File(name string, modTime time.Time, size int64, _ io.Reader) error {
	return c.tell(Entry{Name: name, Kind: File, Size: size, ModTime: modTime})
}

func (c checker) HardLink(name, target string) error {
	return c.tell(Entry{Name: name, Kind: HardLink, Target: target})
}

func (c checker) Symlink(name, target string, modTime time.Time) error {
	return c.tell(Entry{Name: name, Kind: Symlink, Target: target, ModTime: modTime})
}

func (c checker) Alias(name, target string, _ bool) error {
	return c.tell(Entry{Name: name, Kind: Alias, Target: target})
}

func (c checker) Remove(string) error { return nil }
