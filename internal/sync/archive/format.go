package archive

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
)

// format is a way in which a tar stream may be wrapped. Names and media types
// say nothing (ORAS calls a gzip a tar), so its first bytes tell it.
type format struct {
	name   string // as in Report.Format
	what   string // for messages
	starts func(head []byte) bool

	// open decodes r to its end: it must fail, not end, when the stream is cut
	// short or followed by anything else, and take bounded memory.
	open func(r *bufio.Reader) (io.ReadCloser, error)
}

var formats = []format{
	{"tar+gzip", "gzip stream", isGzip, openGzip},
	{"tar+zstd", "zstd stream", isZstd, openZstd},
	{"tar", "tar archive", isTar, openPlain},
}

const cure = "make it with `specman pack`, or `tar -czf manifests.tgz .`"

// detect finds the format of a stream by its first block.
func detect(head []byte) (format, *RefusedError) {
	for _, f := range formats {
		if f.starts(head) {
			return f, nil
		}
	}
	if len(head) == 0 {
		return format{}, refuse("", "it is empty (0 bytes); %s", cure)
	}
	return format{}, refuse("", "%s is no archive of a kind that is read here (tar, plain or in gzip or zstd); %s", guess(head), cure)
}

// decoded is the tar stream inside a format. All its errors but io.EOF are
// *RefusedError, and it goes on returning the same.
type decoded struct {
	r    io.ReadCloser
	what string
	left int64 // what the stream may still bring
	err  error
}

func openDecoded(f format, r *bufio.Reader, maxBytes int64) (*decoded, error) {
	d := &decoded{what: f.what, left: maxBytes}
	rc, err := f.open(r)
	if err != nil {
		return nil, d.fault(err)
	}
	d.r = rc
	return d, nil
}

func (d *decoded) Read(p []byte) (int, error) {
	if d.err != nil {
		return 0, d.err
	}
	n, err := d.r.Read(p)
	d.left -= int64(n)
	switch {
	case d.left < 0:
		d.err = refuse("", "it unpacks to far more than the limit of bytes (store.maxTreeBytes)")
		return 0, d.err
	case err == io.EOF:
		d.err = err
	case err != nil:
		d.err = d.fault(err)
	}
	return n, d.err
}

// fault says what is wrong with the stream, given what its decoder said.
func (d *decoded) fault(err error) *RefusedError {
	var refused *RefusedError
	switch {
	case errors.As(err, &refused):
		return refused
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return &RefusedError{Reason: "the " + d.what + " is truncated", Err: io.ErrUnexpectedEOF}
	default:
		return &RefusedError{Reason: "the " + d.what + " is corrupt", Err: err}
	}
}

func (d *decoded) Close() error { return d.r.Close() }

// openPlain reads a tar that is not compressed.
func openPlain(r *bufio.Reader) (io.ReadCloser, error) {
	return io.NopCloser(r), nil
}

// isTar reports whether block is a tar header of any dialect, or the zeros of
// an archive without entries. The old dialect has no magic; what all have in
// common is the checksum.
func isTar(block []byte) bool {
	return len(block) >= blockSize && (isZero(block[:blockSize]) || isHeader(block[:blockSize]))
}

const blockSize = 512

func isZero(block []byte) bool {
	for _, b := range block {
		if b != 0 {
			return false
		}
	}
	return true
}

// isHeader checks the sum over a header (POSIX ustar: bytes 148 to 155 in octal,
// counted as blanks themselves). Some old tars summed signed bytes.
func isHeader(block []byte) bool {
	const from, to = 148, 156
	field := string(bytes.Trim(block[from:to], " \x00"))
	want, err := strconv.ParseInt(field, 8, 64)
	if err != nil {
		return false
	}
	var unsigned, signed int64
	for i, b := range block {
		if i >= from && i < to {
			b = ' '
		}
		unsigned += int64(b)
		signed += int64(int8(b))
	}
	return want == unsigned || want == signed
}

// guess says what a stream that is no archive seems to be.
func guess(head []byte) string {
	for _, known := range []struct{ magic, what string }{
		{"\x1f\x8b", "a gzip stream (compressed twice?)"},
		{"\x28\xb5\x2f\xfd", "a zstd stream (compressed twice?)"},
		{"PK\x03\x04", "a zip file"},
		{"PK\x05\x06", "an empty zip file"},
		{"\xfd7zXZ\x00", "an xz stream"},
		{"BZh", "a bzip2 stream"},
		{"\x04\x22\x4d\x18", "an lz4 stream"},
		{"\x1f\x9d", "a compress (.Z) stream"},
		{"LZIP", "an lzip stream"},
		{"7z\xbc\xaf\x27\x1c", "a 7-Zip file"},
		{"Rar!", "a RAR file"},
		{"070701", "a cpio archive"},
		{"version https://git-lfs", "a Git LFS pointer (the file itself was not checked out)"},
		{"\x7fELF", "a program"},
	} {
		if bytes.HasPrefix(head, []byte(known.magic)) {
			return known.what
		}
	}
	if len(head) >= 262 && string(head[257:262]) == "ustar" {
		return "a tar archive with a damaged first header"
	}
	text := strings.ToLower(string(bytes.TrimLeft(head, "\xef\xbb\xbf \t\r\n")))
	switch {
	case strings.HasPrefix(text, "<!doctype html"), strings.HasPrefix(text, "<html"):
		return "an HTML page (a login or error page saved as a file?)"
	case strings.HasPrefix(text, "<"):
		return "an XML or HTML document"
	case strings.HasPrefix(text, "{"), strings.HasPrefix(text, "["):
		return "a JSON document"
	case isZero(head):
		return "a run of zero bytes"
	case isText(head):
		return "a text file"
	}
	return "this file (it begins with " + strconv.Quote(string(head[:min(len(head), 8)])) + ")"
}

func isText(head []byte) bool {
	for _, b := range head {
		if b < ' ' && b != '\t' && b != '\n' && b != '\r' {
			return false
		}
	}
	return true
}
