package main

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestProgressIsALineThatGoesAway(t *testing.T) {
	var b bytes.Buffer
	p := &progress{w: &b, what: "packing www"}
	r := p.reader(strings.NewReader(strings.Repeat("x", 2048)), 4096)
	_, err := io.CopyN(io.Discard, r, 2048)
	require.NoError(t, err)
	assert.Equal(t, "\r\x1b[Kpacking www: 2.0 KiB of 4.0 KiB, 50 %", b.String())
	p.at(4096, 4096)
	assert.NotContains(t, b.String(), "100 %", "it does not change faster than can be read")
	p.last = time.Time{}
	p.at(5, 0)
	assert.True(t, strings.HasSuffix(b.String(), "\r\x1b[Kpacking www: 5 B"))
	p.end()
	assert.True(t, strings.HasSuffix(b.String(), "5 B\r\x1b[K"))
}

func TestProgressIsQuietInAPipe(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	p := (&app{stderr: w}).progress("packing")
	p.last = time.Time{}
	p.at(1, 2)
	p.end()
	require.NoError(t, w.Close())
	said, err := io.ReadAll(r)
	require.NoError(t, err)
	assert.Empty(t, said)
}

func TestFormatBytes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1<<20 - 1: "1.0 MiB", 5 << 30: "5.0 GiB", 7 << 40: "7.0 TiB", 7 << 50: "7168.0 TiB",
	} {
		assert.Equal(t, want, formatBytes(n))
	}
}
