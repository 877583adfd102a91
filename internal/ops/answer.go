package ops

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Problem is an error as the API answers it (RFC 9457).
type Problem struct {
	Type    string `json:"type"` // about:blank: the status says what kind it is
	Title   string `json:"title"`
	Status  int    `json:"status"`
	Detail  string `json:"detail"`
	Replica string `json:"replica"`
}

func (s *Server) problem(w http.ResponseWriter, status int, format string, args ...any) {
	p := Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(format, args...), Replica: s.opts.Replica}
	w.Header().Set("Content-Type", "application/problem+json")
	s.writeJSON(w, status, p)
}

// json answers with a value for programs.
func (s *Server) json(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	s.writeJSON(w, status, value)
}

func (s *Server) writeJSON(w http.ResponseWriter, status int, value any) {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		s.log.Error("cannot write an answer of the API", "error", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	send(w, status, body.Bytes())
}

func send(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that is gone needs no answer
}

// guard sets what every answer carries.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		next.ServeHTTP(w, r)
	})
}

// lasting lifts the deadlines for an answer that may take its time. The one for
// reading too: net/http ends a request's context when it passes.
func lasting(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		// The only error is a connection without deadlines, which needs no lifting.
		_ = c.SetReadDeadline(time.Time{})
		_ = c.SetWriteDeadline(time.Time{})
		h(w, r)
	}
}

// flag reads a boolean of the query; one without a value is true.
func flag(r *http.Request, name string) (bool, error) {
	q := r.URL.Query()
	if !q.Has(name) {
		return false, nil
	}
	if q.Get(name) == "" {
		return true, nil
	}
	on, err := strconv.ParseBool(q.Get(name))
	if err != nil {
		return false, fmt.Errorf("%s=%s: allowed are true and false", name, q.Get(name))
	}
	return on, nil
}

// metricsLog takes what promhttp has to complain about.
type metricsLog struct{ log *slog.Logger }

func (l metricsLog) Println(v ...any) {
	l.log.Error("cannot gather all metrics", "error", strings.TrimSpace(fmt.Sprintln(v...)))
}
