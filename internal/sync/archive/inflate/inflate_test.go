package inflate

import (
	"bufio"
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// contents are what streams hold: of each kind that a coder has a way for.
func contents() map[string][]byte {
	random := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 100<<10)
	for n := range noise {
		noise[n] = byte(random.Uint32())
	}
	var yaml bytes.Buffer
	for yaml.Len() < 120<<10 {
		fmt.Fprintf(&yaml, "- name: pack-%d\n  filepath: /roar/packs/%x/pack.yaml\n  size: %d\n", random.IntN(1000), random.Uint32(), random.IntN(1<<20))
	}
	skewed := make([]byte, 100<<10) // codes of all lengths
	for n := range skewed {
		skewed[n] = byte(min(int(random.ExpFloat64()*9), 255))
	}
	periods := make([]byte, 0, 120<<10) // matches that overlap themselves, at each small distance
	for period := 1; len(periods) < 100<<10; period = period%40 + 1 {
		periods = append(periods, bytes.Repeat(noise[period*50:][:period], 30)...)
	}
	far := bytes.Repeat(noise[:32<<10], 4) // matches as far back as can be
	return map[string][]byte{
		"nothing": nil, "a byte": []byte("a"), "noise": noise, "yaml": yaml.Bytes(), "skewed": skewed,
		"periods": periods, "far": far, "zeros": make([]byte, 200<<10), "short": []byte(strings.Repeat("abc", 5)),
	}
}

