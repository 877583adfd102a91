package archive

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
)

func isGzip(head []byte) bool {
	return bytes.HasPrefix(head, []byte{0x1f, 0x8b})
}

// gzipReader reads a gzip file: members one after the other (RFC 1952, section
// 2.2), each checked against its CRC and length, and possibly zeros at the end.
// GNU tar pads with zeros when it writes a compressed archive to what is not a
// regular file (tar -czf /dev/stdout . | cat), and gzip ignores them.
type gzipReader struct {
	r      *bufio.Reader
	member *gzip.Reader
}

func openGzip(r *bufio.Reader) (io.ReadCloser, error) {
	member, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	member.Multistream(false)
	return &gzipReader{r: r, member: member}, nil
}

func (g *gzipReader) Read(p []byte) (int, error) {
	for {
		n, err := g.member.Read(p)
		if n > 0 {
			// Its EOF comes again with the next Read.
			if err == io.EOF {
				err = nil
			}
			return n, err
		}
		if err != io.EOF {
			return 0, err
		}
		if err := g.nextMember(); err != nil {
			return 0, err
		}
	}
}

// nextMember returns io.EOF if there is none.
func (g *gzipReader) nextMember() error {
	first, err := g.r.Peek(1)
	if err != nil {
		return err // io.EOF: the members end where the file does
	}
	if first[0] == 0 {
		return g.padding()
	}
	if err := g.member.Reset(g.r); err != nil {
		if errors.Is(err, gzip.ErrHeader) {
			err = errGzipTail
		}
		return noEOF(err)
	}
	g.member.Multistream(false)
	return nil
}

var errGzipTail = errors.New("after the end of the gzip data comes something else")

// padding reads zeros up to the end of the file.
func (g *gzipReader) padding() error {
	for {
		buffered, err := g.r.Peek(max(1, g.r.Buffered()))
		if len(buffered) == 0 {
			return err
		}
		if !isZero(buffered) {
			return errGzipTail
		}
		if _, err := g.r.Discard(len(buffered)); err != nil {
			return err
		}
	}
}

func (g *gzipReader) Close() error { return g.member.Close() }

// noEOF is for places where the end of the stream is not due.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
