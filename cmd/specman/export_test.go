package main

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/store"
)

// site is a layout that is pushed to, and a store that follows it.
type site struct {
	t              *testing.T
	layout, folder string
}

func newSite(t *testing.T) *site {
	t.Helper()
	return &site{t, filepath.Join(t.TempDir(), "registry"), filepath.Join(t.TempDir(), "store")}
}

// push pushes a folder or file under a tag, and syncs.
func (s *site) push(what, tag string) {
	s.t.Helper()
	got := runWith(s.t, nil, "push", what, "oci-layout:"+s.layout+":"+tag)
	require.Equal(s.t, 0, got.status, got.stderr)
	got = runWith(s.t, nil, append(s.flags(), "sync")...)
	require.Equal(s.t, 0, got.status, got.stderr)
}

func (s *site) flags() []string {
	return []string{"--source.repository=oci-layout:" + s.layout, "--store.dir=" + s.folder}
}

// served is what is served at each path: the sum of a file, "folder" of a folder.
func (s *site) served() map[string]string {
	s.t.Helper()
	held, err := store.Read(s.folder)
	require.NoError(s.t, err)
	defer held.Close()
	require.NotNil(s.t, held.View)
	paths := make(map[string]string)
	for path, e := range held.View.All() {
		paths[path] = "folder"
		if e.Kind == store.File {
			paths[path] = hex.EncodeToString(e.Sum[:])
		}
	}
	return paths
}

func TestExportARelease(t *testing.T) {
	s := newSite(t)
	dir := exampleTree(t)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "roar/empty"), 0o755))
	s.push(dir, "4.5.13")
	s.push(writeTree(t, map[string]string{"roar/notes.txt": "newer\n"}), "4.6.0")

	file := filepath.Join(t.TempDir(), "a.tgz")
	got := runWith(t, nil, append(s.flags(), "export", "4.5.13", "-f", file)...)
	require.Equal(t, 0, got.status, got.stderr)
	assert.Contains(t, got.stdout, "packed 4.5.13 to "+file+": tar+gzip, ")
	assert.Equal(t, runWith(t, nil, "pack", dir, "-f", "-").stdout, readFile(t, file), "the bytes are those of pack")

	piped := runWith(t, nil, append(s.flags(), "export", "4.5.13", "-f", "-")...)
	assert.Equal(t, readFile(t, file), piped.stdout)
}

// Links lead, in a release, to the same release whatever lies over or below it. What
// is exported of several releases must be served the same when it is one.
func TestExportTheView(t *testing.T) {
	s := newSite(t)
	s.push(writeTree(t, map[string]string{
		"4.4/a": "4.4 a\n", "4.4/only": "4.4 only\n", "latest": "-> 4.4", "file": "-> 4.4/a", "x": "a file\n", "y/below": "hidden by a file\n",
	}), "4.4.0")
	s.push(writeTree(t, map[string]string{
		"4.5/a": "4.5 a\n", "4.4/a": "4.4 a, mended\n", "latest": "-> 4.5", "x/now": "a folder\n", "y": "a file\n", "again": "-> latest/a",
	}), "4.5.0")
	want := s.served()
	require.Contains(t, want, "latest/only", "the lower release's link shows through")

	other := newSite(t)
	file := filepath.Join(t.TempDir(), "view.tgz")
	got := runWith(t, nil, append(s.flags(), "export", "-f", file)...)
	require.Equal(t, 0, got.status, got.stderr)
	assert.Regexp(t, `^packed view v-[0-9a-f]{16} of 2 releases to `, got.stdout)
	other.push(file, "0.0.0")
	assert.Equal(t, want, other.served())

	again := runWith(t, nil, append(other.flags(), "export", "-f", "-")...)
	assert.Equal(t, readFile(t, file), again.stdout, "and exported from there it is the same")
}

func TestExportRefusesDamage(t *testing.T) {
	s := newSite(t)
	s.push(exampleTree(t), "4.5.13")
	damaged, err := filepath.Glob(filepath.Join(s.folder, "trees/*/files/roar/notes.txt"))
	require.NoError(t, err)
	require.Len(t, damaged, 1)
	require.NoError(t, os.Chmod(damaged[0], 0o644))
	require.NoError(t, os.WriteFile(damaged[0], []byte("reaD me\n"), 0o644))

	folder := t.TempDir()
	got := runWith(t, nil, append(s.flags(), "export", "-f", filepath.Join(folder, "a.tgz"))...)
	assert.Equal(t, 1, got.status)
	assert.Contains(t, got.stderr, `packing "roar/notes.txt": `)
	assert.Contains(t, got.stderr, "the file is damaged\n  `specman verify --repair` mends it\n")
	assert.Empty(t, namesIn(t, folder))
}

func TestExportArguments(t *testing.T) {
	s := newSite(t)
	s.push(exampleTree(t), "4.5.13")
	none := filepath.Join(t.TempDir(), "none")
	for _, row := range []struct {
		name   string
		args   []string
		status int
		stderr string
	}{
		{"a version that is not held", []string{"export", "9.9.9", "-f", "-"}, 1, "specman: release or view \"9.9.9\": not held\n  `specman releases` lists what is held"},
		{"two versions", []string{"export", "a", "b"}, 2, "specman: specman export takes one VERSION, but was given 2\n"},
		{"no store", []string{"export", "-f", "-", "--store.dir=" + none}, 1, "specman: there is no store at " + none},
		{"a store that holds nothing", []string{"export", "-f", "-", "--store.dir=" + t.TempDir()}, 1, "specman: nothing whole is held\n  `specman sync`"},
		{"a limit that is lower now", []string{"export", "-f", "-", "--store.maxFiles=1"}, 1, "specman: archive refused at entry"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := runWith(t, nil, append(s.flags(), row.args...)...)
			assert.Equal(t, row.status, got.status)
			assert.Contains(t, got.stderr, row.stderr)
		})
	}
}
