package archive

import (
	"bufio"
	"bytes"
	"errors"
	"io"
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
		size, err := strconv.ParseInt(strings.Trim(string(header[124:136]), " \x00"), 8, 32)
		if err != nil || size < 0 {
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
