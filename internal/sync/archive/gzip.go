package archive

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"

	"github.com/specman/specman/internal/sync/archive/inflate"
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
	member *inflate.Reader
	crc    uint32 // of the member so far
	size   uint32 // modulo 2^32, as the member says it
}

func openGzip(r *bufio.Reader) (io.ReadCloser, error) {
	if err := readGzipHeader(r); err != nil {
		return nil, err
	}
	return &gzipReader{r: r, member: inflate.NewReader(r)}, nil
}

func (g *gzipReader) Read(p []byte) (int, error) {
	for {
		n, err := g.member.Read(p)
		if n > 0 {
			g.crc = crc32.Update(g.crc, crc32.IEEETable, p[:n])
			g.size += uint32(n)
			return n, nil // what ended the member comes again with the next Read
		}
		if err != io.EOF {
			return 0, err
		}
		if err := g.endMember(); err != nil {
			return 0, err
		}
		if err := g.nextMember(); err != nil {
			return 0, err
		}
	}
}

var (
	errGzipHeader = errors.New("the gzip header is invalid")
	errGzipCRC    = errors.New("its content does not have the CRC that its end tells")
	errGzipSize   = errors.New("its content does not have the length that its end tells")
	errGzipTail   = errors.New("after the end of the gzip data comes something else")
)

// endMember holds a member's content against what is behind it.
func (g *gzipReader) endMember() error {
	var end [8]byte
	if _, err := io.ReadFull(g.r, end[:]); err != nil {
		return noEOF(err)
	}
	switch {
	case binary.LittleEndian.Uint32(end[:]) != g.crc:
		return errGzipCRC
	case binary.LittleEndian.Uint32(end[4:]) != g.size:
		return errGzipSize
	}
	return nil
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
	if magic, _ := g.r.Peek(2); len(magic) == 2 && !isGzip(magic) { // too short for a header, maybe
		return errGzipTail
	}
	if err := readGzipHeader(g.r); err != nil {
		if errors.Is(err, errGzipHeader) {
			err = errGzipTail
		}
		return noEOF(err)
	}
	g.member.Reset(g.r)
	g.crc, g.size = 0, 0
	return nil
}

// Flags of a gzip header (RFC 1952, section 2.3.1).
const (
	gzipHeaderCRC = 1 << 1
	gzipExtra     = 1 << 2
	gzipName      = 1 << 3
	gzipComment   = 1 << 4
)

// readGzipHeader reads over a member's header. What it tells of the content (name,
// date, system) is of no use here.
func readGzipHeader(r *bufio.Reader) error {
	h := gzipHeader{r: r}
	fixed := h.take(10)
	if h.err == nil && (!isGzip(fixed) || fixed[2] != 8) {
		return errGzipHeader
	}
	var flags byte
	if h.err == nil {
		flags = fixed[3]
	}
	if flags&gzipExtra != 0 {
		if size := h.take(2); h.err == nil {
			h.take(int(binary.LittleEndian.Uint16(size)))
		}
	}
	for _, text := range []byte{gzipName, gzipComment} {
		if flags&text != 0 {
			h.skipText()
		}
	}
	if flags&gzipHeaderCRC != 0 {
		want := uint16(h.crc)
		if sum := h.take(2); h.err == nil && binary.LittleEndian.Uint16(sum) != want {
			return errGzipHeader
		}
	}
	return h.err
}

// gzipHeader reads fields until the first error, which stays.
type gzipHeader struct {
	r   *bufio.Reader
	crc uint32
	err error
}

func (h *gzipHeader) take(n int) []byte {
	field := make([]byte, n)
	if h.err == nil {
		_, err := io.ReadFull(h.r, field)
		h.err = noEOF(err)
		h.crc = crc32.Update(h.crc, crc32.IEEETable, field)
	}
	return field
}

// skipText reads to the zero that ends a text, however long it is.
func (h *gzipHeader) skipText() {
	for h.err == nil {
		text, err := h.r.ReadSlice(0)
		h.crc = crc32.Update(h.crc, crc32.IEEETable, text)
		if err == nil {
			return
		}
		if err != bufio.ErrBufferFull {
			h.err = noEOF(err)
		}
	}
}

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

func (g *gzipReader) Close() error { return nil }

// noEOF is for places where the end of the stream is not due.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
