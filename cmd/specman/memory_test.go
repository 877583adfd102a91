package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestHeapLimit(t *testing.T) {
	for _, row := range []struct {
		container, cached, heap int64
		fits                    bool
	}{
		{1000, 0, 900, true},
		{1000, 100, 800, true},
		{1000, 500, 400, true},
		{1000, 501, 400, false},
		{1000, 1 << 50, 400, false},
	} {
		heap, fits := heapLimit(row.container, row.cached)
		assert.Equal(t, row.heap, heap, "%+v", row)
		assert.Equal(t, row.fits, fits, "%+v", row)
	}
}
