package httpserve

import (
	"crypto/sha256"
	"log/slog"
	"sync"
	"time"

	"github.com/specman/specman/internal/store"
)

// faults reports what cannot be served, each file's content and each held version
// once an hour, not at every request.
type faults struct {
	log *slog.Logger

	mu   sync.Mutex
	seen map[[sha256.Size]byte]time.Time
}

// maxFaults bounds what is remembered; beyond it some are reported again.
const maxFaults = 10_000

func (f *faults) reportFile(path string, entry store.Entry, err error) {
	if f.due(entry.Sum) {
		f.log.Error("cannot serve a file", "path", path, "error", err)
	}
}

func (f *faults) reportVersion(version string, err error) {
	if f.due(sha256.Sum256([]byte(version))) {
		f.log.Error("cannot serve a held release", "version", version, "error", err)
	}
}

// due says whether a fault is to be reported now, and notes that it is.
func (f *faults) due(of [sha256.Size]byte) bool {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if last, known := f.seen[of]; known && now.Sub(last) <= time.Hour {
		return false
	}
	if len(f.seen) >= maxFaults {
		clear(f.seen)
	}
	f.seen[of] = now
	return true
}
