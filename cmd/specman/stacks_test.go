package main

import (
	"runtime"
	"runtime/metrics"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// What seedStacks is for: goroutines start with stacks that need not grow.
func TestSeedStacks(t *testing.T) {
	seedStacks()
	stacks := func() int64 {
		samples := []metrics.Sample{{Name: "/memory/classes/heap/stacks:bytes"}}
		metrics.Read(samples)
		return int64(samples[0].Value.Uint64())
	}
	// The system's own goroutines, which nobody counts, are to weigh little.
	waiting := make(chan struct{})
	defer close(waiting)
	for range 50 {
		go func() { <-waiting }()
	}
	const goroutines = 200
	assert.Eventually(t, func() bool {
		runtime.GC()
		before := stacks()
		var group sync.WaitGroup
		stop := make(chan struct{})
		for range goroutines {
			group.Go(func() { <-stop })
		}
		grown := stacks() - before
		close(stop)
		group.Wait()
		return grown > goroutines*6<<10 // a few may have got stacks of ended ones
	}, 20*time.Second, 50*time.Millisecond)
}
