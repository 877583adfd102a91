package store

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMemoryOfAView holds the promise of few bytes a file: record, node, path
// and table together, with paths of 35 bytes.
func TestMemoryOfAView(t *testing.T) {
	const files = 60_000
	text := indexText(t, files)

	before := heap()
	x, err := parseIndex(text)
	require.NoError(t, err)
	o := newOverlay([]*tree{{index: x, layer: digest.FromString("x")}})
	took := float64(heap()-before) / files
	t.Logf("%.0f bytes a file", took)
	assert.Less(t, took, 165.0)
	runtime.KeepAlive(o)
	runtime.KeepAlive(text)
}

func indexText(t *testing.T, files int) []byte {
	b := newIndexBuilder(files)
	for n := range files / 100 {
		require.NoError(t, b.dir(fmt.Sprintf("folder-%05d", n), 1))
	}
	for n := range files {
		name := fmt.Sprintf("folder-%05d/manifest-%07d.yaml", n/100, n)
		require.NoError(t, b.file(name, 1, 1, [32]byte{byte(n), byte(n >> 8)}))
	}
	x, err := b.finish()
	require.NoError(t, err)
	var text bytes.Buffer
	require.NoError(t, x.write(&text))
	return text.Bytes()
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
