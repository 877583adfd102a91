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
	stacks := func() uint64 {
		samples := []metrics.Sample{{Name: "/memory/classes/heap/stacks:bytes"}}
		metrics.Read(samples)
		return samples[0].Value.Uint64()
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
		return grown >= goroutines*8<<10/2 // half of them may have got stacks of ended ones
	}, 20*time.Second, 50*time.Millisecond)
}
