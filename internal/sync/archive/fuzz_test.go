package archive

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// gnuTars are small archives that GNU tar 1.34 made, unpacked to plain tar.
func gnuTars(t testing.TB) map[string][]byte {
	files, err := filepath.Glob("testdata/gnutar/*.tgz")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	tars := map[string][]byte{}
	for _, file := range files {
		f, err := os.Open(file)
		require.NoError(t, err)
		r, err := gzip.NewReader(f)
		require.NoError(t, err)
		tars[filepath.Base(file)], err = io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	return tars
}

// The archives of this version stay acceptable whatever tar the machine has.
func TestKeptGNUTars(t *testing.T) {
	holes := strings.Repeat("\x00", 8192) + "data" + strings.Repeat("\x00", 8188)
	want := shown{"d": "/", "d/file": "hello\n", "hard": "hello\n", "link": "hello\n", "folder": "/", "folder/file": "hello\n", "holes": holes}
	for name, data := range gnuTars(t) {
		sink, report, err := extracted(t, data, Limits{})
		require.NoError(t, err, name)
		assert.Empty(t, report.Skipped, name)
		tree := sink.tree()
		if strings.HasPrefix(name, "gnu") || strings.HasPrefix(name, "pax") {
			long := strings.Repeat("l", 120)
			assert.Equal(t, "long\n", tree[long+"/"+strings.Repeat("m", 120)], name)
			delete(tree, long+"/"+strings.Repeat("m", 120))
			delete(tree, long)
		}
		assert.Equal(t, want, tree, name)
	}
}

// Whatever the bytes: no panic, and what memorySink checks of every call.
//
// Run the fuzz targets here with -fuzzminimizetime=1x: shrinking what is found,
// block by block of a tar, takes nearly all of the time otherwise.
func FuzzExtract(f *testing.F) {
	for _, data := range gnuTars(f) {
		f.Add(data)
	}
	for _, data := range wrapped(f, sample()) {
		f.Add(data)
	}
	f.Add(tarOf(reg("a", "1"), hard("b", "a"), typed('6', "p"), typed('D', "d/"), typed('V', "v"), typed('Z', "z"), sym("l", "d")))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _, _ = extracted(t, data, Limits{TreeBytes: 1 << 20, Files: 50, FileBytes: 1 << 18})
	})
}

// FuzzEntries makes an archive of well-formed entries out of its input, and
// compares what comes out with a model that is too simple to be wrong.
func FuzzEntries(f *testing.F) {
	f.Add([]byte("0a0b1ba2lb"))
	f.Add([]byte("\x00\x01\x02\x20\x21\x22\x40\x41\x42\x60\x61\x62\x80\x81\x82"))
	for i := range 8 {
		f.Add(noise(30 * (i + 1))[i:])
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		entries := entriesOf(program)
		sink, report, err := extracted(t, tarOf(entries...), Limits{Files: 2_000})
		if err != nil {
			return
		}
		m := modelOf(entries)
		for name, e := range m {
			switch e.typ {
			case '5':
				require.True(t, has(sink.folders, name), name)
			case '0':
				require.Equal(t, e.body, sink.files[name].content, name)
			case '6':
				require.Contains(t, skippedNames(report), name)
			case '2':
				real, ok := m.follow(name)
				servable := ok && real != "." && m[real].typ != '6' && !strings.HasPrefix(name, real+"/")
				require.Equal(t, servable, has(sink.links, name), "%s leads to %s", name, real)
				if !servable {
					require.Contains(t, skippedNames(report), name)
				}
			}
		}
		for name, target := range sink.aliases {
			real, ok := m.follow(name)
			require.True(t, ok, name)
			require.Equal(t, real, target, name)
		}
		require.Equal(t, len(m), len(sink.files)+len(sink.folders)-1+len(sink.links)+countSkipped(m, report))
	})
}

// countSkipped leaves out paths below links, which no entry names.
func countSkipped(m model, report Report) int {
	n := 0
	for _, name := range skippedNames(report) {
		if has(m, name) {
			n++
		}
	}
	return n
}

// entriesOf takes three bytes an entry: its type, its path and its target, of few
// names, so that entries meet.
func entriesOf(program []byte) []entry {
	names := []string{
		"a", "b", "c", "d", "a/a", "a/b", "b/a", "b/b", "b/c", "c/a/a", "c/a/b", "c/b", "d/a/b/c", "./d", "d/", "d/c",
		"..", "../a", "../b", "../..", "../../a", ".", "", "/a", "a/../b", "b/..", "../c/a", "c/a/../b", "d/a", "../d", "../a/b", "a/",
	}
	entries := []entry{reg("f", "f")}
	for chunk := range slices.Chunk(program, 3) {
		if len(chunk) < 3 {
			break
		}
		typ := "0025512226"[chunk[0]%10]
		name, target := names[chunk[1]%16], names[chunk[2]%32]
		e := entry{typ: typ, name: name}
		switch typ {
		case '0':
			e.name, e.body = path.Clean(name), string(chunk)
		case '1', '2':
			e.link = target
		}
		entries = append(entries, e)
	}
	return entries
}

// model is the tree that entries leave, if they are accepted: by path, with the
// type ('0' file, '2' symlink, '5' folder, '6' skipped).
type model map[string]entry

func modelOf(entries []entry) model {
	m := model{}
	for _, e := range entries {
		name := path.Clean(e.name)
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			m[dir] = entry{typ: '5'}
		}
		if e.typ == '1' {
			e = m[path.Clean(e.link)]
		}
		m[name] = e
	}
	return m
}

// follow is what a kernel would do, whose root is the tree.
func (m model) follow(name string) (string, bool) {
	at, rest, hops := ".", strings.Split(name, "/"), 0
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		if at != "." && m[at].typ != '5' {
			return "", false
		}
		switch part {
		case "", ".":
			continue
		case "..":
			if at == "." {
				return "", false
			}
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, part)
		e, ok := m[next]
		if !ok {
			return "", false
		}
		if e.typ == '2' {
			if hops++; hops > maxHops || e.link == "" || path.IsAbs(e.link) {
				return "", false
			}
			rest = append(strings.Split(e.link, "/"), rest...)
			continue
		}
		at = next
	}
	return at, true
}

// Cutting and flipping never turns a refusal into a panic or the fault of the
// reader into that of the archive.
func FuzzFailingReader(f *testing.F) {
	for _, data := range wrapped(f, sample()) {
		f.Add(data, 700)
	}
	f.Fuzz(func(t *testing.T, data []byte, failAt int) {
		if failAt < 0 || failAt > len(data) {
			return
		}
		failure := errors.New("connection reset")
		r := io.MultiReader(bytes.NewReader(data[:failAt]), readerFunc(func([]byte) (int, error) { return 0, failure }))
		_, err := Extract(t.Context(), r, Limits{TreeBytes: 1 << 20, Files: 50}, newMemorySink(t))
		require.ErrorIs(t, err, failure)
		require.False(t, errors.As(err, new(*RefusedError)))
	})
}
