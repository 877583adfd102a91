package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/ops"
	"github.com/specman/specman/internal/testenv"
)

// The pod is not ready yet: nothing is held, and there is no registry.
func TestImportIntoARunningService(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "store")
	service := startService(t, "--store.dir="+folder, "--gate.maxVanishedPercent=50")
	status, _ := service.get("/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status)

	archive := testenv.TGZ(t, map[string]string{"roar/a.txt": "imported\n", "out": "-> /etc/passwd"})
	got := runReading(t, bytes.NewReader(archive), nil, "import", "-", "--store.dir="+folder)
	require.Equal(t, 0, got.status, got.stderr)
	assert.Contains(t, got.stdout, " imported 0.0.0 (sha256:")
	assert.Contains(t, got.stdout, "): 9 B in 1 file\nwhat is served has changed\n")
	assert.Equal(t, "specman: not served: \"out\": symlink to \"/etc/passwd\" is absolute; make it relative\n", got.stderr)
	service.ready()
	assert.Equal(t, "imported\n", service.fetch("/roar/a.txt"))

	t.Run("and again, of another tag", func(t *testing.T) {
		file := writeArchive(t, "a.tgz", testenv.TGZ(t, map[string]string{"roar/a.txt": "newer\n"}))
		got := runWith(t, nil, "import", file, "--tag=4.6.0", "--store.dir="+folder, "-o", "json")
		require.Equal(t, 0, got.status, got.stderr)
		var result ops.ImportResult
		require.NoError(t, json.Unmarshal([]byte(got.stdout), &result))
		assert.True(t, result.Swapped)
		assert.NotEmpty(t, result.Replica)
		assert.Equal(t, "4.6.0", result.Imported[0].Tag)
		assert.Equal(t, "newer\n", service.fetch("/roar/a.txt"))
	})
	t.Run("what serve would refuse is refused", func(t *testing.T) {
		// Larger than what a socket holds, so that the service's answer comes while it
		// is still being sent.
		bad := testenv.TGZ(t, map[string]string{"../x": "1", "y": randomText(4 << 20)})
		for _, row := range []struct {
			stdin  []byte
			stderr string
		}{
			{bad, "specman: import: archive refused at entry \"../x\": the name holds \"..\"\n"},
			{archive[:20], "specman: import: archive refused"},
		} {
			got := runReading(t, bytes.NewReader(row.stdin), nil, "import", "-", "--store.dir="+folder)
			assert.Equal(t, 1, got.status)
			assert.True(t, strings.HasPrefix(got.stderr, row.stderr), got.stderr)
		}
		assert.Equal(t, "newer\n", service.fetch("/roar/a.txt"))
	})
	t.Run("a pipe that breaks is refused", func(t *testing.T) {
		got := runReading(t, io.MultiReader(bytes.NewReader(archive[:50]), brokenPipe{}), nil, "import", "-", "--store.dir="+folder)
		assert.Equal(t, 1, got.status)
		assert.Contains(t, got.stderr, "the pipe broke")
		assert.Equal(t, "newer\n", service.fetch("/roar/a.txt"))
	})
	t.Run("what a gate holds back is held back, unless it is forced", func(t *testing.T) {
		elsewhere := testenv.TGZ(t, map[string]string{"www/roar/a.txt": "a folder up\n"})
		args := []string{"import", "-", "--tag=4.6.0", "--store.dir=" + folder}
		got := runReading(t, bytes.NewReader(elsewhere), nil, args...)
		assert.Equal(t, 1, got.status)
		assert.True(t, strings.HasPrefix(got.stderr, "specman: import 4.6.0: the gate holds it back: 1 of the 1 files of its last release would vanish"), got.stderr)
		assert.Contains(t, got.stderr, "--force")
		assert.Equal(t, "newer\n", service.fetch("/roar/a.txt"))

		got = runReading(t, bytes.NewReader(elsewhere), nil, append(args, "--force")...)
		require.Equal(t, 0, got.status, got.stderr)
		assert.Equal(t, "a folder up\n", service.fetch("/www/roar/a.txt"))
		assert.Equal(t, "imported\n", service.fetch("/roar/a.txt"), "4.6.0 does not cover it any more")
	})
	t.Run("forget", func(t *testing.T) {
		got := runWith(t, nil, "forget", "4.6.0", "--store.dir="+folder)
		require.Equal(t, 0, got.status, got.stderr)
		assert.Equal(t, "imported\n", service.fetch("/roar/a.txt"))
	})
	t.Run("take back, without a registry", func(t *testing.T) {
		got := runWith(t, nil, "sync", "--force", "--store.dir="+folder)
		require.Equal(t, 0, got.status, got.stderr)
		assert.Equal(t, "a folder up\n", service.fetch("/www/roar/a.txt"))
		got = runWith(t, nil, "sync", "--force", "--store.dir="+folder)
		assert.Equal(t, 1, got.status, "there is nothing left to be taken back, and nothing to sync with")
	})
}

