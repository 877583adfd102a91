package poller

import (
	"fmt"
	"strings"

	"github.com/specman/specman/internal/store"
)

// maxAskers is the length, in bytes, from which on no further name is added to those who
// asked for a sync.
const maxAskers = 200

// askers names all who asked for one sync.
func askers(a, b string) string {
	switch {
	case a == "" || strings.Contains(b, a):
		return b
	case b == "" || strings.Contains(a, b) || len(a) > maxAskers:
		return a
	}
	return a + " and " + b
}

// noteByHand puts into the history who asked for a sync that changed something, or that
// was to overrule what was refused. Other syncs leave nothing there: the history is
// bounded, and cron may ask each minute.
func (s *pass) noteByHand() {
	if s.ask.By == "" {
		return
	}
	did := s.did()
	what := "sync"
	switch {
	case s.ask.Force:
		what = "forced sync"
	case len(did) == 0:
		return
	}
	if len(did) == 0 {
		did = []string{"nothing changed"}
	}
	message := fmt.Sprintf("%s, by %s: %s", what, s.ask.By, strings.Join(did, "; "))
	if err := s.Store.Note("sync", s.Name, message); err != nil {
		s.log.Warn("Who asked for the sync cannot be noted in the history", "by", s.ask.By, "error", err)
	}
}

// did says what this sync changed.
func (s *pass) did() (did []string) {
	if len(s.back) > 0 {
		did = append(did, "took back "+tagsOf(s.back))
	}
	if len(s.got) > 0 {
		did = append(did, "got "+strings.Join(s.got, ", "))
	}
	for _, f := range s.follows {
		if r := f.overruled; r != nil && f.release != nil && f.release.Manifest == r.Manifest {
			did = append(did, fmt.Sprintf("%s (%s) was refused at %s before", f.Reference, r.Manifest, r.Stage))
		}
	}
	if s.swapped {
		did = append(did, "what is served has changed")
	}
	return did
}

func tagsOf(releases []store.Release) string {
	var tags []string
	for _, r := range releases {
		tags = append(tags, r.Tag)
	}
	return strings.Join(tags, ", ")
}
