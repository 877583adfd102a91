package main

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestCollectorPercent(t *testing.T) {
	const mib = 1 << 20
	for _, row := range []struct {
		live, scanned uint64
		percent       int
	}{
		{0, 0, mostPercent},
		{1 * mib, mib / 2, mostPercent},
		{8 * mib, 2 * mib, 100},
		{16 * mib, 2 * mib, 50},
		{16 * mib, 12 * mib, 75}, // much to look at: as much headroom
		{400 * mib, 2 * mib, leastPercent},
		{400 * mib, 390 * mib, 97},
	} {
		assert.Equal(t, row.percent, collectorPercent(8*mib, row.live, row.scanned), "%+v", row)
	}
}

func TestHeadroom(t *testing.T) {
	assert.EqualValues(t, 8<<20, headroom(0))
	assert.EqualValues(t, 16<<20, headroom(64<<20))
	assert.EqualValues(t, 16<<20, headroom(1<<50))
}

func TestAfterEachCollection(t *testing.T) {
	calls := make(chan struct{}, 1)
	afterEachCollection(func() {
		select {
		case calls <- struct{}{}:
		default:
		}
	})
	for range 3 {
		assert.Eventually(t, func() bool {
			runtime.GC()
			select {
			case <-calls:
				return true
			default:
				return false
			}
		}, 10*time.Second, time.Millisecond)
	}
}
