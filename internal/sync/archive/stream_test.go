package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sample has content that does not compress away, links, and its own padding.
func sample() []byte {
	return tarOf(dir("./"), reg("./a", string(noise(3000))), reg("./d/zeros", strings.Repeat("\x00", 2048)), hard("b", "a"), sym("l", "d"))
}

// wrapped is data in each format.
func wrapped(t testing.TB, data []byte) map[string][]byte {
	return map[string][]byte{"tar": data, "tar+gzip": gzipped(t, data), "tar+zstd": zstded(t, data)}
}

func TestFormats(t *testing.T) {
	data := sample()
	half := len(data)/2 + 100
	longWindow := zstded(t, data, zstd.WithWindowSize(8<<20), zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithSingleSegment(false))
	for name, tc := range map[string]struct {
		data   []byte
		format string
	}{
		"tar":                          {data, "tar"},
		"gzip":                         {gzipped(t, data), "tar+gzip"},
		"gzip in two members":          {slices.Concat(gzipped(t, data[:half]), gzipped(t, data[half:])), "tar+gzip"},
		"gzip with empty members":      {slices.Concat(gzipped(t, nil), gzipped(t, data), gzipped(t, nil)), "tar+gzip"},
		"gzip padded with zeros":       {slices.Concat(gzipped(t, data), make([]byte, 100_000)), "tar+gzip"},
		"zstd":                         {zstded(t, data), "tar+zstd"},
		"zstd in two frames":           {slices.Concat(zstded(t, data[:half]), zstded(t, data[half:])), "tar+zstd"},
		"zstd after a skipped frame":   {slices.Concat([]byte("\x5a\x2a\x4d\x18\x03\x00\x00\x00abc"), zstded(t, data)), "tar+zstd"},
		"zstd with the largest window": {longWindow, "tar+zstd"},
		"tar without padding":          {data[:len(data)-blockSize], "tar"},
		"tar with much padding":        {slices.Concat(data, make([]byte, 1_000_000)), "tar"},
		"tar with rubbish as padding":  {slices.Concat(data, bytes.Repeat([]byte("?"), 9_999)), "tar"},
	} {
		t.Run(name, func(t *testing.T) {
			sink, report, err := extracted(t, tc.data, Limits{})
			require.NoError(t, err)
			assert.Equal(t, tc.format, report.Format)
			assert.Equal(t, 3, report.Files)
			assert.Equal(t, []string{"a", "b", "d", "d/zeros", "l", "l/zeros"}, slices.Sorted(maps.Keys(sink.tree())))
		})
	}
}

// The old dialect has no magic at all, only a checksum, of signed bytes in some.
func TestFirstBlockWithoutMagic(t *testing.T) {
	data := tarOf(reg("größe", "1"))
	clear(data[257:265])
	withChecksum(data[:blockSize])
	_, report, err := extracted(t, data, Limits{})
	require.NoError(t, err)
	assert.Equal(t, "tar", report.Format)

	var signed int
	for _, b := range append(bytes.Repeat([]byte(" "), 8), append(slices.Clone(data[:148]), data[156:blockSize]...)...) {
		signed += int(int8(b))
	}
	copy(data[148:156], fmt.Sprintf("%06o\x00 ", signed))
	_, _, err = extracted(t, data, Limits{})
	require.NoError(t, err)
}

