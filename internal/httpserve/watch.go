package httpserve

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// watched is a set of files that are used together (a certificate and its key)
// and re-read when they change. Content is compared, not dates: Kubernetes
// swaps a Secret by a symlink, editors keep or forge dates.
type watched struct {
	what  string // for people: "server certificate"
	paths []string
	// load puts new content to use. On an error what was in use stays.
	load func(contents [][]byte) error
	log  *slog.Logger

	seen     [sha256.Size]byte // what load was last called with
	loaded   bool              // and that it took it
	reported bool              // and that a fault of it was told

	fault atomic.Pointer[error] // what was reported and still stands; for other goroutines
}

// check looks at the files once. A set that cannot be used is reported when it
// is seen a second time, since the first look may have fallen between the
// change of one file and of the next; first reports at once.
func (w *watched) check(first bool) error {
	sum := sha256.New()
	contents := make([][]byte, len(w.paths))
	var err error
	for n, path := range w.paths {
		if contents[n], err = os.ReadFile(path); err != nil {
			break
		}
		fmt.Fprintf(sum, "%d\n", len(contents[n]))
		sum.Write(contents[n])
	}
	if err != nil {
		sum.Write([]byte(err.Error()))
	}
	changed := !bytes.Equal(sum.Sum(nil), w.seen[:])
	if !changed && (w.loaded || w.reported) {
		return nil
	}
	w.seen = [sha256.Size]byte(sum.Sum(nil))
	if err == nil {
		err = w.load(contents)
	}
	if w.loaded = err == nil; w.loaded {
		w.fault.Store(nil)
		if !first {
			w.log.Info("re-read the "+w.what, "files", w.paths)
		}
		return nil
	}
	err = fmt.Errorf("%s: %w", w.what, err)
	if w.reported = first || !changed; w.reported {
		w.fault.Store(&err)
		w.log.Error("cannot use the "+w.what+"; what was in use before, if anything, stays", "files", w.paths, "error", err)
	}
	return err
}

// BadFiles are the faults of files that the server is to read and cannot use at the
// moment: what was in use before, if anything, is. It may be called at any time.
func (s *Server) BadFiles() (faults []error) {
	add := func(w *watched) {
		if fault := w.fault.Load(); fault != nil {
			faults = append(faults, *fault)
		}
	}
	if s.certificate.files != nil {
		add(s.certificate.files)
	}
	if s.clientCA != nil {
		add(s.clientCA.watched)
	}
	if s.users != nil {
		add(s.users.watched)
	}
	return faults
}

// watch checks all the files until ctx ends.
func watch(ctx context.Context, every time.Duration, checks ...func()) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			for _, check := range checks {
				check()
			}
		}
	}
}
