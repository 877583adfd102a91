package httpserve

import (
	"context"
	"log/slog"
	"net/http"
	"time"
)

// logAccess writes one record for a request. The target is as the client sent
// it; the log's handler escapes it.
func (s *Server) logAccess(a *answer, r *http.Request, took time.Duration) {
	user, _, _ := r.BasicAuth()
	if s.users == nil {
		user = "" // Palette sends an empty one, others anything
	}
	view := ""
	if v := a.Header()["Specman-View"]; len(v) > 0 {
		view = v[0]
	}
	s.log.LogAttrs(context.Background(), slog.LevelInfo, "request",
		slog.String("remote", r.RemoteAddr),
		slog.String("user", user),
		slog.String("method", r.Method),
		slog.String("target", r.RequestURI),
		slog.String("proto", r.Proto),
		slog.Int("status", a.status),
		slog.Int64("bytes", a.sent),
		slog.Duration("took", took),
		slog.String("view", view),
		slog.String("agent", r.UserAgent()),
	)
}
