package oci

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"
)

// maxTarEntries bounds the memory for the directory of a layout in a tar.
const maxTarEntries = 100_000

// OpenLayoutTar is a repository over an OCI image layout in a tar, as `oras
// backup` and `skopeo copy … oci-archive:` make it. Nothing is unpacked: f is
// read when needed, and must stay open as long as the repository is used.
func OpenLayoutTar(f io.ReaderAt, size int64, name string) (*Repository, error) {
	files, err := indexTar(f, size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return OpenLayoutFS(files, name)
}

// tarFS is the regular files of a tar by their cleaned names.
type tarFS map[string]tarEntry

type tarEntry struct {
	name string
	data *io.SectionReader
}

func indexTar(f io.ReaderAt, size int64) (tarFS, error) {
	magic := make([]byte, 4)
	if _, err := f.ReadAt(magic, 0); err == nil && (bytes.HasPrefix(magic, []byte{0x1f, 0x8b}) || bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd})) {
		return nil, errors.New("it is compressed: an OCI layout is read from a plain tar; decompress it first (gunzip, zstd -d)")
	}
	source := io.NewSectionReader(f, 0, size)
	reader := tar.NewReader(source)
	files := make(tarFS)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		if len(files) == maxTarEntries {
			return nil, fmt.Errorf("it holds more than %d files", maxTarEntries)
		}
		// A tar.Reader reads whole headers and nothing beyond.
		offset, err := source.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		name := path.Clean(header.Name)
		files[name] = tarEntry{name, io.NewSectionReader(f, offset, header.Size)} // the later entry counts
	}
}

// Open implements fs.FS.
func (t tarFS) Open(name string) (fs.File, error) {
	entry, ok := t[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &tarFile{entry, io.NewSectionReader(entry.data, 0, entry.data.Size())}, nil
}

type tarFile struct {
	entry tarEntry
	data  *io.SectionReader
}

func (f *tarFile) Stat() (fs.FileInfo, error) { return f.entry, nil }
func (f *tarFile) Read(p []byte) (int, error) { return f.data.Read(p) }
func (f *tarFile) Close() error               { return nil }

// A tarEntry describes itself.
func (e tarEntry) Name() string       { return path.Base(e.name) }
func (e tarEntry) Size() int64        { return e.data.Size() }
func (e tarEntry) Mode() fs.FileMode  { return 0o444 }
func (e tarEntry) ModTime() time.Time { return time.Time{} }
func (e tarEntry) IsDir() bool        { return false }
func (e tarEntry) Sys() any           { return nil }
