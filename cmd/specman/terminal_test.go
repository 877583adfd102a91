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
	assert.Equal(t, "\r\x1b[Kpacking www: 2 KiB of 4 KiB, 50 %", b.String())
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
