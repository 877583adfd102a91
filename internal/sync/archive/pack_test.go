package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func packed(t *testing.T, dir string, opts PackOptions) ([]byte, Report) {
	t.Helper()
	var b bytes.Buffer
	report, err := Pack(t.Context(), &b, dir, opts)
	require.NoError(t, err)
	return b.Bytes(), report
}

// What is packed is what is served, in both formats, by our reader and by tar.
func TestPackRoundTrip(t *testing.T) {
	root, want := webRoot(t)
	longNames(t, root, want)
	for _, zstd := range []bool{false, true} {
		data, packedReport := packed(t, root, PackOptions{Zstd: zstd})
		sink, report, err := extracted(t, data, Limits{})
		require.NoError(t, err)
		assert.Equal(t, want, sink.tree())
		assert.Equal(t, report, packedReport)
		assert.Empty(t, report.Skipped)
		for name, f := range sink.files {
			assert.Equal(t, time.Unix(0, 0).UTC(), f.modTime, name)
		}
		assert.Equal(t, "nickfury/4.0", sink.links["roar/latest"])
	}

	data, _ := packed(t, root, PackOptions{})
	out := t.TempDir()
	tgz := filepath.Join(t.TempDir(), "manifests.tgz")
	require.NoError(t, os.WriteFile(tgz, data, 0o644))
	gnuTar(t, out, "-xzf", tgz)
	diff, err := exec.CommandContext(t.Context(), "diff", "-r", root, out).CombinedOutput()
	require.NoError(t, err, "%s", diff)
	info, err := os.Stat(filepath.Join(out, "roar/nickfury/versions.yaml"))
	require.NoError(t, err)
	assert.Zero(t, info.Mode().Perm()&0o022&^0o644)
	assert.True(t, info.ModTime().Equal(time.Unix(0, 0)))
}

// The same bytes for the same content, whatever the machine, the time, the order
// of the folder, modes, dates, owners and hard links. If this digest changes,
// everybody's archives change with the next release of Specman: say so there.
func TestPackIsReproducible(t *testing.T) {
	golden := map[bool]string{
		false: "4d9e2e5b2a3b5534467d330ee43eda907bcec8bb93b4c38e24fcc1ee26d2046e",
		true:  "176755c276447d3837013e593a8dcc7c5b7ed1618a204868e95c631d6de47812",
	}
	files := []struct{ name, content string }{
		{"roar/nickfury/versions.yaml", strings.Repeat("- version: 4.0.0\n  filepath: \"/roar/nickfury/4.0/version.yaml\"\n", 400)},
		{"roar/nickfury/4.0/version.yaml", "a: 1\n"},
		{"roar-2/x", ""},
		{"größe", "same"},
		{"twin", "same"},
		{strings.Repeat("long/", 60) + "name", "deep"},
	}
	for zstd, want := range golden {
		for round := range 2 {
			dir := t.TempDir()
			for i := range files {
				f := files[i]
				if round == 1 {
					f = files[len(files)-1-i] // another order on disk
				}
				path := filepath.Join(dir, f.name)
				require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700|fs.FileMode(round)*0o055))
				require.NoError(t, os.WriteFile(path, []byte(f.content), 0o600|fs.FileMode(round)*0o044))
				require.NoError(t, os.Chtimes(path, time.Now(), time.Unix(int64(round)*1e9, 5)))
			}
			require.NoError(t, os.Symlink("nickfury/4.0", filepath.Join(dir, "roar/latest")))
			if round == 1 {
				require.NoError(t, os.Remove(filepath.Join(dir, "twin")))
				require.NoError(t, os.Link(filepath.Join(dir, "größe"), filepath.Join(dir, "twin")))
			}
			data, _ := packed(t, dir, PackOptions{Zstd: zstd})
			sum := sha256.Sum256(data)
			assert.Equal(t, want, hex.EncodeToString(sum[:]), "zstd %v, round %d", zstd, round)
		}
	}
}

func TestPackNamesWhatIsNotServed(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a"), []byte("1"), 0o644))
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644))
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(dir, "absolute")))
	require.NoError(t, os.Symlink("..", filepath.Join(dir, "outside")))

	// A short path: that of a socket has 107 bytes.
	t.Chdir(dir)
	socket, err := net.Listen("unix", "socket")
	require.NoError(t, err)
	defer socket.Close()

	data, report := packed(t, dir, PackOptions{})
	assert.ElementsMatch(t, []string{"pipe", "socket", "absolute", "outside"}, skippedNames(report))
	assert.Equal(t, 4, report.SkippedTotal)

	// The links are in the archive all the same; what they led to is not.
	sink, report, err := extracted(t, data, Limits{})
	require.NoError(t, err)
	assert.Equal(t, shown{"a": "1"}, sink.tree())
	assert.ElementsMatch(t, []string{"absolute", "outside"}, skippedNames(report))
}

func TestSpecialFilesAreCalledByName(t *testing.T) {
	for mode, want := range map[fs.FileMode]string{
		fs.ModeNamedPipe:                  "named pipe",
		fs.ModeSocket:                     "socket",
		fs.ModeDevice:                     "block device",
		fs.ModeDevice | fs.ModeCharDevice: "character device",
		fs.ModeIrregular:                  "no regular file, folder or symlink",
	} {
		assert.Equal(t, want, special(mode|0o644), mode)
	}
}

