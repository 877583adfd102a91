package variant

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func open(t testing.TB, dir string, change ...func(*Options)) *Store {
	t.Helper()
	opts := Options{Dir: dir}
	for _, f := range change {
		f(&opts)
	}
	s, err := Open(opts)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() }) // a second time, in some tests
	return s
}

// contents is files as a test writes them down; it counts how often each is read.
type contents struct {
	files []string
	reads int
}

func (c *contents) all() iter.Seq[File] {
	return func(yield func(File) bool) {
		for _, text := range c.files {
			f := File{Sum: sha256.Sum256([]byte(text)), Size: int64(len(text)), Open: func() (io.ReadCloser, error) {
				c.reads++
				return io.NopCloser(strings.NewReader(text)), nil
			}}
			if !yield(f) {
				return
			}
		}
	}
}

func makeAll(t testing.TB, s *Store, files ...string) (reads int) {
	t.Helper()
	c := &contents{files: files}
	require.NoError(t, s.Make(context.Background(), c.all()))
	return c.reads
}

func decode(t testing.TB, c Coding, body []byte) string {
	t.Helper()
	var r io.Reader
	var err error
	if c == Gzip {
		r, err = gzip.NewReader(bytes.NewReader(body))
	} else {
		r, err = zstd.NewReader(bytes.NewReader(body))
	}
	require.NoError(t, err)
	plain, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(plain)
}

// The kinds of content that the tests below use.
var (
	text  = strings.Repeat("apiVersion: v1\nkind: ConfigMap\n", 100)
	noise = func() string {
		b := make([]byte, 10_000)
		rand.NewChaCha8([32]byte{1}).Read(b)
		return string(b)
	}()
	// large stays above what is read whole, compressed.
	large = func() string {
		var b strings.Builder
		r := rand.New(rand.NewChaCha8([32]byte{2}))
		for b.Len() < 300<<10 {
			fmt.Fprintf(&b, "key%d: %x\n", r.Uint32(), r.Uint64())
		}
		return b.String()
	}()
)

func TestMake(t *testing.T) {
	for _, row := range []struct {
		say, content string
		worth        bool
	}{
		{"text", text, true},
		{"large text", large, true},
		{"noise", noise, false},
		{"nothing", "", false},
		{"too short to shrink", "a: 1\n", false},
		{"short, but repetitive", strings.Repeat("a", 100), true},
	} {
		t.Run(row.say, func(t *testing.T) {
			s := open(t, t.TempDir())
			makeAll(t, s, row.content)
			sum := sha256.Sum256([]byte(row.content))
			set, known := s.Find(sum)
			require.True(t, known)
			for _, c := range codings {
				v, ok := set.Get(c)
				assert.Equal(t, row.worth, ok, c)
				body, bodySum, err := s.Read(sum, c)
				if !row.worth {
					assert.ErrorIs(t, err, ErrNone)
					continue
				}
				require.NoError(t, err)
				assert.Equal(t, row.content, decode(t, c, body), c)
				assert.Equal(t, sha256.Sum256(body), bodySum)
				assert.Len(t, body, int(v.Size))
				assert.LessOrEqual(t, float64(v.Size), worth*float64(len(row.content)))
				assert.Equal(t, TagOf(bodySum), v.Tag)

				f, openSum, err := s.Open(sum, c)
				require.NoError(t, err)
				fromFile, err := io.ReadAll(f)
				require.NoError(t, errors.Join(err, f.Close()))
				assert.Equal(t, body, fromFile)
				assert.Equal(t, bodySum, openSum)
			}
			_, ok := set.Get(Identity)
			assert.False(t, ok)
		})
	}
}

func TestSameBytesEverywhere(t *testing.T) {
	a, b := open(t, t.TempDir()), open(t, t.TempDir())
	makeAll(t, a, text, large)
	makeAll(t, b, large, noise, text) // another order must not matter
	for _, content := range []string{text, large} {
		of, _ := a.Find(sha256.Sum256([]byte(content)))
		other, _ := b.Find(sha256.Sum256([]byte(content)))
		assert.Equal(t, of, other)
	}
}

