package variant

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"strconv"
)

// A line of the index says what was made of a content: its sha256, for each
// coding a size and a tag, and a checksum. Size 0 means "tried, and not worth
// it". Lines are only added; the last one of a content counts. A line that a
// crash tore does not check and is passed over.

// shortestLine is the bytes of a line of which all sizes are 0.
const shortestLine = 2*sha256.Size + len(codings)*(len(" 0 ")+2*len(Tag{})) + len(" ") + 2*crc32.Size + len("\n")

func formatLine(sum [sha256.Size]byte, s Set) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%x", sum)
	for _, v := range s {
		fmt.Fprintf(&b, " %d %x", v.Size, v.Tag)
	}
	fmt.Fprintf(&b, " %08x\n", crc32.ChecksumIEEE(b.Bytes()))
	return b.Bytes()
}

// parseLine is formatLine backwards. A start reads tens of thousands of lines:
// it makes no garbage.
func parseLine(line []byte) (sum [sha256.Size]byte, s Set, ok bool) {
	cut := bytes.LastIndexByte(line, ' ')
	var check [crc32.Size]byte
	if cut < 0 || !parseHex(check[:], line[cut+1:]) || binary.BigEndian.Uint32(check[:]) != crc32.ChecksumIEEE(line[:cut]) {
		return sum, s, false
	}
	field, rest, more := bytes.Cut(line[:cut], []byte(" "))
	if !parseHex(sum[:], field) {
		return sum, s, false
	}
	for n := range s {
		if !more {
			return sum, s, false
		}
		field, rest, _ = bytes.Cut(rest, []byte(" "))
		size, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return sum, s, false
		}
		s[n].Size = size
		field, rest, more = bytes.Cut(rest, []byte(" "))
		if !parseHex(s[n].Tag[:], field) {
			return sum, s, false
		}
	}
	return sum, s, !more
}

func parseHex(into, text []byte) bool {
	if len(text) != hex.EncodedLen(len(into)) {
		return false
	}
	_, err := hex.Decode(into, text)
	return err == nil
}

// readIndex yields what the index says. A missing index is an empty one.
func readIndex(path string, yield func(sum [sha256.Size]byte, s Set)) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the index of variants: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if sum, s, ok := parseLine(lines.Bytes()); ok {
			yield(sum, s)
		}
	}
	if err := lines.Err(); err != nil && !errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("read the index of variants: %w", err)
	}
	return nil
}
