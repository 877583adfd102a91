package archive

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// webRoot is a folder such as people serve: odd modes and dates, names in many
// scripts, links of both kinds, holes. It returns what should be served of it.
func webRoot(t *testing.T) (string, shown) {
	root := t.TempDir()
	want := shown{}
	file := func(name, content string, mode fs.FileMode) {
		path := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
		require.NoError(t, os.Chmod(path, mode))
		want[name] = content
		for dir := filepath.Dir(name); dir != "."; dir = filepath.Dir(dir) {
			want[dir] = "/"
		}
	}
	file("index.html", "<html>", 0o644)
	file("roar/nickfury/versions.yaml", "versions:\n- 4.0\n", 0o600)
	file("roar/nickfury/4.0/version.yaml", strings.Repeat("x", 70_000), 0o4755)
	file("größe/日本語/naïve file.txt", "unicode", 0o444)
	file("bytes \xff\xfe", "latin", 0o777)
	file("new\nline", "odd", 0o640)
	file("empty", "", 0o644)
	file("size/512", strings.Repeat("y", 512), 0o644)
	file(".hidden/.file", "dots", 0o644)
	require.NoError(t, os.Mkdir(filepath.Join(root, "empty folder"), 0o1777))
	want["empty folder"] = "/"

	require.NoError(t, os.Link(filepath.Join(root, "index.html"), filepath.Join(root, "roar/hard.html")))
	want["roar/hard.html"] = "<html>"
	require.NoError(t, os.Symlink("nickfury/4.0", filepath.Join(root, "roar/latest")))
	want["roar/latest"], want["roar/latest/version.yaml"] = "/", want["roar/nickfury/4.0/version.yaml"]
	require.NoError(t, os.Symlink("../index.html", filepath.Join(root, "roar/index.html")))
	want["roar/index.html"] = "<html>"

	// 3 MiB with data at two places only.
	holes := filepath.Join(root, "holes.img")
	require.NoError(t, os.WriteFile(holes, []byte("start"), 0o644))
	f, err := os.OpenFile(holes, os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteAt([]byte("middle"), 2<<20)
	require.NoError(t, err)
	require.NoError(t, f.Truncate(3<<20))
	require.NoError(t, f.Close())
	content := make([]byte, 3<<20)
	copy(content, "start")
	copy(content[2<<20:], "middle")
	want["holes.img"] = string(content)

	require.NoError(t, os.Chtimes(filepath.Join(root, "index.html"), time.Now(), time.Date(1955, 11, 5, 6, 0, 0, 0, time.UTC)))
	require.NoError(t, os.Chtimes(filepath.Join(root, "empty"), time.Now(), time.Unix(1_700_000_000, 123_456_789)))
	return root, want
}

// longNames adds names and targets for which the oldest dialects have no room.
func longNames(t *testing.T, root string, want shown) {
	long := strings.Repeat("l", 255)
	path := filepath.Join(root, long, long, long)
	require.NoError(t, os.MkdirAll(path, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(path, "f"), []byte("long"), 0o644))
	require.NoError(t, os.Symlink(strings.Repeat("./", 200)+"index.html", filepath.Join(root, "long link")))
	require.NoError(t, os.Link(filepath.Join(path, "f"), filepath.Join(root, "long hard link")))
	want[long], want[long+"/"+long], want[long+"/"+long+"/"+long] = "/", "/", "/"
	want[long+"/"+long+"/"+long+"/f"] = "long"
	want["long link"] = "<html>"
	want["long hard link"] = "long"
}

// gnuTar runs tar where the machine's language cannot change what it writes.
func gnuTar(t *testing.T, dir string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "tar", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TAR_OPTIONS=")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "tar %v: %s", args, stderr.String())
	return out
}

// Whatever GNU tar makes of a web root is accepted, and holds what was packed.
func TestGNUTar(t *testing.T) {
	for name, args := range map[string][]string{
		"as the guide has it": {"-czvf", "FILE", "."},
		"plain":               {"-cf", "FILE", "."},
		"to a pipe":           {"-czf", "-", "."},
		"to a device":         {"-czf", "/dev/stdout", "."}, // padded with zeros after the gzip
		"gnu":                 {"--format=gnu", "-cf", "FILE", "."},
		"oldgnu":              {"--format=oldgnu", "-cf", "FILE", "."},
		"pax":                 {"--format=pax", "-cf", "FILE", "."},
		"posix, sub-second":   {"--posix", "-czf", "FILE", "."},
		"pax, global header":  {"--format=pax", "--pax-option=globexthdr.name=x,comment=hello", "-cf", "FILE", "."},
		"pax, all in global":  {"--format=pax", "--pax-option=atime=0,ctime=0", "-cf", "FILE", "."},
		"sparse gnu":          {"-S", "--format=gnu", "-cf", "FILE", "."},
		"sparse pax 0.0":      {"-S", "--format=pax", "--sparse-version=0.0", "-cf", "FILE", "."},
		"sparse pax 0.1":      {"-S", "--format=pax", "--sparse-version=0.1", "-cf", "FILE", "."},
		"sparse pax 1.0":      {"-S", "--format=pax", "--sparse-version=1.0", "-czf", "FILE", "."},
		"a label":             {"--label=Palette 4.0 ../x", "-czf", "FILE", "."},
		"a label, pax":        {"--format=pax", "--label=Palette 4.0", "-czf", "FILE", "."},
		"huge owners":         {"--owner=:4000000000", "--group=:4000000000", "--numeric-owner", "-cf", "FILE", "."},
		"odd blocking":        {"-b", "1", "-cf", "FILE", "."},
		"large blocking":      {"-b", "2000", "-czf", "FILE", "."},
		"absurd dates":        {"--mtime=@-99999999999", "-cf", "FILE", "."},
		"dates to come":       {"--mtime=@99999999999999", "-cf", "FILE", "."},
		"extended attributes": {"--xattrs", "--acls", "--selinux", "-cf", "FILE", "."},
		"incremental, gnu":    {"--format=gnu", "-g", "SNAR", "-cf", "FILE", "."},
		"incremental, pax":    {"--format=pax", "-g", "SNAR", "-cf", "FILE", "."},
		"everything twice":    {"-cf", "FILE", ".", "."},
		"checkpoints":         {"--totals", "--index-file=/dev/null", "-vcf", "FILE", "."},
		"verified":            {"-Wcf", "FILE", "."},
		"dereferenced":        {"-hcf", "FILE", "."},
		"hard dereferenced":   {"--hard-dereference", "-cf", "FILE", "."},
	} {
		t.Run(name, func(t *testing.T) {
			root, want := webRoot(t)
			if !strings.Contains(name, "oldgnu") {
				longNames(t, root, want)
			}
			checkGNUTar(t, root, want, args)
		})
	}
	for _, format := range []string{"v7", "ustar"} {
		t.Run(format, func(t *testing.T) {
			root, want := webRoot(t)
			// They have no field for a date before 1970, and tar says so and fails.
			require.NoError(t, os.Chtimes(filepath.Join(root, "index.html"), time.Time{}, time.Unix(1, 0)))
			checkGNUTar(t, root, want, []string{"--format=" + format, "-czf", "FILE", "."})
		})
	}
}

func checkGNUTar(t *testing.T, root string, want shown, args []string) {
	t.Helper()
	out := t.TempDir()
	archive, args := filepath.Join(out, "manifests.tgz"), slices.Clone(args)
	for i, arg := range args {
		switch arg {
		case "FILE":
			args[i] = archive
		case "SNAR":
			args[i] = filepath.Join(out, "snar")
		}
	}
	data := gnuTar(t, root, args...)
	if written, err := os.ReadFile(archive); err == nil {
		data = written
	}
	sink, report, err := extracted(t, data, Limits{})
	require.NoError(t, err)
	assert.Empty(t, report.Skipped)
	assert.Equal(t, want, sink.tree())
}

// tar -r, -u and -A write behind what is there, so paths come again.
func TestGNUTarUpdates(t *testing.T) {
	root, want := webRoot(t)
	archive := filepath.Join(t.TempDir(), "a.tar")
	more := filepath.Join(t.TempDir(), "b.tar")
	gnuTar(t, root, "-cf", archive, ".")

	require.NoError(t, os.WriteFile(filepath.Join(root, "index.html"), []byte("<html>2"), 0o644))
	want["index.html"], want["roar/hard.html"], want["roar/index.html"] = "<html>2", "<html>2", "<html>2"
	gnuTar(t, root, "-uf", archive, ".")

	require.NoError(t, os.Remove(filepath.Join(root, "empty")))
	require.NoError(t, os.Symlink("size/512", filepath.Join(root, "empty")))
	require.NoError(t, os.Remove(filepath.Join(root, "roar/index.html")))
	require.NoError(t, os.WriteFile(filepath.Join(root, "roar/index.html"), []byte("own"), 0o644))
	want["empty"], want["roar/index.html"] = want["size/512"], "own"
	gnuTar(t, root, "-rf", archive, "./empty")
	gnuTar(t, root, "-cf", more, "./roar")
	gnuTar(t, root, "-Af", archive, more)

	data, err := os.ReadFile(archive)
	require.NoError(t, err)
	for format, data := range wrapped(t, data) {
		sink, report, err := extracted(t, data, Limits{})
		require.NoError(t, err, format)
		assert.Empty(t, report.Skipped)
		assert.Equal(t, want, sink.tree())
	}
}

// A second archive of an incremental set names what is gone, and holds only what
// changed: as an archive of its own it is one.
func TestGNUTarIncrementalSet(t *testing.T) {
	for _, format := range []string{"gnu", "pax"} {
		root, _ := webRoot(t)
		out := t.TempDir()
		first, second, snar := filepath.Join(out, "1.tar"), filepath.Join(out, "2.tar"), filepath.Join(out, "snar")
		gnuTar(t, root, "--format="+format, "-g", snar, "-cf", first, ".")
		require.NoError(t, os.Rename(filepath.Join(root, "size"), filepath.Join(root, "sizes")))
		require.NoError(t, os.WriteFile(filepath.Join(root, "new"), []byte("new"), 0o644))
		gnuTar(t, root, "--format="+format, "-g", snar, "-cf", second, ".")
		data, err := os.ReadFile(second)
		require.NoError(t, err)
		sink, _, err := extracted(t, data, Limits{})
		require.NoError(t, err, format)
		assert.Equal(t, "new", sink.tree()["new"])
		assert.Equal(t, "/", sink.tree()["roar/nickfury"])
	}
}

// The same file given twice: tar makes a hard link of it to itself.
func TestGNUTarFileGivenTwice(t *testing.T) {
	root, _ := webRoot(t)
	data := gnuTar(t, root, "-cf", "-", "index.html", "index.html", "roar/hard.html", "roar/hard.html")
	sink, _, err := extracted(t, data, Limits{})
	require.NoError(t, err)
	assert.Equal(t, shown{"index.html": "<html>", "roar": "/", "roar/hard.html": "<html>"}, sink.tree())
}

// What cannot be served is named, beside what can; tar itself leaves out sockets.
func TestGNUTarSkipped(t *testing.T) {
	root, want := webRoot(t)
	require.NoError(t, syscall.Mkfifo(filepath.Join(root, "roar/pipe"), 0o644))
	require.NoError(t, os.Link(filepath.Join(root, "roar/pipe"), filepath.Join(root, "same pipe")))
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(root, "absolute")))
	require.NoError(t, os.Symlink("../../etc/passwd", filepath.Join(root, "outside")))
	require.NoError(t, os.Symlink("nothing", filepath.Join(root, "dangling")))
	require.NoError(t, os.Symlink("..", filepath.Join(root, "roar/parent")))
	sink, report, err := extracted(t, gnuTar(t, root, "-czf", "-", "."), Limits{})
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{"roar/pipe", "same pipe", "absolute", "outside", "dangling", "roar/parent"}, skippedNames(report))
	assert.Equal(t, want, sink.tree())
}

