package ops

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"

	"github.com/specman/specman/internal/sync/archive"
	"github.com/specman/specman/internal/sync/gate"
	"github.com/specman/specman/internal/sync/importer"
)

// ImportResult is what an import came to. Its JSON is public: docs/api.md.
type ImportResult struct {
	Replica string `json:"replica"`
	importer.Result
}

// ImportRequest says how to import; see [importer.Options].
type ImportRequest struct {
	Tag   string // empty: the layout's, else 0.0.0
	Force bool   // let pass what only the gate refuses
	By    string // who asks for it; the service knows its callers itself
}

// Import sends an archive, or an OCI layout in one, to be put into the store; see
// [importer.Import]. It takes as long as body does.
func (c *Client) Import(ctx context.Context, body io.Reader, r ImportRequest) (result ImportResult, err error) {
	query := url.Values{"tag": {r.Tag}}
	if r.Force {
		query.Set("force", "true")
	}
	return result, c.do(ctx, http.MethodPost, "/api/v1/import", query, body, &result)
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
	force, err := flag(r, "force")
	if err != nil {
		s.problem(w, http.StatusBadRequest, "%v", err)
		return
	}
	tag := r.URL.Query().Get("tag")
	result, err := s.opts.Import(ctx, r.Body, ImportRequest{Tag: tag, Force: force, By: caller(r)})
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
		s.log.Warn("A release was imported by hand", "by", caller(r), "tag", i.Tag, "layer", i.Layer, "force", force)
	}
	s.json(w, http.StatusOK, ImportResult{Replica: s.opts.Replica, Result: result})
}

func (s *Server) refuseImport(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, importer.ErrTag):
		s.problem(w, http.StatusBadRequest, "%v", err)
	case errors.As(err, new(*archive.RefusedError)), errors.As(err, new(*gate.RefusedError)):
		s.problem(w, http.StatusUnprocessableEntity, "%v", err)
	default:
		s.refuse(w, err)
	}
}
