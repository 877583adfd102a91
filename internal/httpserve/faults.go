package httpserve

import (
	"crypto/sha256"
	"log/slog"
	"sync"
	"time"

	"github.com/specman/specman/internal/store"
)

// faults reports files that cannot be served: each content once an hour, not
// at every request.
type faults struct {
	log *slog.Logger

	mu   sync.Mutex
	seen map[[sha256.Size]byte]time.Time
}

// maxFaults bounds what is remembered; beyond it some are reported again.
const maxFaults = 10_000

func (f *faults) report(path string, entry store.Entry, err error) {
	now := time.Now()
	f.mu.Lock()
	last, known := f.seen[entry.Sum]
	again := !known || now.Sub(last) > time.Hour
	if again {
		if len(f.seen) >= maxFaults {
			clear(f.seen)
		}
		f.seen[entry.Sum] = now
	}
	f.mu.Unlock()
	if again {
		f.log.Error("cannot serve a file", "path", path, "error", err)
	}
}
