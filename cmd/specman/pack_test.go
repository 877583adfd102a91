package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPackIsReproducible(t *testing.T) {
	first, second := exampleTree(t), exampleTree(t)
	require.NoError(t, os.Chmod(filepath.Join(second, "roar/notes.txt"), 0o600))
	require.NoError(t, os.Chtimes(filepath.Join(second, "roar"), time.Unix(1, 0), time.Unix(1, 0)))

	file := filepath.Join(t.TempDir(), "a.tgz")
	got := runWith(t, nil, "pack", first, "-f", file)
	require.Equal(t, 0, got.status, got.stderr)
	content := readFile(t, file)
	assert.Equal(t, "\x1f\x8b", content[:2], "gzip, which everybody reads")
	assert.Contains(t, got.stdout, "packed "+first+" to "+file+": tar+gzip, ")
	assert.Contains(t, got.stdout, " in 3 files and 3 folders\ndigest: "+digest.FromString(content).String()+"\n")
	assert.Empty(t, got.stderr)

	got = runWith(t, nil, "pack", second, "-f", "-")
	require.Equal(t, 0, got.status)
	assert.Equal(t, content, got.stdout, "standard output is the archive and nothing else")
	assert.Contains(t, got.stderr, "digest: "+digest.FromString(content).String()+"\n")

	zstd := filepath.Join(t.TempDir(), "a.tar.zst")
	got = runWith(t, nil, "pack", first, "-f", zstd, "--zstd")
	assert.Equal(t, 0, got.status)
	assert.Equal(t, "\x28\xb5\x2f\xfd", readFile(t, zstd)[:4])
	assert.Contains(t, got.stdout, ": tar+zstd, ")
}

func TestPackLeavesOutItsOwnFile(t *testing.T) {
	dir := exampleTree(t)
	inside := filepath.Join(dir, "manifests.tgz")
	first := runWith(t, nil, "pack", dir, "-f", inside)
	require.Equal(t, 0, first.status)
	again := runWith(t, nil, "pack", dir, "-f", inside)
	require.Equal(t, 0, again.status)
	assert.Equal(t, first.stdout, again.stdout, "the archive of before is not in it")
	assert.Equal(t, []string{"manifests.tgz", "roar"}, namesIn(t, dir), "and no temporary file lies there")
}

func TestPackNamesWhatIsNotServed(t *testing.T) {
	dir := writeTree(t, map[string]string{"a": "1", "out": "-> ../x", "nowhere": "-> b", "in": "-> a"})
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	got := runWith(t, nil, "pack", dir, "-f", filepath.Join(t.TempDir(), "a.tgz"))
	assert.Equal(t, 0, got.status)
	assert.Equal(t, `specman: not served: "pipe": named pipe
specman: not served: "nowhere": symlink to "b" leads to nothing in the archive
specman: not served: "out": symlink to "../x" leads out of the archive
`, got.stderr)
}

func TestPackRefusesWhatServeWouldRefuse(t *testing.T) {
	for _, row := range []struct {
		name   string
		files  map[string]string
		flags  []string
		stderr string
	}{
		{"not one file", map[string]string{"a": "-> b"}, nil, "there is not one file in it"},
		{"more files than allowed", map[string]string{"a": "", "b": ""}, []string{"--store.maxFiles=1"}, `archive refused at entry "b": with it there are more than 1 files`},
		{"a file that is too large", map[string]string{"a": "12345"}, []string{"--store.maxFileBytes=4"}, `archive refused at entry "a": it has 5 bytes`},
	} {
		t.Run(row.name, func(t *testing.T) {
			folder := t.TempDir()
			file := filepath.Join(folder, "manifests.tgz")
			args := append([]string{"pack", writeTree(t, row.files), "-f", file}, row.flags...)
			got := runWith(t, nil, args...)
			assert.Equal(t, 1, got.status)
			assert.Contains(t, got.stderr, row.stderr)
			assert.Empty(t, got.stdout)
			assert.Empty(t, namesIn(t, folder), "no file is left")

			require.NoError(t, os.WriteFile(file, []byte("the last one"), 0o600))
			runWith(t, nil, args...)
			assert.Equal(t, "the last one", readFile(t, file), "what was there stays")
			assert.Equal(t, []string{"manifests.tgz"}, namesIn(t, folder))
		})
	}
}

