package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// headroom is how much garbage may pile up between two collections, where that
// many bytes of bodies may be cached outside of the heap. By itself the collector
// allows as much as there is in the heap. Most of that here are the records of
// the served view, which hold no pointers: a large tree costs a collection hardly
// anything, and needs no more room than a small one. A large cache is for speed,
// so some more is given for it.
func headroom(cached int64) uint64 {
	const mib = 1 << 20
	return uint64(8*mib + min(cached/8, 8*mib))
}

// Bounds of the collector's percentage. The upper one keeps a start, when little
// lives yet, from piling up garbage that nothing needs later.
const (
	leastPercent = 10
	mostPercent  = 200
)

// The collector's percentage until it has collected for the first time. A process
// that syncs once and ends needs no more than 16 MiB for all that it makes unless
// the tree is large: it then never collects, which takes a tenth of the time of a
// small sync.
const (
	startOfService = 100
	startOfOneSync = 400
)

// boundHeadroom sets the collector's percentage, now and after each collection,
// so that the headroom is what it is to be, however large the heap is. A
// percentage in the environment (GOGC) has its way.
func boundHeadroom(room uint64, start int) {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(start)
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/heap:bytes"}}
	now := start
	afterEachCollection(func() {
		metrics.Read(samples)
		next := collectorPercent(room, samples[0].Value.Uint64(), samples[1].Value.Uint64())
		// Setting it stops the world for some microseconds.
		if next*10 < now*9 || next*10 > now*11 {
			debug.SetGCPercent(next)
			now = next
		}
	})
}

// collectorPercent is the percentage at which a heap in which so much lives, so
// much of it with pointers, is collected after so much room more; after as much
// as there is to look at, where that is more.
func collectorPercent(room, live, scanned uint64) int {
	percent := 100 * max(room, scanned) / max(live, 1)
	return int(min(max(percent, leastPercent), mostPercent))
}

// afterEachCollection calls f soon after each collection of garbage, one call at
// a time.
func afterEachCollection(f func()) {
	// An object of this size has memory of its own, so that it is found to be
	// garbage by the next collection.
	mark := new([64]byte)
	runtime.AddCleanup(mark, func(f func()) {
		f()
		afterEachCollection(f)
	}, f)
}
