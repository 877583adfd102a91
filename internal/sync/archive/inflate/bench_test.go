package inflate

import (
	"bufio"
	"bytes"
	stdflate "compress/flate"
	"io"
	"testing"

	"github.com/klauspost/compress/flate"
)

// BenchmarkRead compares with what there is otherwise, on text as manifests are.
func BenchmarkRead(b *testing.B) {
	content := contents()["yaml"]
	stream := deflate(b, 6, content)
	for _, c := range []struct {
		name string
		open func(r *bufio.Reader) io.Reader
	}{
		{"here", func(r *bufio.Reader) io.Reader { return NewReader(r) }},
		{"klauspost", func(r *bufio.Reader) io.Reader { return flate.NewReader(r) }},
		{"standard", func(r *bufio.Reader) io.Reader { return stdflate.NewReader(r) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(content)))
			for b.Loop() {
				if _, err := io.Copy(io.Discard, c.open(bufio.NewReaderSize(bytes.NewReader(stream), 64<<10))); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
