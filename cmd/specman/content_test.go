package main

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What the tests of pack, push, inspect, import and export share.

// runReading is runWith with something on standard input.
func runReading(t *testing.T, stdin io.Reader, env []string, args ...string) ran {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status := run(t.Context(), args, env, stdin, &stdout, &stderr)
	return ran{status, stdout.String(), stderr.String()}
}

// writeTree makes a folder of files; a content that begins with "-> " is a symlink.
func writeTree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "www")
	require.NoError(t, os.Mkdir(dir, 0o755))
	for name, content := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			require.NoError(t, os.Symlink(target, path))
		} else {
			require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
		}
	}
	return dir
}

// exampleTree is a small tree of the kind that Palette reads.
func exampleTree(t *testing.T) string {
	t.Helper()
	return writeTree(t, map[string]string{
		"roar/nickfury/versions.yaml":    "versions:\n  - version: 4.5.13\n    filepath: /roar/nickfury/4.5/version.yaml\n",
		"roar/nickfury/4.5/version.yaml": "version: 4.5.13\n",
		"roar/nickfury/latest":           "-> 4.5",
		"roar/notes.txt":                 "read me\n",
	})
}

// writeArchive puts an archive into a file of its own folder.
func writeArchive(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, content, 0o644))
	return path
}

// namesIn lists a folder.
func namesIn(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(content)
}

// randomText does not compress.
func randomText(n int) string {
	content := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(content) // it never fails
	return string(content)
}