// tar | zstd, by tar's own option where the machine has zstd, else by a library.
func TestGNUTarZstd(t *testing.T) {
	root, want := webRoot(t)
	longNames(t, root, want)
	plain := gnuTar(t, root, "-cf", "-", ".")
	archives := map[string][]byte{"library": zstded(t, plain)}
	if _, err := exec.LookPath("zstd"); err == nil {
		archives["tar --zstd"] = gnuTar(t, root, "--zstd", "-cf", "-", ".")
		archives["zstd -19"] = gnuTar(t, root, "-I", "zstd -19 --check", "-cf", "-", ".")
	}
	for name, data := range archives {
		sink, report, err := extracted(t, data, Limits{})
		require.NoError(t, err, name)
		assert.Equal(t, "tar+zstd", report.Format)
		assert.Equal(t, want, sink.tree(), name)
	}
}

// tar -P keeps absolute names, and the message says how to do without.
func TestGNUTarAbsolute(t *testing.T) {
	root, _ := webRoot(t)
	_, _, err := extracted(t, gnuTar(t, root, "-Pczf", "-", root), Limits{})
	require.Error(t, err)
	assert.Contains(t, err.Error(), "pack from inside the folder")
}

// The first volume of several ends in the middle of a file.
func TestGNUTarVolumes(t *testing.T) {
	root, _ := webRoot(t)
	out := t.TempDir()
	for i, name := range []string{"1", "2"} {
		args := []string{"-M", "-L", "1000", "-cf", filepath.Join(out, "1")}
		for _, next := range []string{"2", "3", "4", "5", "6"} {
			args = append(args, "-f", filepath.Join(out, next))
		}
		if i == 0 {
			gnuTar(t, root, append(args, ".")...)
		}
		data, err := os.ReadFile(filepath.Join(out, name))
		require.NoError(t, err)
		_, _, err = extracted(t, data, Limits{})
		require.Error(t, err, "volume %s", name)
	}
}
