package ops

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"

	"github.com/specman/specman/internal/sync/archive"
	"github.com/specman/specman/internal/sync/importer"
)

// ImportResult is what an import came to. Its JSON is public: docs/api.md.
type ImportResult struct {
	Replica string `json:"replica"`
	importer.Result
}

// Import sends an archive, or an OCI layout in one, to be put into the store under a
// tag; see [importer.Import]. It takes as long as body does.
func (c *Client) Import(ctx context.Context, body io.Reader, tag string) (result ImportResult, err error) {
	return result, c.do(ctx, http.MethodPost, "/api/v1/import", url.Values{"tag": {tag}}, body, &result)
}

// postImport puts the body into the store.
func (s *Server) postImport(w http.ResponseWriter, r *http.Request) {
	if s.opts.Import == nil {
		s.notFound(w, r)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)() // an import does not outlive the service
	tag := r.URL.Query().Get("tag")
	result, err := s.opts.Import(ctx, r.Body, tag)
	if err != nil {
		if ctx.Err() == nil {
			// Who is still sending would not see the answer.
			_, _ = io.Copy(io.Discard, r.Body)
		}
		s.log.Warn("An import failed", "by", caller(r), "tag", tag, "error", err)
		s.refuseImport(w, err)
		return
	}
	for _, i := range result.Imported {
		s.log.Warn("A release was imported by hand", "by", caller(r), "tag", i.Tag, "layer", i.Layer)
	}
	s.json(w, http.StatusOK, ImportResult{Replica: s.opts.Replica, Result: result})
}

func (s *Server) refuseImport(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, importer.ErrTag):
		s.problem(w, http.StatusBadRequest, "%v", err)
	case errors.As(err, new(*archive.RefusedError)):
		s.problem(w, http.StatusUnprocessableEntity, "%v", err)
	default:
		s.refuse(w, err)
	}
}
