package httpserve

import (
	"io"
	"net/http"
	"sync"
)

// blockSize is what a large body is read and written by. HTTP/2 has many
// streams on one connection, each of which may stand still with a block in
// its hands: they get smaller ones.
const (
	blockSize      = 256 << 10
	blockSizeHTTP2 = 64 << 10
)

// answer is the ResponseWriter of one request: it counts what was sent, and
// gives 412 and 416 of http.ServeContent our own form.
type answer struct {
	http.ResponseWriter
	request *http.Request
	status  int
	sent    int64
	failed  bool  // a Write did: of what it was given, some may still be read
	unread  error // of reading what was to be sent; the answer was broken off
	progress
	// values are where set puts them: a slice for each would be garbage of its own.
	values [8]string
	used   int
	// refuse is called in place of a status 412 or 416; what the caller writes
	// after it is dropped.
	refuse  func(status int)
	refused bool
}

var _ io.ReaderFrom = (*answer)(nil)

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// set sets a header that has one value; the key must be in canonical form.
func (a *answer) set(h http.Header, key, value string) {
	if a.used == len(a.values) {
		h[key] = []string{value}
		return
	}
	a.values[a.used] = value
	a.used++
	h[key] = a.values[a.used-1 : a.used : a.used]
}

func (a *answer) WriteHeader(status int) {
	if refuse := a.refuse; refuse != nil && (status == http.StatusPreconditionFailed || status == http.StatusRequestedRangeNotSatisfiable) {
		a.refuse = nil
		refuse(status)
		a.refused = true
		return
	}
	if a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (n int, err error) {
	if a.refused {
		return len(p), nil
	}
	if a.status == 0 {
		a.status = http.StatusOK
	}
	if a.conn != nil {
		n, err = a.writePieces(p)
	} else {
		n, err = a.ResponseWriter.Write(p)
	}
	a.sent += int64(n)
	a.failed = a.failed || err != nil
	return n, err
}

// ReadFrom sends what r has, in blocks from a pool. If r fails, the answer is
// broken off so that nobody takes it for whole, and unread says why.
func (a *answer) ReadFrom(r io.Reader) (sent int64, err error) {
	pool := &blocks
	if a.request.ProtoMajor == 2 {
		pool = &blocksHTTP2
	}
	block := pool.Get().(*[]byte)
	defer func() {
		if !a.failed { // see buffer.give
			pool.Put(block)
		}
	}()
	for {
		n, readErr := r.Read(*block)
		if n > 0 {
			m, err := a.Write((*block)[:n])
			sent += int64(m)
			if err != nil {
				return sent, err
			}
		}
		switch readErr {
		case nil:
		case io.EOF:
			return sent, nil
		default:
			a.unread = readErr
			panic(http.ErrAbortHandler)
		}
	}
}

var (
	blocks      = sync.Pool{New: func() any { return newBlock(blockSize) }}
	blocksHTTP2 = sync.Pool{New: func() any { return newBlock(blockSizeHTTP2) }}
)

func newBlock(size int) *[]byte {
	block := make([]byte, size)
	return &block
}