func TestNothingIsMadeTwice(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	assert.Equal(t, 3, makeAll(t, s, text, noise, text, large), "equal files share")
	assert.Zero(t, makeAll(t, s, text, noise, large))
	require.NoError(t, s.Close())

	s = open(t, dir)
	assert.Zero(t, makeAll(t, s, text, noise, large), "also not after a restart, and also not what was tried in vain")
	body, _, err := s.Read(sha256.Sum256([]byte(text)), Gzip)
	require.NoError(t, err)
	assert.Equal(t, text, decode(t, Gzip, body))
}

func TestAfterACrash(t *testing.T) {
	sum := sha256.Sum256([]byte(text))
	for _, row := range []struct {
		say   string
		spoil func(t *testing.T, s *Store)
		again int // files made anew after it, once they were asked for
	}{
		{"a torn variant", func(t *testing.T, s *Store) {
			require.NoError(t, os.Truncate(s.file(sum, Gzip), 20))
		}, 1},
		{"a variant of zeros", func(t *testing.T, s *Store) {
			info, err := os.Stat(s.file(sum, Gzip))
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(s.file(sum, Gzip), make([]byte, info.Size()), 0o644))
		}, 1},
		{"a lost variant", func(t *testing.T, s *Store) {
			require.NoError(t, os.Remove(s.file(sum, Gzip)))
		}, 1},
		{"a torn index", func(t *testing.T, s *Store) {
			info, err := os.Stat(s.path("index"))
			require.NoError(t, err)
			require.NoError(t, os.Truncate(s.path("index"), info.Size()-7))
		}, 1},
		{"a spoilt line", func(t *testing.T, s *Store) {
			index, err := os.ReadFile(s.path("index"))
			require.NoError(t, err)
			index[70]++
			require.NoError(t, os.WriteFile(s.path("index"), index, 0o644))
		}, 1},
		{"a lost index", func(t *testing.T, s *Store) {
			require.NoError(t, os.Remove(s.path("index")))
		}, 1},
		{"rubbish that was being made", func(t *testing.T, s *Store) {
			require.NoError(t, os.WriteFile(s.path("tmp/new.gz"), []byte("x"), 0o644))
		}, 0},
	} {
		t.Run(row.say, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			makeAll(t, s, text)
			require.NoError(t, s.Close())
			row.spoil(t, s)

			s = open(t, dir)
			if body, _, err := s.Read(sum, Gzip); err == nil {
				assert.Equal(t, text, decode(t, Gzip, body), "what is served is whole")
			} else {
				assert.ErrorIs(t, err, ErrNone)
			}
			if f, _, err := s.Open(sum, Gzip); err == nil {
				body, err := io.ReadAll(f)
				require.NoError(t, errors.Join(err, f.Close()))
				assert.Equal(t, text, decode(t, Gzip, body))
			}
			assert.Equal(t, row.again, makeAll(t, s, text))
			for range 2 { // at once, and after one more restart
				body, _, err := s.Read(sum, Gzip)
				require.NoError(t, err)
				assert.Equal(t, text, decode(t, Gzip, body))
				require.NoError(t, s.Close())
				s = open(t, dir)
			}
			assert.Zero(t, makeAll(t, s, text))
		})
	}
}

func TestLargeVariantIsCheckedBeforeItIsOpened(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	makeAll(t, s, large)
	require.NoError(t, s.Close())
	sum := sha256.Sum256([]byte(large))
	f, err := os.OpenFile(s.file(sum, Zstd), os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteAt([]byte("spoilt"), 100<<10)
	require.NoError(t, errors.Join(err, f.Close()))

	s = open(t, dir)
	_, _, err = s.Open(sum, Zstd)
	assert.ErrorIs(t, err, ErrNone)
}

func TestFilesThatAreNotWhatTheyShouldBe(t *testing.T) {
	s := open(t, t.TempDir())
	wrong := sha256.Sum256([]byte("something else"))
	files := []File{
		{Sum: wrong, Size: int64(len(text)), Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }},
		{Sum: sha256.Sum256([]byte("a")), Size: 1, Open: func() (io.ReadCloser, error) { return nil, errors.New("damaged") }},
		{Sum: sha256.Sum256([]byte("b")), Size: 1, Open: func() (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(strings.NewReader("b"), errReader{})), nil
		}},
	}
	require.NoError(t, s.Make(context.Background(), slices.Values(files)))
	for _, f := range files {
		_, known := s.Find(f.Sum)
		assert.False(t, known)
	}
	assert.Equal(t, 1, makeAll(t, s, text), "and others are made after them")
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("input/output error") }

