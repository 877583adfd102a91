package archive

import (
	"bufio"
	"io"
)

// stream is a tar stream that knows where it is. archive/tar takes any end of
// the stream between two entries for the end of the archive; stream tells one
// that was cut off there.
type stream struct {
	r      *bufio.Reader // for headers
	direct io.Reader     // what r reads, for content: it is copied once less
	n      int64         // bytes handed out
}

func newStream(r io.Reader) *stream {
	return &stream{r: bufio.NewReaderSize(sips{r}, bufferSize), direct: r}
}

func (s *stream) Read(p []byte) (n int, err error) {
	if s.r.Buffered() > 0 {
		n, err = s.r.Read(p)
	} else {
		n, err = s.direct.Read(p)
	}
	s.n += int64(n)
	return n, err
}

// sips has a buffer take no more than a header at a time.
type sips struct{ r io.Reader }

func (s sips) Read(p []byte) (int, error) { return s.r.Read(p[:min(len(p), 2*blockSize)]) }

// atEnd reports whether the block that ends an archive comes next. It is to be
// asked when an entry's content has been read; with its padding outstanding, as
// archive/tar leaves it. An error means that the stream ends here or failed.
func (s *stream) atEnd() (bool, error) {
	padding := int(-s.n & (blockSize - 1))
	next, err := s.r.Peek(padding + blockSize)
	if err != nil {
		return false, noEOF(err)
	}
	return isZero(next[padding:]), nil
}

// finish reads from the block that ends the archive to the end of the stream.
// What tar writes there is padding, which POSIX leaves undefined; but a header
// means that archives were joined by cat, and tar itself would drop the second.
func (s *stream) finish() error {
	if _, err := s.r.Discard(int(-s.n & (blockSize - 1))); err != nil {
		return noEOF(err)
	}
	block := make([]byte, blockSize)
	for {
		_, err := io.ReadFull(s.r, block)
		switch {
		case err == io.EOF, err == io.ErrUnexpectedEOF:
			return nil
		case err != nil:
			return err
		case !isZero(block) && isHeader(block):
			return refuse("", "a second archive follows the end of the first; join them with `tar -Af first.tar second.tar`")
		}
	}
}