func deflate(t testing.TB, level int, content []byte) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	require.NoError(t, err)
	for part := content; len(part) > 0; part = part[min(len(part), 70_000):] {
		_, err = w.Write(part[:min(len(part), 70_000)])
		require.NoError(t, err)
		if level == flate.BestSpeed {
			require.NoError(t, w.Flush()) // an empty stored block
		}
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

func TestStreamsOfEveryKindAreRead(t *testing.T) {
	for name, content := range contents() {
		for _, level := range []int{flate.NoCompression, flate.BestSpeed, 6, flate.BestCompression, flate.HuffmanOnly} {
			t.Run(fmt.Sprintf("%s, level %d", name, level), func(t *testing.T) {
				stream := deflate(t, level, content)
				const behind = "what follows"
				for _, read := range []func(io.Reader) io.Reader{
					func(r io.Reader) io.Reader { return r }, iotest.OneByteReader, iotest.DataErrReader, iotest.HalfReader,
				} {
					r := bufio.NewReader(read(io.MultiReader(bytes.NewReader(stream), strings.NewReader(behind))))
					got, err := io.ReadAll(NewReader(r))
					require.NoError(t, err)
					require.True(t, bytes.Equal(content, got))
					rest, err := io.ReadAll(r)
					require.NoError(t, err)
					assert.Equal(t, behind, string(rest), "what follows the stream is left alone")
				}
			})
		}
	}
}

func TestAReaderThatIsUsedAgainHasForgotten(t *testing.T) {
	d := NewReader(bufio.NewReader(bytes.NewReader(deflate(t, 6, []byte("first")))))
	_, err := io.ReadAll(d)
	require.NoError(t, err)
	// A match that only the stream before could serve.
	d.Reset(bufio.NewReader(bytes.NewReader(new(writer).bits(1, 1).bits(1, 2).code(1, 7).code(0, 5).bits(0, 7+16).bytes)))
	_, err = io.ReadAll(d)
	assert.ErrorIs(t, err, errFarDistance)
}

func TestAStreamThatIsCutShortIsSaidToBe(t *testing.T) {
	for name, content := range contents() {
		stream := deflate(t, 6, content)
		step := max(1, len(stream)/60)
		for cut := 0; cut < len(stream); cut += step {
			got, err := io.ReadAll(NewReader(bufio.NewReader(bytes.NewReader(stream[:cut]))))
			require.ErrorIs(t, err, io.ErrUnexpectedEOF, "%s, cut at %d", name, cut)
			require.True(t, bytes.HasPrefix(content, got), "%s, cut at %d", name, cut)
		}
	}
}

func TestAnErrorOfTheSourceIsHandedOn(t *testing.T) {
	broken := errors.New("the line is dead")
	stream := deflate(t, 6, contents()["yaml"])
	for _, at := range []int{0, 1, 10, len(stream) / 2, len(stream) - 1} {
		r := io.MultiReader(bytes.NewReader(stream[:at]), iotest.ErrReader(broken))
		_, err := io.ReadAll(NewReader(bufio.NewReader(r)))
		assert.ErrorIs(t, err, broken, "at %d", at)
	}
}

// writer writes bits as RFC 1951, section 3.1.1, packs them.
type writer struct {
	bytes []byte
	n     uint
}

// bits adds the lowest of v first.
func (w *writer) bits(v uint32, n uint) *writer {
	for range n {
		if w.n%8 == 0 {
			w.bytes = append(w.bytes, 0)
		}
		w.bytes[w.n/8] |= byte(v&1) << (w.n % 8)
		v >>= 1
		w.n++
	}
	return w
}

// code adds a Huffman code, its first bit first.
func (w *writer) code(v uint32, n uint) *writer {
	for k := n; k > 0; k-- {
		w.bits(v>>(k-1), 1)
	}
	return w
}

// dynamic begins a last block with the lengths of codes for code lengths, in
// their order on the wire.
func dynamic(literals, distances uint32, ordered ...uint32) *writer {
	w := new(writer).bits(1, 1).bits(2, 2).bits(literals-257, 5).bits(distances-1, 5).bits(uint32(len(ordered)-4), 4)
	for _, l := range ordered {
		w.bits(l, 3)
	}
	return w
}

func TestWhatIsNoStreamIsRefused(t *testing.T) {
	fixed := func() *writer { return new(writer).bits(1, 1).bits(1, 2) }
	for name, c := range map[string]struct {
		stream *writer
		want   error
	}{
		"a block of type 3":                {new(writer).bits(1, 1).bits(3, 2), errBlockType},
		"a stored block with another size": {new(writer).bits(1, 1).bits(0, 7).bits(5, 16).bits(5, 16), errStoredSize},
		"length symbol 286":                {fixed().code(0b11000110, 8), errSymbol},
		"length symbol 287":                {fixed().code(0b11000111, 8), errSymbol},
		"distance symbol 30":               {fixed().code(0x30+'a', 8).code(1, 7).code(30, 5), errSymbol},
		"distance symbol 31":               {fixed().code(0x30+'a', 8).code(1, 7).code(31, 5), errSymbol},
		"a match before the beginning":     {fixed().code(0x30+'a', 8).code(1, 7).code(1, 5), errFarDistance},
		"287 literal codes":                {dynamic(287, 1, 0, 0, 0, 0), errCode},
		"31 distance codes":                {dynamic(257, 31, 0, 0, 0, 0), errCode},
		"no code for code lengths":         {dynamic(257, 1, 0, 0, 0, 0), errCode},
		"too many codes for code lengths":  {dynamic(257, 1, 1, 1, 1, 0), errCode},
		"too few codes for code lengths":   {dynamic(257, 1, 2, 2, 2, 0), errCode},
		"a repeat of nothing":              {dynamic(257, 1, 1, 0, 1, 0).code(0, 1).bits(0, 2), errCode},
		"a repeat past the last code":      {dynamic(257, 1, 0, 1, 1, 0).code(1, 1).bits(127, 7).code(1, 1).bits(127, 7), errCode},
		"literals without an end of block": {dynamic(257, 1, 0, 0, 1, 1).code(1, 1).bits(127, 7).code(1, 1).bits(109, 7), errCode},
	} {
		t.Run(name, func(t *testing.T) {
			// With and without room for the fast way.
			for _, behind := range []int{2, 100} {
				stream := append(c.stream.bytes[:len(c.stream.bytes):len(c.stream.bytes)], make([]byte, behind)...)
				_, err := io.ReadAll(NewReader(bufio.NewReader(bytes.NewReader(stream))))
				assert.ErrorIs(t, err, c.want)
				_, err = io.ReadAll(flate.NewReader(bytes.NewReader(stream)))
				assert.Error(t, err, "compress/flate takes it")
			}
		})
	}
}

// FuzzAgainstTheStandardLibrary: whatever comes, both say the same of it.
func FuzzAgainstTheStandardLibrary(f *testing.F) {
	for _, content := range contents() {
		content = content[:min(len(content), 4<<10)]
		for _, level := range []int{flate.NoCompression, flate.BestSpeed, 6, flate.HuffmanOnly} {
			f.Add(deflate(f, level, content))
		}
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		const most = 4 << 20 // of a bomb
		want, wantErr := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(stream)), most))
		r := bufio.NewReader(bytes.NewReader(stream))
		got, err := io.ReadAll(io.LimitReader(NewReader(r), most))
		assert.Equal(t, wantErr == nil, err == nil, "compress/flate: %v, here: %v", wantErr, err)
		if err == nil {
			assert.True(t, bytes.Equal(want, got), "other content")
		}
		if len(got) < most && err == nil {
			// Both leave the same behind the stream.
			all := bytes.NewReader(stream)
			_, _ = io.Copy(io.Discard, flate.NewReader(all))
			rest, err := io.ReadAll(r)
			require.NoError(t, err)
			assert.Equal(t, all.Len(), len(rest))
		}
	})
}
