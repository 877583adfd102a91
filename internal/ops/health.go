package ops

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/specman/specman/internal/sync/poller"
)

// livez says that the process answers: a fault of registry or store is nothing
// that a restart would mend.
func (s *Server) livez(w http.ResponseWriter, _ *http.Request) {
	plain(w, http.StatusOK, "ok\n")
}

// readyz says whether a view is served.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	verbose, err := flag(r, "verbose")
	if err != nil {
		s.problem(w, http.StatusBadRequest, "%v", err)
		return
	}
	status, body := http.StatusOK, "ok\n"
	if !s.isReady() {
		status, body = http.StatusServiceUnavailable, "not ready: "+s.Why()+"\n"
	}
	if verbose {
		body = s.checks() + body
	}
	plain(w, status, body)
}

// isReady says whether a view is, or was, served by this process.
func (s *Server) isReady() bool {
	if s.ready.Load() {
		return true
	}
	p := s.opts.Store.Snapshot()
	defer p.Close()
	if p.View == nil {
		return false
	}
	s.ready.Store(true)
	return true
}

// Why says, for people, why nothing is served yet.
func (s *Server) Why() string {
	pollers := s.opts.Pollers()
	if len(pollers) == 0 {
		return "nothing is held, and no repository is configured: set source.repository, or `specman import` an archive"
	}
	var whys []string
	for _, p := range pollers {
		st := p.Status()
		switch {
		case len(st.Failures) > 0:
			whys = append(whys, fmt.Sprintf("the last sync of source %s failed at stage %s: %s", st.Source, st.Failures[0].Stage, st.Failures[0].Reason))
		case st.LastResult == "":
			whys = append(whys, fmt.Sprintf("the first sync of source %s has not ended yet", st.Source))
		case slices.ContainsFunc(st.Followed, poller.Followed.Refused):
			whys = append(whys, fmt.Sprintf("what source %s selects is refused: `specman status` says why", st.Source))
		default:
			whys = append(whys, fmt.Sprintf("source %s has nothing that is selected", st.Source))
		}
	}
	return strings.Join(whys, "; ")
}

// checks lists what readiness depends on, and, marked with [i], what it does not.
func (s *Server) checks() string {
	var b strings.Builder
	p := s.opts.Store.Snapshot()
	defer p.Close()
	if p.View != nil {
		files, _ := p.View.Files()
		fmt.Fprintf(&b, "[+] view: %s, %d files\n", p.View.ID(), files)
	} else {
		fmt.Fprintf(&b, "[-] view: none\n")
	}
	for _, poller := range s.opts.Pollers() {
		st := poller.Status()
		result := string(st.LastResult)
		if result == "" {
			result = "none yet"
		}
		fmt.Fprintf(&b, "[i] source %s: last sync %s, last success %s\n", st.Source, result, moment(st.LastSuccess))
	}
	return b.String()
}

func plain(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	send(w, status, []byte(body))
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format(time.RFC3339)
}
