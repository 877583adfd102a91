package archive

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"
)

// zstdMaxWindow is what RFC 8878, section 3.1.1.1.2, recommends decoders to
// support and encoders not to exceed. All levels of zstd but --ultra and --long
// keep to it. It bounds the memory that a frame's header can make us allocate.
const zstdMaxWindow = 8 << 20

// isZstd knows frames and skippable frames (RFC 8878, section 3.1).
func isZstd(head []byte) bool {
	if len(head) < 4 {
		return false
	}
	magic := binary.LittleEndian.Uint32(head)
	return magic == 0xFD2FB528 || magic&^0xF == 0x184D2A50
}

type zstdReader struct{ d *zstd.Decoder }

func openZstd(r *bufio.Reader) (io.ReadCloser, error) {
	d, err := zstd.NewReader(r,
		zstd.WithDecoderConcurrency(1), // decodes in Read, no goroutines
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(zstdMaxWindow),
	)
	if err != nil {
		return nil, err
	}
	return &zstdReader{d}, nil
}

func (z *zstdReader) Read(p []byte) (int, error) {
	n, err := z.d.Read(p)
	if errors.Is(err, zstd.ErrWindowSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeTooSmall) {
		err = &RefusedError{
			Reason: "the zstd stream needs a window that is not supported (at most 8 MiB); compress with level 19 or lower and without --long",
			Err:    err,
		}
	}
	return n, err
}

func (z *zstdReader) Close() error {
	z.d.Close()
	return nil
}