func TestPackEndsWhenItIsTold(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	folder := t.TempDir()
	var stderr bytes.Buffer
	status := run(ctx, []string{"pack", exampleTree(t), "-f", filepath.Join(folder, "a.tgz")}, nil, strings.NewReader(""), &bytes.Buffer{}, &stderr)
	assert.Equal(t, 1, status)
	assert.Equal(t, "specman: interrupted\n", stderr.String())
	assert.Empty(t, namesIn(t, folder))
}

func TestPackArguments(t *testing.T) {
	dir, folder := exampleTree(t), t.TempDir()
	for _, row := range []struct {
		name   string
		args   []string
		status int
		stderr string
	}{
		{"no folder given", []string{"pack"}, 2, "specman: specman pack: DIR is missing\n  usage: specman pack DIR [flags]; see `specman pack --help`\n"},
		{"two folders", []string{"pack", dir, dir}, 2, "specman: specman pack: \"" + dir + "\" is one argument too many\n"},
		{"a folder that is not there", []string{"pack", folder + "/none"}, 1, "specman: stat " + folder + "/none: no such file or directory\n"},
		{"a file", []string{"pack", dir + "/roar/notes.txt"}, 1, "specman: " + dir + "/roar/notes.txt is no folder\n  to look at an archive: specman inspect "},
		{"an output that is a folder", []string{"pack", dir, "-f", folder}, 1, "specman: " + folder + " is a folder\n  name the file: -f " + folder + "/manifests.tgz\n"},
		{"an output whose folder is not there", []string{"pack", dir, "-f", folder + "/none/a.tgz"}, 1, "specman: open " + folder + "/none/"},
		{"a wrong configuration", []string{"pack", dir, "--store.maxFiles=x"}, 2, "specman: wrong configuration: store.maxFiles"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := runWith(t, nil, row.args...)
			assert.Equal(t, row.status, got.status)
			assert.True(t, strings.HasPrefix(got.stderr, row.stderr), "%s", got.stderr)
			assert.Empty(t, got.stdout)
			assert.Empty(t, namesIn(t, folder))
		})
	}
}

func TestOutputFile(t *testing.T) {
	folder := t.TempDir()
	pack := func(t *testing.T, file string) {
		t.Helper()
		got := runWith(t, nil, "pack", exampleTree(t), "-f", file)
		require.Equal(t, 0, got.status, got.stderr)
	}

	t.Run("has the mode that the umask gives", func(t *testing.T) {
		file := filepath.Join(folder, "a.tgz")
		pack(t, file)
		other := filepath.Join(folder, "other")
		f, err := os.Create(other)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		want, err := os.Stat(other)
		require.NoError(t, err)
		info, err := os.Stat(file)
		require.NoError(t, err)
		assert.Equal(t, want.Mode(), info.Mode())
	})
	t.Run("of a symlink is what that leads to", func(t *testing.T) {
		link := filepath.Join(folder, "link")
		require.NoError(t, os.Symlink("a.tgz", link))
		require.NoError(t, os.Truncate(filepath.Join(folder, "a.tgz"), 0))
		pack(t, link)
		target, err := os.Readlink(link)
		require.NoError(t, err)
		assert.Equal(t, "a.tgz", target)
		assert.NotEmpty(t, readFile(t, filepath.Join(folder, "a.tgz")))
	})
	t.Run("is never put in the place of a pipe", func(t *testing.T) {
		pipe := filepath.Join(folder, "pipe")
		require.NoError(t, syscall.Mkfifo(pipe, 0o600))
		read := make(chan string)
		go func() {
			content, err := os.ReadFile(pipe)
			if err != nil {
				content = []byte(err.Error())
			}
			read <- string(content)
		}()
		pack(t, pipe)
		assert.Equal(t, readFile(t, filepath.Join(folder, "a.tgz")), <-read)
		info, err := os.Lstat(pipe)
		require.NoError(t, err)
		assert.NotZero(t, info.Mode()&os.ModeNamedPipe)
	})
}