func TestNotAnArchive(t *testing.T) {
	data := sample()
	damaged := slices.Clone(data)
	damaged[0] ^= 1
	for name, tc := range map[string]struct {
		data []byte
		says string
	}{
		"nothing":              {nil, "empty (0 bytes)"},
		"zip":                  {[]byte("PK\x03\x04 and so on"), "zip file"},
		"xz":                   {[]byte("\xfd7zXZ\x00..."), "xz stream"},
		"bzip2":                {[]byte("BZh91AY&SY"), "bzip2 stream"},
		"HTML":                 {[]byte("\n<!DOCTYPE html><title>Sign in</title>"), "HTML page"},
		"XML":                  {[]byte("<?xml version='1.0'?>"), "XML"},
		"JSON":                 {[]byte(`{"errors":[]}`), "JSON document"},
		"text":                 {[]byte("hello\n"), "text file"},
		"LFS":                  {[]byte("version https://git-lfs.github.com/spec/v1\n"), "Git LFS"},
		"anything":             {[]byte("\x01\x02\x1b[2J"), `begins with "\x01\x02\x1b[2J"`},
		"few zeros":            {make([]byte, 100), "zero bytes"},
		"half a header":        {data[:300], "tar archive with a damaged first header"},
		"a damaged header":     {damaged, "tar archive with a damaged first header"},
		"gzip of nothing":      {gzipped(t, nil), "the gzip stream holds nothing"},
		"zstd of nothing":      {zstded(t, []byte{}, zstd.WithZeroFrames(true)), "the zstd stream holds nothing"},
		"gzip of text":         {gzipped(t, []byte("hello")), "what the gzip stream holds is no tar archive but a text file"},
		"gzip of gzip":         {gzipped(t, gzipped(t, data)), "compressed twice?"},
		"gzip of zstd":         {gzipped(t, zstded(t, data)), "compressed twice?"},
		"zstd of gzip":         {zstded(t, gzipped(t, data)), "compressed twice?"},
		"gzip's magic":         {[]byte("\x1f\x8b"), "the gzip stream is truncated"},
		"gzip of another kind": {[]byte("\x1f\x8b\x07\x00\x00\x00\x00\x00\x00\x00\x00"), "the gzip stream is corrupt"},
		"gzip, rubbish":        {slices.Concat(gzipped(t, data), []byte("rubbish, more than a header's worth")), "comes something else"},
		"gzip, little of it":   {slices.Concat(gzipped(t, data), []byte("rubbish")), "comes something else"},
		"gzip, zeros, rubbish": {slices.Concat(gzipped(t, data), make([]byte, 70_000), []byte("x")), "comes something else"},
		"zstd, rubbish":        {slices.Concat(zstded(t, data), []byte("rubbish")), "the zstd stream is corrupt"},
		"zstd, a huge window":  {zstded(t, bytes.Repeat(data, 100), zstd.WithWindowSize(16<<20), zstd.WithSingleSegment(false)), "without --long"},
		"two archives":         {slices.Concat(data, data), "tar -Af"},
		"two archives, gzip":   {slices.Concat(gzipped(t, data), gzipped(t, data)), "tar -Af"},
		"a lone zero block":    {slices.Concat(cutTar(reg("a", "1")), make([]byte, blockSize), tarOf(reg("b", "2"))), "tar -Af"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := extracted(t, tc.data, Limits{})
			require.Error(t, err)
			assert.Contains(t, err.Error(), tc.says)
			assert.NotContains(t, err.Error(), "\x1b")
		})
	}
}

// Cut anywhere, an archive is refused: between entries, in padding, in the
// trailer of a compressed stream. A plain tar is whole with the first of the two
// blocks that end it.
func TestTruncatedAnywhere(t *testing.T) {
	plain := sample()
	for format, data := range wrapped(t, plain) {
		t.Run(format, func(t *testing.T) {
			whole := len(data)
			if format == "tar" {
				whole -= blockSize
			}
			for n := 0; n < len(data); n++ {
				if n > blockSize && n < len(data)-3*blockSize && n%blockSize != 0 {
					n += 6 // what is about blocks and trailers is tried byte by byte
				}
				_, _, err := extracted(t, data[:n], Limits{})
				if n < whole {
					require.Error(t, err, "cut to %d of %d bytes", n, len(data))
				} else {
					require.NoError(t, err, "cut to %d of %d bytes", n, len(data))
				}
			}
		})
	}
}

