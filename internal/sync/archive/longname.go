package archive

import (
	"bytes"
	"strconv"
	"strings"
)

// maxLongName is how much of a GNU long name is looked at. A longer one is
// refused for its length.
const maxLongName = 2 * maxPathBytes

// cutsName reports whether the headers that come next hold a GNU long name, or
// link name (types L and K of GNU tar), with a NUL in its middle. archive/tar
// would cut the name there and take the rest for the whole. It is to be asked
// where atEnd is. What it cannot read it leaves to archive/tar to judge.
func (s *stream) cutsName() bool {
	for at := int(-s.n & (blockSize - 1)); ; {
		next, err := s.r.Peek(at + blockSize)
		if err != nil {
			return false
		}
		header := next[at:]
		size, err := strconv.ParseInt(strings.Trim(string(header[124:136]), " \x00"), 8, 32)
		if err != nil || size < 0 {
			return false
		}
		at += blockSize
		switch header[156] {
		case 'L', 'K':
			next, err := s.r.Peek(at + int(min(size, maxLongName)))
			if err != nil {
				return false
			}
			if bytes.IndexByte(bytes.TrimRight(next[at:], "\x00"), 0) >= 0 {
				return true
			}
		case 'x', 'g': // PAX names with a NUL are refused by archive/tar
		default:
			return false
		}
		at += int(size+blockSize-1) &^ (blockSize - 1)
	}
}
