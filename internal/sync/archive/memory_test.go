package archive

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// growth is a Sink that measures what Extract holds on to. It is told of the end
// of the stream by the goroutine that reads it.
type growth struct {
	mu           sync.Mutex
	before, peak uint64
	calls, every int
}

func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func (g *growth) measure() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.calls++; g.calls%g.every == 0 {
		g.peak = max(g.peak, liveHeap())
	}
	return nil
}

// andAtEOF measures also when all entries have been read.
func (g *growth) andAtEOF(r io.Reader) io.Reader {
	return readerFunc(func(p []byte) (int, error) {
		n, err := r.Read(p)
		if err == io.EOF {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.peak = max(g.peak, liveHeap())
		}
		return n, err
	})
}

func (g *growth) Dir(string, time.Time) error                    { return g.measure() }
func (g *growth) File(string, time.Time, int64, io.Reader) error { return g.measure() }
func (g *growth) HardLink(string, string) error                  { return g.measure() }
func (g *growth) Symlink(string, string, time.Time) error        { return g.measure() }
func (g *growth) Alias(string, string, bool) error               { return g.measure() }
func (g *growth) Remove(string) error                            { return g.measure() }

// perEntry extracts n entries and returns the memory that each one took at most,
// beside what an archive takes that has but one.
func perEntry(t testing.TB, n int, make func(i int) entry) float64 {
	return float64(growthOf(t, n, make)-growthOf(t, 1, make)) / float64(n)
}

// growthOf extracts n entries behind one that fills all buffers there are, and
// returns what they took at most.
func growthOf(t testing.TB, n int, make func(i int) entry) int64 {
	r, w := io.Pipe()
	go func() {
		buffered := bufio.NewWriterSize(w, 1<<16)
		_, _ = buffered.Write(cutTar(reg("first", strings.Repeat("x", 4*aheadCount*aheadBlock))))
		for i := range n {
			_, _ = buffered.Write(cutTar(make(i)))
		}
		_, _ = buffered.Write(tarOf(reg("last", "x")))
		_ = buffered.Flush()
		w.Close()
	}()
	sink := &growth{before: liveHeap(), every: max(1, n/8)}
	_, err := Extract(t.Context(), sink.andAtEOF(r), Limits{}, sink)
	require.NoError(t, err)
	require.NotZero(t, sink.peak)
	return int64(sink.peak) - int64(sink.before)
}

// The promise of the package: at most 400 bytes an entry.
func TestMemoryPerEntry(t *testing.T) {
	const n = 20_000
	kind := strings.Repeat("d", 20)
	for name, entry := range map[string]func(i int) entry{
		"files in folders":     func(i int) entry { return reg(fmt.Sprintf("roar/%s/%d/manifest-%06d.yaml", kind, i/50, i), "") },
		"files in own folders": func(i int) entry { return reg(fmt.Sprintf("roar/%06d/versions.yaml", i), "") }, // two each
		"longest names":        func(i int) entry { return reg(fmt.Sprintf("%s%06d", strings.Repeat("n", 249), i), "") },
		"symlinks":             func(i int) entry { return sym(fmt.Sprintf("links/%06d", i), "../last") },
		"chained symlinks":     func(i int) entry { return sym(fmt.Sprintf("%06d", i), fmt.Sprintf("%06d", i+1)) },
		"hard links":           func(i int) entry { return [2]entry{reg("f", ""), hard(fmt.Sprintf("%06d", i), "f")}[min(i, 1)] },
		"the same file":        func(int) entry { return reg("f", "") },
		"the same link": func(i int) entry {
			return [2]entry{reg("f", ""), sym("f", fmt.Sprintf("l%d", i))}[i%2]
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := perEntry(t, n, entry)
			t.Logf("%.0f bytes an entry", got)
			assert.Less(t, got, 400.0)
		})
	}
}

// Memory does not grow with bytes: 256 MiB through 1 MiB.
func TestMemoryOfContent(t *testing.T) {
	const size = 256 << 20
	r := io.MultiReader(
		bytes.NewReader(cutTar(reg("first", ""), entry{typ: '0', name: "a", size: fmt.Sprintf("%011o\x00", size)})),
		io.LimitReader(readerFunc(func(p []byte) (int, error) { return len(p), nil }), size),
		bytes.NewReader(tarOf(reg("last", ""))),
	)
	sink := &growth{every: 1, before: liveHeap()}
	_, err := Extract(t.Context(), r, Limits{}, sink)
	require.NoError(t, err)
	assert.Less(t, int64(sink.peak)-int64(sink.before), int64(1<<20))
}

func BenchmarkExtract(b *testing.B) {
	var tar bytes.Buffer
	for i := range 5_000 {
		writeEntry(&tar, reg(fmt.Sprintf("roar/nickfury/%d/manifest-%06d.yaml", i/50, i), strings.Repeat(fmt.Sprintf("- line %d\n", i), 800)))
	}
	tar.Write(tarOf())
	for format, data := range wrapped(b, tar.Bytes()) {
		b.Run(format, func(b *testing.B) {
			b.SetBytes(int64(tar.Len()))
			b.ReportAllocs()
			for b.Loop() {
				_, err := Check(b.Context(), bytes.NewReader(data), Limits{}, nil)
				require.NoError(b, err)
			}
		})
	}
}

func BenchmarkMemoryPerEntry(b *testing.B) {
	for b.Loop() {
		b.ReportMetric(perEntry(b, 1_000_000-1, func(i int) entry {
			return reg(fmt.Sprintf("roar/nickfury/%d/manifest-%06d.yaml", i/50, i), "")
		}), "bytes/entry")
	}
}
