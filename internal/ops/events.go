package ops

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/specman/specman/internal/store"
)

// EventsOf lists what happened, newest first.
func EventsOf(p *store.Snapshot) []store.Event {
	events := slices.Clone(list(p.Events))
	slices.Reverse(events)
	return events
}

func (s *Server) getEvents(w http.ResponseWriter, r *http.Request) {
	p := s.opts.Store.Snapshot()
	defer p.Close()
	events := EventsOf(p)
	if text := r.URL.Query().Get("limit"); text != "" {
		limit, err := strconv.Atoi(text)
		if err != nil || limit < 1 {
			s.problem(w, http.StatusBadRequest, "limit=%s: a number from 1 on is allowed", text)
			return
		}
		events = events[:min(limit, len(events))]
	}
	s.json(w, http.StatusOK, events)
}
