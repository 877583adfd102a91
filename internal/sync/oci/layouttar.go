package oci

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"
)

// maxTarEntries bounds the memory for the directory of a layout in a tar.
const maxTarEntries = 100_000

// TarFS is the files of a plain tar for [OpenLayoutFS]: a layout as `oras backup`
// and `skopeo copy … oci-archive:` make it. Nothing is unpacked: f is read when
// needed, and must stay open as long as the files are used.
func TarFS(f io.ReaderAt, size int64) (fs.FS, error) { return indexTar(f, size) }

// tarFS is the regular files of a tar, hard links included, by their cleaned names.
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
		if len(files) == maxTarEntries {
			return nil, fmt.Errorf("it holds more than %d files", maxTarEntries)
		}
		name := path.Clean(header.Name)
		switch {
		case isSparse(header):
			return nil, fmt.Errorf("%q is kept as a sparse file, which cannot be read in place; pack it without tar -S", header.Name)
		case header.Typeflag == tar.TypeReg:
			// A tar.Reader reads whole headers and nothing beyond.
			offset, err := source.Seek(0, io.SeekCurrent)
			if err != nil {
				return nil, err
			}
			files[name] = tarEntry{name, io.NewSectionReader(f, offset, header.Size)} // the later entry counts
		case header.Typeflag == tar.TypeLink:
			if target, ok := files[path.Clean(header.Linkname)]; ok {
				files[name] = tarEntry{name, target.data}
			}
		}
	}
}

// isSparse says that what the archive holds of a file is not its content in one piece.
func isSparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return h.Typeflag == tar.TypeGNUSparse
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
