package store

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// housekeepInterval is how often garbage is looked for when nothing changes:
	// what is in its grace becomes garbage by itself. It is also how often a check of all
	// files may be due. Where Options say less, it is that.
	housekeepInterval = time.Minute
	// minHousekeepInterval is the least that Options can make of it.
	minHousekeepInterval = time.Second
	// scrubRate bounds what the background check of all files reads a second,
	// so that it is not felt.
	scrubRate = 16 << 20
	// scrubRest is how many times as long as it took a check that ended early is not
	// tried again: what keeps it from its end may last, and it reads all anew.
	scrubRest = 10
)

// scrubs are the background checks of this process. Only scrubIfDue uses it, one call at
// a time.
type scrubs struct {
	rate  int       // bytes a second; tests lower it
	ended time.Time // the last that came to its end; zero: none has
	rest  time.Time // until then none begins
}

// Housekeep removes what retention no longer holds, measures what has changed, makes
// damaged trees whole from others and, every Options.ScrubInterval, reads and
// checks all files, until ctx ends.
func (s *Store) Housekeep(ctx context.Context) {
	var scrubbing sync.WaitGroup
	defer scrubbing.Wait()
	scrubbing.Go(func() { s.scrub(ctx) }) // it takes hours, for which the rest cannot wait
	for measured := false; ; {
		if _, err := s.GC(false); err != nil {
			s.log.Warn("Removing what is no longer needed failed; it is tried again", "error", err)
		}
		if !measured { // a third of a second for 60,000 files, each minute, would be felt
			_, err := s.MeasureUsage(ctx)
			if measured = err == nil; err != nil && ctx.Err() == nil {
				s.log.Warn("The store cannot be measured", "error", err)
			}
		}
		s.keepSpare()
		s.repairDamaged(ctx)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause(s.options().Grace)):
		case <-s.changed:
			measured = false
		}
	}
}

// pause is how long to wait where something may be due after that long.
func pause(due time.Duration) time.Duration {
	if due <= 0 {
		return housekeepInterval
	}
	return min(housekeepInterval, max(due, minHousekeepInterval))
}

// scrub makes the background checks that are due, until ctx ends.
func (s *Store) scrub(ctx context.Context) {
	for {
		s.scrubIfDue(ctx)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause(s.options().ScrubInterval)):
		}
	}
}

func (s *Store) scrubIfDue(ctx context.Context) {
	last := cmp.Or(s.scrubs.ended, s.state.Load().Scrubbed)
	interval := s.options().ScrubInterval
	// A clock that was set back must not put the next one off until it is there again.
	if age := time.Since(last); interval <= 0 || age >= 0 && age < interval || time.Now().Before(s.scrubs.rest) {
		return
	}
	if last.IsZero() {
		// What was just written was just checked: the first scrub can wait.
		s.noteScrub()
		return
	}
	began := time.Now()
	report, err := s.Verify(ctx, VerifyOptions{BytesPerSecond: s.scrubs.rate})
	switch {
	case errors.Is(err, context.Canceled):
		return
	case err != nil:
		s.log.Warn("The background check of the store ended early; it is tried again", "error", err)
		s.scrubs.rest = time.Now().Add(scrubRest * time.Since(began))
		return
	case len(report.Damaged) > 0:
		s.log.Error("The background check found damage", "files", len(report.Damaged), "cure", "the next sync fetches anew what it can; `specman verify` lists the rest")
	default:
		s.log.Debug("The background check found no damage", "files", report.Files, "bytes", report.Bytes)
	}
	s.noteScrub()
}

// noteScrub notes that a background check has ended: for the next process, if the volume
// can be written.
func (s *Store) noteScrub() {
	s.scrubs.ended = time.Now().UTC()
	if err := s.change(func(next *state) { next.Scrubbed = s.scrubs.ended }); err != nil {
		s.log.Warn("The time of the background check cannot be kept", "error", err)
	}
}

// wakeHousekeeping wakes Housekeep because something was published, replaced or removed.
func (s *Store) wakeHousekeeping() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}