func TestMakeEndsWithItsContext(t *testing.T) {
	s := open(t, t.TempDir())
	ctx, cancel := context.WithCancel(context.Background())
	c := &contents{files: []string{text, large, noise}}
	err := s.Make(ctx, func(yield func(File) bool) {
		for f := range c.all() {
			if f.Size == int64(len(large)) {
				cancel()
			}
			if !yield(f) {
				return
			}
		}
	})
	assert.ErrorIs(t, err, context.Canceled)
	_, known := s.Find(sha256.Sum256([]byte(text)))
	assert.True(t, known, "what was made stays")
	_, known = s.Find(sha256.Sum256([]byte(large)))
	assert.False(t, known)
	assert.Equal(t, 2, makeAll(t, s, text, large, noise))
}

func TestNoSpace(t *testing.T) {
	full := errors.New("full")
	s := open(t, t.TempDir(), func(o *Options) { o.Space = func(int64) error { return full } })
	c := &contents{files: []string{text, large}}
	assert.ErrorIs(t, s.Make(context.Background(), c.all()), full)
	assert.Zero(t, c.reads)
}

func TestKeep(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	other := strings.Repeat("b", 1000)
	makeAll(t, s, text, noise, other)
	require.NoError(t, os.WriteFile(s.path("ab.gz"), nil, 0o644), "of somebody else: not in a folder of ours")
	orphan := filepath.Join(dir, "00", strings.Repeat("0", 64)+".gz")
	require.NoError(t, os.MkdirAll(filepath.Dir(orphan), 0o755))
	require.NoError(t, os.WriteFile(orphan, nil, 0o644))

	keep := sha256.Sum256([]byte(text))
	require.NoError(t, s.Keep(func(sum [32]byte) bool { return sum == keep }))

	for range 2 { // at once, and after a restart
		body, _, err := s.Read(keep, Zstd)
		require.NoError(t, err)
		assert.Equal(t, text, decode(t, Zstd, body))
		for _, gone := range []string{noise, other} {
			_, known := s.Find(sha256.Sum256([]byte(gone)))
			assert.False(t, known)
		}
		assert.NoFileExists(t, s.file(sha256.Sum256([]byte(other)), Gzip))
		assert.NoFileExists(t, orphan)
		assert.FileExists(t, s.path("ab.gz"))
		require.NoError(t, s.Close())
		s = open(t, dir)
	}
	assert.Equal(t, 2, makeAll(t, s, text, noise, other))
}

func TestKeepRewritesOnlyWhatChanged(t *testing.T) {
	s := open(t, t.TempDir())
	makeAll(t, s, text, noise)
	stat := func() os.FileInfo {
		info, err := os.Stat(s.path("index"))
		require.NoError(t, err)
		return info
	}
	all := func([32]byte) bool { return true }
	before := stat()
	require.NoError(t, s.Keep(all))
	assert.True(t, os.SameFile(before, stat()), "nothing was to go")

	line := formatLine(sha256.Sum256([]byte(noise)), Set{})
	_, err := s.index.Write(line)
	require.NoError(t, err)
	require.NoError(t, s.Keep(all))
	assert.False(t, os.SameFile(before, stat()))
	assert.Equal(t, before.Size(), stat().Size(), "what is said twice is said once")
	before = stat()
	require.NoError(t, s.Keep(all))
	assert.True(t, os.SameFile(before, stat()))
	body, _, err := s.Read(sha256.Sum256([]byte(text)), Gzip)
	require.NoError(t, err)
	assert.Equal(t, text, decode(t, Gzip, body))
}

