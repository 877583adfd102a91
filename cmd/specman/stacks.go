package main

import (
	"runtime"
	"sync"
)

// The runtime starts a goroutine with a stack as large as the stacks in use were
// on average at the last collection of garbage (gcComputeStartingStackSize in its
// stack.go), and copies it to one of twice the size whenever it does not suffice.
// Of a service nearly all goroutines wait, on shallow stacks, while those that work
// are new for each request, on HTTP/2 for each frame, and need some KiB: an eighth
// of the processor time of HTTP/2 was the growing of their stacks. So one goroutine
// waits on a stack as deep as it takes to make the average what they need.
const (
	// The runtime rounds it up, to 8 KiB. Twice as much would spare HTTP/2 another
	// thirtieth, and cost 64 MiB where 4,000 clients connect at a time.
	meanStack    = 5 << 10
	deepestStack = 512 << 10 // enough for a hundred goroutines; of many more each has the less
	stackStep    = 4 << 10
)

// seedStacks keeps the average of the stacks in use near meanStack.
var seedStacks = sync.OnceFunc(func() {
	depths := make(chan int, 1)
	go func() {
		for depth := 0; ; {
			depth = waitAt(depth, depths)
		}
	}()
	now := 0
	adjust := func() {
		next := min(runtime.NumGoroutine()*meanStack, deepestStack)
		if next*5 < now*4 || next*4 > now*5 {
			depths <- next
			now = next
		}
	}
	adjust()
	afterEachCollection(adjust)
})

// waitAt waits that many bytes deep in the stack for another depth.
func waitAt(depth int, depths <-chan int) (next int) {
	var frame [stackStep]byte
	occupy(&frame)
	if depth > stackStep {
		return waitAt(depth-stackStep, depths)
	}
	return <-depths
}

// occupy has the compiler keep a frame.
//
//go:noinline
func occupy(*[stackStep]byte) {}
