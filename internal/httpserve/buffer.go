package httpserve

import (
	"math/bits"
	"sync"
)

// buffer is memory for one body while it is sent, from a pool.
type buffer struct {
	bytes []byte // its length is a power of two
}

// The logarithms of the sizes of the smallest and the largest buffers.
const (
	smallestBuffer = 12 // 4 KiB
	largestBuffer  = 18 // maxCached
)

// buffers holds those that nobody uses, by size: 4 KiB, 8 KiB, and so on up to
// what is cached.
var buffers [largestBuffer - smallestBuffer + 1]sync.Pool

// takeBuffer returns a buffer of that many bytes at least, maxCached at most.
func takeBuffer(size int64) *buffer {
	class := max(bits.Len64(uint64(max(size, 1)-1)), smallestBuffer) - smallestBuffer
	if b, ok := buffers[class].Get().(*buffer); ok {
		return b
	}
	return &buffer{make([]byte, 1<<(class+smallestBuffer))}
}

// give puts the buffer back. Nobody may use it afterwards, so a buffer that was
// part of a Write that failed is left to the collector: HTTP/2 returns from one
// while the frame may still be on its way.
func (b *buffer) give() {
	class := bits.Len(uint(len(b.bytes))) - 1 - smallestBuffer
	buffers[class].Put(b)
}