func TestKeepDoesNotRememberWhatWasForgotten(t *testing.T) {
	s := open(t, t.TempDir())
	makeAll(t, s, text)
	sum := sha256.Sum256([]byte(text))
	require.NoError(t, os.Truncate(s.file(sum, Gzip), 3))
	_, _, err := s.Read(sum, Gzip)
	require.ErrorIs(t, err, ErrNone)
	require.NoError(t, s.Keep(func([32]byte) bool { return true }))
	assert.Equal(t, 1, makeAll(t, s, text))
	_, _, err = s.Read(sum, Gzip)
	assert.NoError(t, err)
}

// Two contents whose sums begin alike must not get each other's variants.
func TestSumsThatBeginAlike(t *testing.T) {
	s := open(t, t.TempDir())
	makeAll(t, s, text)
	sum := sha256.Sum256([]byte(text))
	sum[31]++
	_, known := s.Find(sum)
	assert.True(t, known, "the fact is shared, as its doc says")
	for _, c := range codings {
		_, _, err := s.Read(sum, c)
		assert.ErrorIs(t, err, ErrNone, "but not the bytes")
	}
}

func TestReadersBesideAMaker(t *testing.T) {
	s := open(t, t.TempDir())
	var files []string
	for n := range 50 {
		files = append(files, strings.Repeat(fmt.Sprint("line ", n, "\n"), 50))
	}
	made := make(chan struct{})
	go func() {
		defer close(made)
		for range 3 {
			c := &contents{files: files}
			assert.NoError(t, s.Make(context.Background(), c.all()))
			assert.NoError(t, s.Keep(func(sum [32]byte) bool { return sum[0]%2 == 0 }))
		}
	}()
	for done := false; !done; {
		select {
		case <-made:
			done = true
		default:
		}
		for _, content := range files {
			sum := sha256.Sum256([]byte(content))
			if body, _, err := s.Read(sum, Gzip); err == nil {
				assert.Equal(t, content, decode(t, Gzip, body))
			}
		}
	}
}

func TestMemory(t *testing.T) {
	const n = 60_000
	var before, after runtime.MemStats
	s := &Store{}
	all := make([]fact, n)
	r := rand.NewChaCha8([32]byte{3})
	for i := range all {
		var sum [32]byte
		r.Read(sum[:])
		all[i] = newFact(sum, Set{{Size: 1000}, {Size: 900}})
	}
	runtime.GC()
	runtime.ReadMemStats(&before)
	s.facts.replace(all)
	runtime.GC()
	runtime.ReadMemStats(&after)
	perFile := float64(after.HeapAlloc-before.HeapAlloc) / n
	t.Logf("%.1f bytes a content", perFile)
	assert.Less(t, perFile, 40.0)
	assert.Equal(t, n, s.facts.len())
	for _, f := range all {
		got, ok := s.facts.find(f.key)
		require.True(t, ok)
		require.Equal(t, f, got)
	}
	runtime.KeepAlive(s)
}

func TestFactsAreReplacedByLaterOnes(t *testing.T) {
	var x facts
	one, two := newFact([32]byte{1}, Set{{Size: 1}}), newFact([32]byte{1}, Set{{Size: 2}})
	x.replace([]fact{one, newFact([32]byte{2}, Set{}), two})
	got, ok := x.find(one.key)
	assert.True(t, ok)
	assert.Equal(t, two, got)
	x.add(one)
	got, _ = x.find(one.key)
	assert.Equal(t, one, got)
	assert.Equal(t, 2, x.len())
	x.remove(one.key)
	_, ok = x.find(one.key)
	assert.False(t, ok)
	assert.Equal(t, 1, x.len())
}

func FuzzIndexLine(f *testing.F) {
	f.Add(string(formatLine(sha256.Sum256([]byte("a")), Set{{Size: 5, Tag: Tag{1}}, {}})))
	f.Add("")
	f.Add("a 0 b 0 c 00000000")
	f.Fuzz(func(t *testing.T, line string) {
		line = strings.TrimSuffix(line, "\n")
		if sum, set, ok := parseLine([]byte(line)); ok {
			again, set2, ok := parseLine(bytes.TrimSuffix(formatLine(sum, set), []byte("\n")))
			assert.True(t, ok)
			assert.Equal(t, sum, again)
			assert.Equal(t, set, set2)
		}
	})
}
