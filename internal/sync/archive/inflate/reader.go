package inflate

import (
	"bufio"
	"errors"
	"io"
)

// What a stream can have against it. A stream that stops too early is
// io.ErrUnexpectedEOF.
var (
	errBlockType   = errors.New("deflate: a block of a type that there is not")
	errStoredSize  = errors.New("deflate: the two sizes of a stored block differ")
	errCode        = errors.New("deflate: the codes of a block are none")
	errSymbol      = errors.New("deflate: a code that stands for nothing")
	errFarDistance = errors.New("deflate: a match before the beginning")
)

const (
	window   = 32 << 10 // how far back a match may go (RFC 1951, section 2)
	longest  = 258      // bytes of the longest match
	overshot = 8        // bytes that copying a match may write past its end
	ahead    = 3 * 2    // bytes of literals before a match

	outSize  = window + 64<<10
	lastSlot = outSize - ahead - longest - overshot // decoding goes on up to here
)

// Reader reads what one DEFLATE stream holds. It takes about 130 KiB. It is not
// safe for concurrent use.
type Reader struct {
	r   *bufio.Reader
	acc uint64 // bits that were read and not used yet, the next one lowest
	n   uint   // how many of them

	state  state
	final  bool  // the block is the last one
	stored int   // bytes of a stored block that are still to come
	err    error // io.EOF behind the last block

	// out holds what was decoded: up to read it was handed out, up to written it
	// is to be. The window before it stays.
	out           [outSize]byte
	read, written int

	literals  [literalTable]entry
	distances [distanceTable]entry
	lengths   [286 + 30 + 16]uint8 // those of the block's codes, with room for a run past their end
}

// state is what comes next in the stream.
type state uint8

const (
	blockHeader state = iota
	storedBytes
	symbols
)

// NewReader returns a Reader of the stream that begins with r's next byte. The
// buffer of r should be some KiB.
func NewReader(r *bufio.Reader) *Reader {
	d := new(Reader)
	d.Reset(r)
	return d
}

// Reset begins another stream.
func (d *Reader) Reset(r *bufio.Reader) {
	d.r, d.acc, d.n = r, 0, 0
	d.state, d.final, d.err = blockHeader, false, nil
	d.read, d.written = 0, 0
}

// Read implements io.Reader. Behind the last block it returns io.EOF, and the
// next byte of the bufio.Reader is the first behind the stream.
func (d *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for d.read == d.written {
		if d.err != nil {
			return 0, d.err
		}
		if d.written >= lastSlot {
			copy(d.out[:window], d.out[d.written-window:])
			d.read, d.written = window, window
		}
		d.err = d.decode()
	}
	n := copy(p, d.out[d.read:d.written])
	d.read += n
	return n, nil
}

// decode goes on until there is no room, or an error. What was written before an
// error is good.
func (d *Reader) decode() error {
	for d.written < lastSlot {
		var err error
		switch d.state {
		case blockHeader:
			if d.final {
				return io.EOF // fewer than 8 bits are left: none of the next byte
			}
			err = d.header()
		case storedBytes:
			err = d.copyStored()
		case symbols:
			err = d.block()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// need sees to it that there are n bits, 32 at most.
func (d *Reader) need(n uint) error {
	for d.n < n {
		b, err := d.r.ReadByte()
		if err != nil {
			return unexpected(err)
		}
		d.acc |= uint64(b) << d.n
		d.n += 8
	}
	return nil
}

// take takes n bits that are there.
func (d *Reader) take(n uint) int {
	v := d.acc & (1<<n - 1)
	d.acc >>= n
	d.n -= n
	return int(v)
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// header reads the beginning of a block (section 3.2.3).
func (d *Reader) header() error {
	if err := d.need(3); err != nil {
		return err
	}
	d.final = d.take(1) == 1
	switch d.take(2) {
	case 0:
		return d.storedHeader()
	case 1:
		d.fixedCodes()
		d.state = symbols
		return nil
	case 2:
		d.state = symbols
		return d.dynamicCodes()
	}
	return errBlockType
}

// storedHeader reads the size of a block that is not compressed (section 3.2.4).
func (d *Reader) storedHeader() error {
	d.take(d.n & 7) // to the next whole byte
	if err := d.need(32); err != nil {
		return err
	}
	size := d.take(16)
	if size^d.take(16) != 0xffff {
		return errStoredSize
	}
	d.state, d.stored = storedBytes, size
	return nil
}

func (d *Reader) copyStored() error {
	into := d.out[d.written:min(d.written+d.stored, lastSlot)]
	n, err := io.ReadFull(d.r, into)
	d.written += n
	d.stored -= n
	if err != nil {
		return unexpected(err)
	}
	if d.stored == 0 {
		d.state = blockHeader
	}
	return nil
}

// block decodes symbols.
func (d *Reader) block() error {
	for d.state == symbols && d.written < lastSlot {
		// Peek has the reader fill its buffer. What it has is decoded in place.
		_, _ = d.r.Peek(fastInput) // an error comes again where the input ends
		if in, _ := d.r.Peek(d.r.Buffered()); len(in) >= fastInput {
			used, err := d.decodeFast(in)
			_, _ = d.r.Discard(used) // of what is buffered: it cannot fail
			if err != nil {
				return err
			}
			continue
		}
		if err := d.decodeOne(); err != nil {
			return err
		}
	}
	return nil
}
