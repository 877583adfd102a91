package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/specman/specman/internal/human"
)

// What a file of the store says of its own size is not to be trusted: a disk, or somebody,
// may have made it a hole of terabytes. Nothing is read whole before it is bounded.

// maxStateBytes is more than any state file has: what it keeps is bounded (see state), but
// for the releases, of which ten thousand are some megabytes.
const maxStateBytes = 64 << 20

// errTooLarge is of a file that is larger than any that Specman writes.
var errTooLarge = errors.New("it is larger than any that Specman writes")

// readRegular is os.ReadFile of what is a file, of at most so many bytes.
func readRegular(path string, most int64) ([]byte, error) {
	f, size, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > most {
		return nil, fmt.Errorf("read %s, of %s: %w", path, human.Bytes(size), errTooLarge)
	}
	return readAll(f, size)
}

// readSealed is readRegular of a file that seal has made, however large: that of a million
// paths has hundreds of megabytes. It does not check the checksum, but that there is one.
// The error wraps errSeal where there is none.
func readSealed(path string) ([]byte, error) {
	f, size, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	last := make([]byte, len(lastLine(nil)))
	if size < int64(len(last)) {
		return nil, fmt.Errorf("read %s: %w", path, errSeal)
	}
	if _, err := f.ReadAt(last, size-int64(len(last))); err != nil {
		return nil, err
	}
	if !isLastLine(last) {
		return nil, fmt.Errorf("read %s, of %s: %w", path, human.Bytes(size), errSeal)
	}
	return readAll(f, size)
}

// openRegular opens what is a file, and tells its size: who opens a pipe waits for ever.
func openRegular(path string) (f *os.File, size int64, err error) {
	f, err = os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "read", Path: path, Err: errors.New("it is no regular file")}
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

func readAll(f *os.File, size int64) ([]byte, error) {
	var data bytes.Buffer
	data.Grow(int(size) + bytes.MinRead) // an index is large, and would be copied as it grows
	_, err := data.ReadFrom(f)
	return data.Bytes(), err
}