// A compressed stream says that it is whole; the tar in it must say so too.
func TestTruncatedBeforeCompression(t *testing.T) {
	long := strings.Repeat("n", 100) + strings.Repeat("/"+strings.Repeat("n", 102), 4) // its last PAX block is one of padding
	data := tarOf(reg("a", "1"), reg(long, "2"), reg("z", strings.Repeat("\x00", 1024)))
	for n := blockSize; n < len(data)-2*blockSize; n += 64 {
		for format, data := range wrapped(t, data[:n]) {
			_, _, err := extracted(t, data, Limits{})
			require.Error(t, err, "%s, cut to %d", format, n)
			assert.Contains(t, err.Error(), "truncated")
		}
	}
}

// GNU's long names end in NUL: with 512 bytes of name a block of zeros follows,
// and is not the end of the archive.
func TestTruncatedInLongName(t *testing.T) {
	long := strings.Repeat("a", 255) + "/" + strings.Repeat("b", 255) + "/"
	require.Len(t, long, 512)
	data := cutTar(reg("a", "1"), entry{typ: 'L', name: "././@LongLink", body: long + "\x00"})
	require.True(t, isZero(data[len(data)-blockSize:]))
	_, _, err := extracted(t, data, Limits{})
	require.Error(t, err)
	assert.Contains(t, err.Error(), `after entry "a"`)
}

// Whatever is flipped in a gzip shows, as its CRC covers the content; but for
// bits that mean nothing, after which the content is the same.
func TestCorruptGzip(t *testing.T) {
	data := gzipped(t, sample())
	whole, _, err := extracted(t, data, Limits{})
	require.NoError(t, err)
	refused := 0
	for i := range data {
		broken := slices.Clone(data)
		broken[i] ^= 0x10
		sink, _, err := extracted(t, broken, Limits{})
		if err == nil {
			require.Equal(t, whole.tree(), sink.tree(), "byte %d", i)
		} else {
			refused++
		}
	}
	assert.Greater(t, refused, len(data)-10)
}

// What follows the tar's end counts too, since tar readers stop there.
func TestGzipIsReadToItsEnd(t *testing.T) {
	data := gzipped(t, slices.Concat(sample(), make([]byte, 200_000)))
	for _, fromEnd := range []int{1, 5} { // length, CRC
		broken := slices.Clone(data)
		broken[len(data)-fromEnd] ^= 1
		_, _, err := extracted(t, broken, Limits{})
		require.Error(t, err)
		assert.Contains(t, err.Error(), "the gzip stream is corrupt")
	}
}

// Errors name the entry that they concern.
func TestBrokenContentNamesItsEntry(t *testing.T) {
	data := tarOf(reg("first", "1"), reg("second", strings.Repeat("x", 5000)))
	for format, data := range map[string][]byte{
		"tar":      data[:3000],
		"tar+gzip": gzipped(t, data[:3000]),
		"tar+zstd": zstded(t, data[:3000]),
	} {
		_, _, err := extracted(t, data, Limits{})
		var refused *RefusedError
		require.ErrorAs(t, err, &refused, format)
		assert.Equal(t, "second", refused.Entry, format)
		assert.Contains(t, err.Error(), "truncated", format)
		assert.ErrorIs(t, err, io.ErrUnexpectedEOF, format)
	}
}

// A transfer that goes wrong is no fault of the archive, whatever the archive
// looked like until then.
func TestFailureOfTheReaderWins(t *testing.T) {
	failure := errors.New("digest mismatch")
	good, bad := sample(), tarOf(reg("../evil", strings.Repeat("x", 100_000)))
	for name, plain := range map[string][]byte{"good": good, "refused at once": bad, "no archive": []byte("<html>"), "empty": nil} {
		for format, data := range wrapped(t, plain) {
			for _, failAt := range []int{0, len(data) / 3, len(data) / 2, len(data)} {
				for _, fail := range []error{failure, io.ErrUnexpectedEOF} {
					r := io.MultiReader(bytes.NewReader(data[:failAt]), iotest.ErrReader(fmt.Errorf("blob: %w", fail)))
					_, err := Extract(t.Context(), r, Limits{}, newMemorySink(t))
					require.ErrorIs(t, err, fail, "%s, %s, at %d", name, format, failAt)
					require.False(t, errors.As(err, new(*RefusedError)), "%s, %s, at %d: %v", name, format, failAt, err)
				}
			}
		}
	}
}

