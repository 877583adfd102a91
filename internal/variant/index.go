package variant

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"strings"
)

// A line of the index says what was made of a content: its sha256, for each
// coding a size and a tag, and a checksum. Size 0 means "tried, and not worth
// it". Lines are only added; the last one of a content counts. A line that a
// crash tore does not check and is passed over.

func formatLine(sum [sha256.Size]byte, s Set) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%x", sum)
	for _, v := range s {
		fmt.Fprintf(&b, " %d %x", v.Size, v.Tag)
	}
	fmt.Fprintf(&b, " %08x\n", crc32.ChecksumIEEE(b.Bytes()))
	return b.Bytes()
}

func parseLine(line string) (sum [sha256.Size]byte, s Set, ok bool) {
	cut := strings.LastIndexByte(line, ' ')
	if cut < 0 || fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(line[:cut]))) != line[cut+1:] {
		return sum, s, false
	}
	fields := strings.Fields(line[:cut])
	if len(fields) != 1+2*len(s) || !parseHex(sum[:], fields[0]) {
		return sum, s, false
	}
	for n := range s {
		if _, err := fmt.Sscan(fields[1+2*n], &s[n].Size); err != nil || !parseHex(s[n].Tag[:], fields[2+2*n]) {
			return sum, s, false
		}
	}
	return sum, s, true
}

func parseHex(into []byte, s string) bool {
	n, err := hex.Decode(into, []byte(s[:min(len(s), 2*len(into))]))
	return err == nil && n == len(into) && len(s) == 2*n
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
		if sum, s, ok := parseLine(lines.Text()); ok {
			yield(sum, s)
		}
	}
	if err := lines.Err(); err != nil && !errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("read the index of variants: %w", err)
	}
	return nil
}
