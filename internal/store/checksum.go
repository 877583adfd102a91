package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

// seal adds to lines a last one that holds the sha256 of all before it.
func seal(lines []byte) []byte { return append(lines, lastLine(lines)...) }

// unseal takes off the last line; ok is false where it is not what seal wrote,
// down to the last byte.
func unseal(data []byte) (lines []byte, ok bool) {
	cut := bytes.LastIndexByte(bytes.TrimSuffix(data, []byte("\n")), '\n') + 1
	return data[:cut], string(data[cut:]) == lastLine(data[:cut])
}

// errSeal is of a file that does not end as seal would end it.
var errSeal = errors.New("its last line is no checksum")

// isLastLine says whether a line looks like what lastLine makes.
func isLastLine(line []byte) bool {
	sum, begins := bytes.CutPrefix(line, []byte("sha256\t"))
	sum, ends := bytes.CutSuffix(sum, []byte("\n"))
	_, err := hex.Decode(make([]byte, len(sum)), sum)
	return begins && ends && err == nil
}

func lastLine(lines []byte) string { return fmt.Sprintf("sha256\t%x\n", sha256.Sum256(lines)) }