// The archive that is being written may lie in the folder.
func TestPackExcludes(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a"), noise(4<<20), 0o644))
	out, err := os.Create(filepath.Join(dir, "manifests.tgz"))
	require.NoError(t, err)
	defer out.Close()
	info, err := out.Stat()
	require.NoError(t, err)
	report, err := Pack(t.Context(), out, dir, PackOptions{Exclude: []fs.FileInfo{info}})
	require.NoError(t, err)
	assert.Equal(t, 1, report.Files)

	_, err = Pack(t.Context(), out, dir, PackOptions{})
	require.Error(t, err, "it packs itself")
	assert.Contains(t, err.Error(), `"manifests.tgz" changed while the folder was packed`)
}

// pack refuses what serve would refuse, without packing the rest first.
func TestPackRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		make   func(dir string) error
		limits Limits
		says   string
	}{
		"an empty folder": {func(string) error { return nil }, Limits{}, "not one file"},
		"only links":      {func(dir string) error { return os.Symlink("x", filepath.Join(dir, "l")) }, Limits{}, "not one file"},
		"too many files": {func(dir string) error {
			return errors.Join(os.WriteFile(filepath.Join(dir, "a"), nil, 0o644), os.WriteFile(filepath.Join(dir, "b"), nil, 0o644))
		}, Limits{Files: 1}, "store.maxFiles"},
		"too large, and then some": {func(dir string) error {
			return errors.Join(os.WriteFile(filepath.Join(dir, "a"), nil, 0o644), os.Truncate(filepath.Join(dir, "a"), 1<<40))
		}, Limits{}, "store.maxFileBytes"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, tc.make(dir))
			_, err := Pack(t.Context(), io.Discard, dir, PackOptions{Limits: tc.limits})
			require.ErrorAs(t, err, new(*RefusedError))
			assert.Contains(t, err.Error(), tc.says)
			assert.Contains(t, err.Error(), dir)
		})
	}
}

func TestPackFails(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a"), bytes.Repeat([]byte("x"), 1<<20), 0o644))

	_, err := Pack(t.Context(), io.Discard, filepath.Join(dir, "missing"), PackOptions{})
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = Pack(t.Context(), io.Discard, filepath.Join(dir, "a"), PackOptions{})
	require.ErrorContains(t, err, "not a directory")

	full := errors.New("no space left on device")
	_, err = Pack(t.Context(), writerFunc(func([]byte) (int, error) { return 0, full }), dir, PackOptions{})
	require.ErrorIs(t, err, full)
	require.False(t, errors.As(err, new(*RefusedError)))

	ctx, cancel := context.WithCancel(t.Context())
	_, err = Pack(ctx, writerFunc(func(p []byte) (int, error) { cancel(); return len(p), nil }), dir, PackOptions{})
	require.ErrorIs(t, err, context.Canceled)
	require.False(t, errors.As(err, new(*RefusedError)))
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// A file that changes under the packer is an error that names it, however it
// changes.
func TestPackChangingFile(t *testing.T) {
	const size = 4 << 20
	for name, change := range map[string]func(path string) error{
		"grows":   func(path string) error { return os.Truncate(path, size+1) },
		"shrinks": func(path string) error { return os.Truncate(path, size/4) },
		"touched": func(path string) error { return os.Chtimes(path, time.Now(), time.Unix(1, 0)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "a")
			require.NoError(t, os.WriteFile(path, noise(size), 0o644)) // so that it is written while it is read
			written := 0
			_, err := Pack(t.Context(), writerFunc(func(p []byte) (int, error) {
				if written < size/8 && written+len(p) >= size/8 {
					require.NoError(t, change(path))
				}
				written += len(p)
				return len(p), nil
			}), dir, PackOptions{})
			require.Error(t, err)
			assert.Contains(t, err.Error(), `"a" changed while the folder was packed`)
		})
	}
}

// Between being listed and being opened a file can become anything.
func TestPackReplacedFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	require.NoError(t, os.WriteFile(path, []byte("1"), 0o644))
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	defer root.Close()
	seen, err := root.Lstat("a")
	require.NoError(t, err)
	for name, become := range map[string]func() error{
		"another file": func() error { return os.WriteFile(path, []byte("2"), 0o644) },
		"a pipe":       func() error { return syscall.Mkfifo(path, 0o644) },
		"a symlink":    func() error { return os.Symlink("/etc/passwd", path) },
	} {
		require.NoError(t, os.Rename(path, filepath.Join(t.TempDir(), "kept"))) // so that its number stays taken
		require.NoError(t, become())
		out, err := newWriter(io.Discard, false)
		require.NoError(t, err)
		p := &packer{ctx: t.Context(), root: root, out: out}
		require.Error(t, p.file("a", seen), name)
	}
}

func TestCheckTellsEntries(t *testing.T) {
	var entries []Entry
	at := time.Unix(1_000_000_000, 0).UTC()
	_, err := Check(t.Context(), bytes.NewReader(tarOf(dir("d"), reg("e/a", "123"), hard("b", "e/a"), sym("l", "e"), typed('6', "p"))), Limits{}, func(e Entry) {
		entries = append(entries, e)
	})
	require.NoError(t, err)
	assert.Equal(t, []Entry{
		{Name: "d", Kind: Folder, ModTime: at},
		{Name: "e", Kind: Folder},
		{Name: "e/a", Kind: File, Size: 3, ModTime: at},
		{Name: "b", Kind: HardLink, Target: "e/a"},
		{Name: "l", Kind: Symlink, Target: "e", ModTime: at},
		{Name: "l", Kind: Alias, Target: "e"},
		{Name: "l/a", Kind: Alias, Target: "e/a"},
	}, entries)
}