// Readers may return little at a time, data with EOF, or nothing at times.
func TestOddReaders(t *testing.T) {
	for format, data := range wrapped(t, sample()) {
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"one byte":      iotest.OneByteReader,
			"half":          iotest.HalfReader,
			"data with EOF": iotest.DataErrReader,
		} {
			report, err := Extract(t.Context(), wrap(bytes.NewReader(data)), Limits{}, newMemorySink(t))
			require.NoError(t, err, "%s, %s", format, name)
			assert.Equal(t, 3, report.Files)
		}
	}
}

// Whichever call of the sink fails, its error comes back as it is and nothing
// more is read or called.
func TestFailureOfTheSink(t *testing.T) {
	data := tarOf(
		dir("d"), reg("d/a", strings.Repeat("x", 200_000)), hard("b", "d/a"), reg("c", "1"), typed('6', "c"), hard("b", "d/a"), sym("l", "d"),
		reg("more", strings.Repeat("x", 500_000)),
	)
	whole := newMemorySink(t)
	_, err := Extract(t.Context(), bytes.NewReader(data), Limits{}, whole)
	require.NoError(t, err)
	require.Equal(t, 11, whole.calls)

	for call := 1; call <= whole.calls; call++ {
		sink := newMemorySink(t)
		sink.failAt, sink.failWith = call, errors.New("no space left on device")
		r := bytes.NewReader(data)
		_, err := Extract(t.Context(), r, Limits{}, sink)
		require.Same(t, sink.failWith, err, "call %d", call)
		require.Equal(t, call, sink.calls)
		if call < 9 { // of the last file; from there on all is read
			assert.NotZero(t, r.Len(), "call %d", call)
		}
	}
}

// A sink need not read what it does not want.
func TestContentLeftUnread(t *testing.T) {
	for _, data := range wrapped(t, sample()) {
		report, err := Check(t.Context(), bytes.NewReader(data), Limits{}, nil)
		require.NoError(t, err)
		assert.EqualValues(t, 8048, report.Bytes)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	endless := io.MultiReader(bytes.NewReader(cutTar(entry{typ: '0', name: "a", size: "17777777777\x00"})), readerFunc(func(p []byte) (int, error) {
		cancel()
		return len(p), nil
	}))
	_, err := Extract(ctx, endless, Limits{}, newMemorySink(t))
	require.ErrorIs(t, err, context.Canceled)
	require.False(t, errors.As(err, new(*RefusedError)))
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A stream whose bulk is in no file is ended, too: 1 GiB of padding, of entries
// that are skipped, or of the same folder again and again.
func TestBombOutsideOfFiles(t *testing.T) {
	const gib = 1 << 30
	folders := bytes.Repeat(cutTar(dir("d")), 1024)
	for name, tc := range map[string]struct{ head, repeat []byte }{
		"padding": {tarOf(reg("a", "1")), make([]byte, 1<<20)},
		"skipped": {cutTar(reg("a", "1"), entry{typ: 'Z', name: "z", size: "77777777777\x00"}), make([]byte, 1<<20)},
		"folders": {cutTar(reg("a", "1")), folders},
	} {
		t.Run(name, func(t *testing.T) {
			r, w := io.Pipe()
			go func() {
				_, _ = w.Write(tc.head)
				for n := 0; n < gib; n += len(tc.repeat) {
					if _, err := w.Write(tc.repeat); err != nil {
						return
					}
				}
				w.Close()
			}()
			_, err := Check(t.Context(), r, Limits{TreeBytes: 1 << 20, Files: 10}, nil)
			require.ErrorAs(t, err, new(*RefusedError))
			assert.Contains(t, err.Error(), "store.maxTreeBytes")
		})
	}
}
