package main

import (
	"log/slog"
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

// limitMemory keeps the heap below nine tenths of what the container may use,
// so that the collector works harder before the kernel kills. The bodies that
// are cached lie outside of the heap, and are taken off first. GOMEMLIMIT, if it
// is set, has its way.
func limitMemory(cached int64, log *slog.Logger) {
	if debug.SetMemoryLimit(-1) != math.MaxInt64 {
		return
	}
	for _, path := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		// "max", or about 2^63, means no limit.
		limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err == nil && limit < 1<<50 {
			heap, fits := heapLimit(limit, cached)
			if !fits {
				log.Warn("http.cacheBytes takes more than half of the memory that the container may use; lower it, or raise the container's limit", "http.cacheBytes", cached, "limit", limit)
			}
			debug.SetMemoryLimit(heap)
			log.Debug("Limiting memory", "bytes", heap, "from", path)
		}
		return
	}
}

// heapLimit is what the heap may take of a container's memory beside what is
// cached outside of it. It does not fit where it would leave the heap less than
// it needs to work at all: then the heap gets that.
func heapLimit(container, cached int64) (heap int64, fits bool) {
	least := container / 10 * 4
	heap = container/10*9 - cached
	return max(heap, least), heap >= least
}
