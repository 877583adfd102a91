package archive

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
)

const (
	// maxLongName is how much of a GNU long name is looked at. A longer one is
	// refused for its length.
	maxLongName = 2 * maxPathBytes
	// maxHeaders bounds all headers of one entry. archive/tar takes 1 MiB each.
	maxHeaders = 4 << 20
)

// checkLongNames refuses a GNU long name, or link name (types L and K of GNU tar), with
// a NUL in its middle, in the headers that come next: archive/tar would cut the name
// there and take the rest for the whole. It is to be asked where atEnd is. What it
// cannot read it leaves to archive/tar to judge.
func (s *stream) checkLongNames() error {
	for at := int(-s.n & (blockSize - 1)); ; {
		next, err := s.peek(at + blockSize)
		if err != nil {
			return refusedOnly(err)
		}
		header := next[at:]
		size, ok := headerSize(header[124:136])
		if !ok {
			return nil
		}
		at += blockSize
		switch header[156] {
		case 'L', 'K':
			next, err := s.peek(at + int(min(size, maxLongName)))
			if err != nil {
				return refusedOnly(err)
			}
			if bytes.IndexByte(bytes.TrimRight(next[at:], "\x00"), 0) >= 0 {
				return refuse("", "the long name of the entry holds a NUL byte")
			}
		case 'x', 'g': // PAX names with a NUL are refused by archive/tar
		default:
			return nil
		}
		at += int(size+blockSize-1) &^ (blockSize - 1)
	}
}

// headerSize reads the size of an entry as archive/tar does: octal, up to the first NUL
// in it, or base-256, as GNU tar writes large ones. What is too large for any header is
// not ok.
func headerSize(field []byte) (size int64, ok bool) {
	if field[0]&0x80 != 0 {
		for n, b := range field {
			if n == 0 {
				b &= 0x7f
			}
			if size = size<<8 | int64(b); size > math.MaxInt32 {
				return 0, false
			}
		}
		return size, true
	}
	digits, _, _ := strings.Cut(strings.Trim(string(field), " \x00"), "\x00")
	size, err := strconv.ParseInt(digits, 8, 32)
	return size, err == nil && size >= 0
}

// peek is the buffer's, which it makes larger for an entry whose headers do not fit.
func (s *stream) peek(n int) ([]byte, error) {
	if n > maxHeaders {
		return nil, refuse("", "the headers of the entry are larger than 4 MiB")
	}
	if n > s.r.Size() {
		held, _ := s.r.Peek(s.r.Buffered())
		s.r = bufio.NewReaderSize(io.MultiReader(bytes.NewReader(bytes.Clone(held)), sips{s.direct}), maxHeaders)
	}
	return s.r.Peek(n)
}

func refusedOnly(err error) error {
	if errors.As(err, new(*RefusedError)) {
		return err
	}
	return nil
}
