package httpserve

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// pageSize is the unit in which cached bodies are kept. Half a page of each is
// lost, and what names a page takes a tenth of it: both grow if this changes.
const pageSize = 512

// noPage is the end of a chain.
const noPage = -1

// pages is memory for bodies, in pages. A body is a chain of pages that need not
// lie side by side, so that there is room for it whenever enough pages are free:
// memory never falls to pieces. The pages are not safe for concurrent use, and
// nothing outside of them may point into their memory, as it is used again.
type pages struct {
	memory []byte
	next   []int32 // the page after each in its chain, or in the chain of free ones
	free   int32   // the first of the free chain
	fresh  int32   // from here on pages were never used, and take no memory yet
	left   int     // free and fresh ones
}

func newPages(memory []byte) pages {
	n := len(memory) / pageSize
	return pages{memory: memory, next: make([]int32, n), free: noPage, left: n}
}

// pagesFor returns how many pages that many bytes take.
func pagesFor(bytes int) int { return max(1, (bytes+pageSize-1)/pageSize) }

func (p *pages) page(n int32) []byte { return p.memory[int(n)*pageSize:][:pageSize] }

// take returns a chain of n pages, which must be left.
func (p *pages) take(n int) (first int32) {
	p.left -= n
	first = noPage
	for ; n > 0; n-- {
		page := p.free
		if page != noPage {
			p.free = p.next[page]
		} else {
			page = p.fresh
			p.fresh++
		}
		p.next[page] = first
		first = page
	}
	return first
}

// give takes a chain back.
func (p *pages) give(first int32) {
	last, n := first, 1
	for p.next[last] != noPage {
		last = p.next[last]
		n++
	}
	p.next[last] = p.free
	p.free = first
	p.left += n
}

// write puts bytes into a chain, from an offset within its first page on.
func (p *pages) write(page int32, offset int, bytes []byte) {
	bytes = bytes[copy(p.page(page)[offset:], bytes):]
	for len(bytes) > 0 {
		page = p.next[page]
		bytes = bytes[copy(p.page(page), bytes):]
	}
}

// read is write backwards: it fills bytes.
func (p *pages) read(page int32, offset int, bytes []byte) {
	bytes = bytes[copy(bytes, p.page(page)[offset:]):]
	for len(bytes) > 0 {
		page = p.next[page]
		bytes = bytes[copy(bytes, p.page(page)):]
	}
}

// reserve returns zeroed memory that is not the garbage collector's. It takes
// what was written to, no more, also where the kernel likes large pages.
func reserve(bytes int) ([]byte, error) {
	memory, err := unix.Mmap(-1, 0, bytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("reserve %d bytes: %w", bytes, err)
	}
	_ = unix.Madvise(memory, unix.MADV_NOHUGEPAGE) // a kernel without large pages refuses it
	return memory, nil
}

// releaseWith gives reserved memory back when its owner is garbage.
func releaseWith[T any](owner *T, memory []byte) {
	runtime.AddCleanup(owner, func(memory []byte) { _ = unix.Munmap(memory) }, memory) // it was mapped: it can be unmapped
}
