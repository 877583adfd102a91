package archive

import (
	"archive/tar"
	"io"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// gzipLevel is gzip's own default. It is part of what makes packing
// reproducible, like the versions of the libraries.
const gzipLevel = 6

// zstdPackWindow is how far back a packed archive refers. With the 8 MiB that decoders
// must know, a sync took longer and 7 MiB more, and the archive was no smaller
// (docs/performance.md).
const zstdPackWindow = 1 << 20

// writer writes a compressed tar whose bytes depend on nothing but what it is
// given, in the order in which it is given.
type writer struct {
	tar        *tar.Writer
	compressor io.WriteCloser
}

func newWriter(w io.Writer, useZstd bool) (*writer, error) {
	var compressor io.WriteCloser
	var err error
	if useZstd {
		compressor, err = zstd.NewWriter(w,
			zstd.WithEncoderConcurrency(1), // no goroutines that would have to be ended
			zstd.WithEncoderLevel(zstd.SpeedDefault),
			zstd.WithWindowSize(zstdPackWindow),
			zstd.WithEncoderCRC(true),
		)
	} else {
		compressor, err = gzip.NewWriterLevel(w, gzipLevel) // its header has neither name nor time
	}
	if err != nil {
		return nil, err
	}
	return &writer{tar: tar.NewWriter(compressor), compressor: compressor}, nil
}

func (w *writer) folder(name string) error {
	return w.header(tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755})
}

func (w *writer) symlink(name, target string) error {
	return w.header(tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777})
}

// file is to be followed by size bytes, written to w.tar.
func (w *writer) file(name string, size int64) error {
	return w.header(tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644})
}

func (w *writer) header(h tar.Header) error {
	h.ModTime = time.Unix(0, 0)
	return w.tar.WriteHeader(&h)
}

// close writes the ends of the tar and of the compressed stream. Without it the
// archive is one that Extract takes for truncated.
func (w *writer) close() error {
	if err := w.tar.Close(); err != nil {
		return err
	}
	return w.compressor.Close()
}
