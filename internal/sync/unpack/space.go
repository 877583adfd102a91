package unpack

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/specman/specman/internal/human"
	"github.com/specman/specman/internal/store"
)

// SpaceError says that the volume was full before a tree was on it, and how much all of
// the tree needs beside what is held: no registry tells that. It wraps an error that wraps
// store.ErrNoSpace.
type SpaceError struct {
	Bytes, Files int64 // folders are files too
	Err          error
}

func (e *SpaceError) Error() string {
	return fmt.Sprintf("the tree needs %s and %d inodes: %v", human.Bytes(e.Bytes), e.Files, e.Err)
}

func (e *SpaceError) Unwrap() error { return e.Err }

// filler puts an archive into a staging folder and counts what it takes. Where the
// volume is full it gives the folder up, and goes on counting to the end of the archive.
// It counts a little too much for a file that a later entry replaces, and for a folder
// that an entry implies before another names it.
type filler struct {
	*store.Staging
	bytes, files int64
	full         error
}

// put has the staging do something, unless it was given up.
func (f *filler) put(do func() error) error {
	if f.full != nil {
		return nil
	}
	err := do()
	if !errors.Is(err, store.ErrNoSpace) {
		return err
	}
	f.full = err
	f.Staging.Discard()
	return nil
}

// lack is the error to end with, nil where there was room.
func (f *filler) lack() error {
	if f.full == nil {
		return nil
	}
	files, bytes := f.Shares()
	return &SpaceError{Bytes: max(0, f.bytes-bytes), Files: max(0, f.files-files), Err: f.full}
}

func (f *filler) Dir(name string, modTime time.Time) error {
	f.files, f.bytes = f.files+1, f.bytes+store.OnDisk(1)
	return f.put(func() error { return f.Staging.Dir(name, modTime) })
}

func (f *filler) File(name string, modTime time.Time, size int64, content io.Reader) error {
	f.files, f.bytes = f.files+1, f.bytes+store.OnDisk(size)
	if f.full != nil {
		sum := sha256.New()
		if _, err := io.Copy(sum, content); err != nil {
			return err
		}
		f.CountShared([sha256.Size]byte(sum.Sum(nil)), size)
		return nil
	}
	return f.put(func() error { return f.Staging.File(name, modTime, size, content) })
}

func (f *filler) HardLink(name, target string) error {
	return f.put(func() error { return f.Staging.HardLink(name, target) })
}

func (f *filler) Remove(name string) error {
	return f.put(func() error { return f.Staging.Remove(name) })
}

func (f *filler) Symlink(name, target string, modTime time.Time) error {
	f.files++
	return f.put(func() error { return f.Staging.Symlink(name, target, modTime) })
}

func (f *filler) Alias(name, target string, dir bool) error {
	return f.put(func() error { return f.Staging.Alias(name, target, dir) })
}

func (f *filler) Seal() error { return f.put(f.Staging.Seal) }
