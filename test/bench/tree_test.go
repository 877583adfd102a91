package main

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTreeIsTheSameEachTime(t *testing.T) {
	spec := treeSpec{seed: 1, files: 400, bytes: 400 * 9 << 10}
	first, again, second := t.TempDir(), t.TempDir(), t.TempDir()
	paths, _, err := spec.write(first)
	require.NoError(t, err)
	_, _, err = spec.write(again)
	require.NoError(t, err)
	spec.changed = true
	_, differing, err := spec.write(second)
	require.NoError(t, err)

	var total, changed int64
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	changes := 0
	for _, path := range paths {
		text := readFile(t, first, path)
		assert.Equal(t, text, readFile(t, again, path))
		total += int64(len(text))
		_, err := z.Write(text)
		require.NoError(t, err)
		if !bytes.Equal(text, readFile(t, second, path)) {
			changes++
			changed += int64(len(text))
		}
	}
	require.NoError(t, z.Close())
	assert.Equal(t, 4, changes, "one file in a hundred")
	assert.InEpsilon(t, differing, changed, 0.1)
	assert.InEpsilon(t, spec.bytes, total, 0.1)
	ratio := float64(total) / float64(packed.Len())
	assert.True(t, 4 < ratio && ratio < 6, "text that gzip makes about five times smaller, and not %.1f times", ratio)
}

func readFile(t *testing.T, dir, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, path))
	require.NoError(t, err)
	return text
}
