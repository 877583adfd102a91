package ops

import (
	"context"
	"net/http"

	"golang.org/x/sync/errgroup"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/poller"
)

// SyncResult is what became of a sync that was asked for. Its JSON is public:
// docs/api.md.
type SyncResult struct {
	Replica string `json:"replica"`
	// Outcomes are by source; empty for a sync that was not waited for.
	Outcomes map[string]poller.Outcome `json:"outcomes"`
}

// postSync asks all sources for a sync at once, back-off or not.
func (s *Server) postSync(w http.ResponseWriter, r *http.Request) {
	wait, err := flag(r, "wait")
	if err != nil {
		s.problem(w, http.StatusBadRequest, "%v", err)
		return
	}
	force, err := flag(r, "force")
	if err != nil {
		s.problem(w, http.StatusBadRequest, "%v", err)
		return
	}
	var back []store.Release
	if force {
		if back, err = s.opts.TakeBack(caller(r)); err != nil {
			s.refuse(w, err)
			return
		}
	}
	if len(s.opts.Pollers()) == 0 && len(back) == 0 {
		s.problem(w, http.StatusConflict, "there is nothing to sync with: no repository is configured (source.repository)")
		return
	}
	s.log.Info("A sync was asked for", "by", caller(r), "force", force)
	for _, r := range back {
		s.log.Info("What was forgotten is taken back", "tag", r.Tag, "source", r.Source, "manifest", r.Manifest)
	}
	ask := poller.Ask{Force: force, By: caller(r)}
	if wait {
		lasting(func(w http.ResponseWriter, r *http.Request) { s.syncAndTell(w, r, ask) })(w, r)
		return
	}
	go s.syncAll(s.ctx, ask) // a mere trigger would not say who asked
	s.json(w, http.StatusAccepted, SyncResult{Replica: s.opts.Replica, Outcomes: map[string]poller.Outcome{}})
}

func (s *Server) syncAndTell(w http.ResponseWriter, r *http.Request, ask poller.Ask) {
	outcomes, err := s.syncAll(r.Context(), ask)
	if err != nil {
		s.problem(w, http.StatusServiceUnavailable, "what the sync came to is not known: %v", err)
		return
	}
	s.json(w, http.StatusOK, SyncResult{Replica: s.opts.Replica, Outcomes: outcomes})
}

// syncAll syncs all sources at the same time and waits for them.
func (s *Server) syncAll(ctx context.Context, ask poller.Ask) (map[string]poller.Outcome, error) {
	pollers := s.opts.Pollers()
	outcomes := make([]poller.Outcome, len(pollers))
	group, ctx := errgroup.WithContext(ctx)
	for n, p := range pollers {
		group.Go(func() (err error) {
			outcomes[n], err = p.Sync(ctx, ask)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	bySource := make(map[string]poller.Outcome)
	for n, p := range pollers {
		o := outcomes[n]
		o.Got, o.Failures = list(o.Got), list(o.Failures)
		bySource[p.Status().Source] = o
	}
	return bySource, nil
}

func (s *Server) triggerAll() {
	for _, p := range s.opts.Pollers() {
		p.Trigger()
	}
}
