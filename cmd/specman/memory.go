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
// so that the collector works harder before the kernel kills. GOMEMLIMIT, if it
// is set, has its way.
func limitMemory(log *slog.Logger) {
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
			debug.SetMemoryLimit(limit / 10 * 9)
			log.Debug("Limiting memory", "bytes", limit/10*9, "from", path)
		}
		return
	}
}