type brokenPipe struct{}

func (brokenPipe) Read([]byte) (int, error) { return 0, errors.New("the pipe broke") }

// fetch reads a file of the tree.
func (r *running) fetch(path string) string {
	r.t.Helper()
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	resp, err := client.Get(r.tree + path)
	require.NoError(r.t, err)
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	require.NoError(r.t, err)
	assert.Equal(r.t, http.StatusOK, resp.StatusCode)
	return string(content)
}

func TestImportWithoutAService(t *testing.T) {
	layout := filepath.Join(t.TempDir(), "registry")
	dir := exampleTree(t)
	require.Equal(t, 0, runWith(t, nil, "push", dir, "oci-layout:"+layout+":4.5.13").status)
	archive := filepath.Join(t.TempDir(), "a.tgz")
	require.Equal(t, 0, runWith(t, nil, "pack", dir, "-f", archive).status)
	registry := testenv.Zot(t, testenv.Options{})
	ref := registry.Repo("a/b") + ":4.5.13"
	require.Equal(t, 0, runWith(t, nil, append(connectionFlags(t, registry), "push", archive, ref)...).status)
	asTar := filepath.Join(t.TempDir(), "layout.tar")
	registry.Oras(t.TempDir(), "backup", "--output", asTar, ref)

	for _, row := range []struct{ name, file, tag string }{
		{"an archive", archive, "0.0.0"},
		{"a layout", layout, "4.5.13"},
		{"a layout in a tar", asTar, "4.5.13"},
		{"a folder", dir, "0.0.0"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := &site{t, "", filepath.Join(t.TempDir(), "store")}
			got := runWith(t, nil, "import", row.file, "--store.dir="+s.folder)
			require.Equal(t, 0, got.status, got.stderr)
			assert.Contains(t, got.stdout, " imported "+row.tag+" (sha256:")
			exported := runWith(t, nil, "export", row.tag, "-f", "-", "--store.dir="+s.folder)
			assert.Equal(t, readFile(t, archive), exported.stdout, "it is what was packed")
		})
	}
}

func TestImportStandsByForARegistry(t *testing.T) {
	s := newSite(t)
	s.push(exampleTree(t), "4.5.13")
	want := s.served()
	file := writeArchive(t, "a.tgz", testenv.TGZ(t, map[string]string{"roar/notes.txt": "imported\n"}))
	got := runWith(t, nil, append(s.flags(), "import", file, "--tag=4.5.13")...)
	require.Equal(t, 0, got.status, got.stderr)
	assert.Contains(t, got.stdout, "\n  it stands by: the 4.5.13 of a source is served in its place\n")
	assert.NotContains(t, got.stdout, "what is served has changed")
	assert.Equal(t, want, s.served())
}

func TestImportOfALayoutOfWhichOneIsBad(t *testing.T) {
	layout := filepath.Join(t.TempDir(), "registry")
	require.Equal(t, 0, runWith(t, nil, "push", exampleTree(t), "oci-layout:"+layout+":1.0.0").status)
	bad := writeArchive(t, "manifests.tgz", []byte("hello"))
	require.Equal(t, 0, runWith(t, nil, "push", "--force", bad, "oci-layout:"+layout+":2.0.0").status)

	folder := filepath.Join(t.TempDir(), "store")
	got := runWith(t, nil, "import", layout, "--store.dir="+folder)
	assert.Equal(t, 1, got.status)
	assert.Contains(t, got.stdout, " imported 1.0.0 (sha256:")
	assert.Contains(t, got.stderr, "specman: not imported: 2.0.0: archive refused: a text file is no archive")
}

func TestImportArguments(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "store")
	for _, row := range []struct {
		name   string
		args   []string
		status int
		stderr string
	}{
		{"no file", nil, 2, "specman: specman import: FILE is missing\n"},
		{"a file that is not there", []string{"none.tgz"}, 1, "specman: stat none.tgz: no such file or directory\n"},
		{"a tag that is none", []string{"-", "--tag=latest!"}, 2, "specman: --tag: \"latest!\" is no tag: letters, digits and . _ - up to 128\n"},
		{"nothing on standard input", []string{"-"}, 1, "specman: import: archive refused: it is empty (0 bytes)"},
		{"a folder without a file", []string{t.TempDir()}, 1, "specman: import: "},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := runWith(t, nil, append([]string{"import", "--store.dir=" + folder}, row.args...)...)
			assert.Equal(t, row.status, got.status)
			assert.True(t, strings.HasPrefix(got.stderr, row.stderr), got.stderr)
		})
	}
	trees, err := os.ReadDir(filepath.Join(folder, "trees"))
	assert.NoError(t, err, "the store was opened")
	assert.Empty(t, trees)
}
