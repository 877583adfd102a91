package archive

import (
	"io"

	"github.com/specman/specman/internal/block"
)

// What is decoded ahead: 512 KiB, enough for the one side to go on while the
// other has a pause.
const (
	aheadBlock = 128 << 10
	aheadCount = 4
)

// ahead is a stream that is read in a goroutine of its own, some blocks ahead of
// its reader: decoding takes as long as all that is done with the content, so
// both are done at a time. One goroutine calls Read and close.
type ahead struct {
	blocks chan []byte // what was read, in order; closed behind the last of it
	free   chan []byte
	stop   chan struct{}
	err    error // why blocks was closed

	block, rest []byte // the reader's
}

func readAhead(r io.Reader) *ahead {
	a := &ahead{blocks: make(chan []byte, aheadCount), free: make(chan []byte, aheadCount), stop: make(chan struct{})}
	go a.run(r)
	return a
}

func (a *ahead) run(r io.Reader) {
	defer close(a.blocks)
	for left := aheadCount; ; {
		block := a.take(&left)
		if block == nil {
			return
		}
		n, err := 0, error(nil)
		for n < len(block) && err == nil {
			var m int
			m, err = r.Read(block[n:])
			n += m
		}
		a.blocks <- block[:n] // has room for all that there are
		if err != nil {
			a.err = err
			return
		}
	}
}

// take returns a block: one that was used, if there is one, since memory that was
// never touched is dear; else one of those that are left to be made; nil when
// nobody reads any more.
func (a *ahead) take(left *int) []byte {
	select {
	case <-a.stop:
		return nil
	case block := <-a.free:
		return block[:aheadBlock]
	default:
	}
	if *left > 0 {
		*left--
		return block.New(aheadBlock)
	}
	select {
	case <-a.stop:
		return nil
	case block := <-a.free:
		return block[:aheadBlock]
	}
}

func (a *ahead) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.block != nil {
			a.free <- a.block
			a.block = nil
		}
		block, ok := <-a.blocks
		if !ok {
			return 0, a.err
		}
		a.block, a.rest = block, block
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// close ends the reading ahead: then nobody reads r any more. It waits for a Read
// that is under way.
func (a *ahead) close() {
	close(a.stop)
	for range a.blocks {
	}
}
