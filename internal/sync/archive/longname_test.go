package archive

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
)

// A long name is looked at in whatever way its size is written that archive/tar reads.
func TestLongNamesWithOddSizes(t *testing.T) {
	archive := tarOf(entry{typ: 'L', name: "././@LongLink", body: "a\x00b\x00"}, reg("x", "x"))
	for name, size := range map[string][]byte{
		"octal":                 []byte("00000000004\x00"),
		"base-256":              {0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4},
		"octal and what is not": []byte("4\x00zzzzzzzzzz"),
	} {
		data := bytes.Clone(archive)
		copy(data[124:136], size)
		copy(data[:blockSize], withChecksum(data[:blockSize]))
		_, _, err := extracted(t, data, Limits{})
		assert.ErrorContains(t, err, "NUL", name)
	}
}
