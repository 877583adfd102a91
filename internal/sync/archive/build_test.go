package archive

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
)

// entry is one entry of a tar as its bytes are to be, sense or no sense: what
// archive/tar's writer would not write is what its reader must be tried with.
type entry struct {
	typ   byte
	name  string // over 100 bytes: in a PAX record
	link  string
	body  string
	mtime string // the header's field; "" is 1,000,000,000
	size  string // the header's field; "" is the length of body
	pax   map[string]string
}

func reg(name, body string) entry       { return entry{typ: '0', name: name, body: body} }
func dir(name string) entry             { return entry{typ: '5', name: name} }
func sym(name, target string) entry     { return entry{typ: '2', name: name, link: target} }
func hard(name, target string) entry    { return entry{typ: '1', name: name, link: target} }
func typed(typ byte, name string) entry { return entry{typ: typ, name: name} }

// tarOf is a whole archive of entries.
func tarOf(entries ...entry) []byte {
	return append(cutTar(entries...), make([]byte, 2*blockSize)...)
}

// cutTar lacks the end of the archive.
func cutTar(entries ...entry) []byte {
	var b bytes.Buffer
	for _, e := range entries {
		records := maps.Clone(e.pax)
		if records == nil {
			records = map[string]string{}
		}
		if len(e.name) > 100 {
			records["path"] = e.name
		}
		if len(e.link) > 100 {
			records["linkpath"] = e.link
		}
		if len(records) > 0 {
			body := ""
			for _, key := range slices.Sorted(maps.Keys(records)) {
				body += paxRecord(key, records[key])
			}
			writeEntry(&b, entry{typ: 'x', name: "PaxHeaders/x", body: body})
		}
		writeEntry(&b, e)
	}
	return b.Bytes()
}

// largePax is a header with an extended attribute of that many bytes.
func largePax(size int) entry {
	return entry{typ: 'x', name: "PaxHeaders/x", body: paxRecord("SCHILY.xattr.user.a", strings.Repeat("v", size))}
}

// paxRecord is "LENGTH KEY=VALUE\n", and LENGTH counts itself.
func paxRecord(key, value string) string {
	rest := fmt.Sprintf(" %s=%s\n", key, value)
	for length := len(rest); ; length++ {
		if record := fmt.Sprint(length) + rest; len(record) == length {
			return record
		}
	}
}

func writeEntry(b *bytes.Buffer, e entry) {
	h := make([]byte, blockSize)
	copy(h[0:100], e.name)
	copy(h[100:], "0000640\x00")
	copy(h[108:], "0001750\x00")
	copy(h[116:], "0001750\x00")
	size := e.size
	if size == "" {
		size = fmt.Sprintf("%011o\x00", len(e.body))
	}
	copy(h[124:136], size)
	mtime := e.mtime
	if mtime == "" {
		mtime = fmt.Sprintf("%011o\x00", 1_000_000_000)
	}
	copy(h[136:148], mtime)
	h[156] = e.typ
	copy(h[157:257], e.link)
	copy(h[257:], "ustar\x0000")
	b.Write(withChecksum(h))
	b.WriteString(e.body)
	b.Write(make([]byte, -len(e.body)&(blockSize-1)))
}

func withChecksum(header []byte) []byte {
	copy(header[148:156], "        ")
	sum := 0
	for _, c := range header {
		sum += int(c)
	}
	copy(header[148:156], fmt.Sprintf("%06o\x00 ", sum))
	return header
}

func gzipped(t testing.TB, data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(data)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

func zstded(t testing.TB, data []byte, opts ...zstd.EOption) []byte {
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, opts...)
	require.NoError(t, err)
	_, err = w.Write(data)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

// noise does not compress, and is the same each time.
func noise(n int) []byte {
	b := make([]byte, n)
	for i, x := 0, uint32(1); i < n; i++ {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

// deep is a path of n folders and a file.
func deep(n int) string {
	return strings.Repeat("d/", n) + "f"
}
