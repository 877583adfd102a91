package httpserve

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/specman/specman/internal/store"
)

// Header values that many answers share. They are never changed.
var (
	noCache          = []string{"no-cache"}
	immutablePublic  = []string{"public, max-age=31536000, immutable"}
	immutablePrivate = []string{"private, max-age=31536000, immutable"}
	nosniff          = []string{"nosniff"}
	acceptRanges     = []string{"bytes"}
	varyEncoding     = []string{"Accept-Encoding"}
	varyAccept       = []string{"Accept"}
	allowed          = []string{allow}
)

// routes is the whole URL space: one route, since every path is a path of the
// tree. NotFound and MethodNotAllowed are targets that chi cannot route ("*" of
// OPTIONS) and methods that it does not know; both are for serve to judge.
func (s *Server) routes() http.Handler {
	r := chi.NewRouter()
	r.HandleFunc("/*", s.answer)
	r.NotFound(s.answer)
	r.MethodNotAllowed(s.answer)
	return r
}

// answer answers one request, and counts and logs it.
func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	a := &answer{ResponseWriter: w, request: r}
	s.metrics.inFlight.Inc()
	c := connOf(r.Context())
	if c != nil {
		if !c.asked.Load() {
			c.asked.Store(true)
		}
		if r.ProtoMajor == 2 {
			a.conn = c
			c.streams.total.Add(1)
		}
		c.answering.Add(1)
	}
	defer func() { // also when the answer is broken off by a panic
		s.metrics.inFlight.Dec()
		if c != nil {
			c.answering.Add(-1)
		}
		if a.conn != nil {
			a.conn.streams.done(a)
		}
		took := time.Since(start)
		m := s.metrics.of(r.Method)
		m.duration.Observe(took.Seconds())
		if count := m.requests[a.status]; count != nil {
			count.Inc()
		}
		s.metrics.bytes.Add(float64(a.sent))
		if s.opts.AccessLog {
			s.logAccess(a, r, took)
		}
	}()
	s.serve(a, r, start)
	if c != nil && a.conn == nil {
		a.handOver(c)
	}
}

func (s *Server) serve(a *answer, r *http.Request, now time.Time) {
	h := a.Header()
	h["X-Content-Type-Options"] = nosniff
	if r.ProtoMajor == 1 && (r.ContentLength != 0 || len(r.TransferEncoding) > 0) {
		s.endAfter(a)
	}
	view := s.opts.Views.Acquire()
	if view != nil {
		defer view.Close()
		a.set(h, "Specman-View", view.ID())
	}
	if s.users != nil && !s.users.allow(r) {
		h["Www-Authenticate"] = []string{`Basic realm="Specman", charset="UTF-8"`}
		a.problem(http.StatusUnauthorized, "a user name and a password are needed")
		return
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		h["Allow"] = allowed
		a.WriteHeader(http.StatusNoContent)
		return
	default:
		h["Allow"] = allowed
		a.problem(http.StatusMethodNotAllowed, "only GET, HEAD and OPTIONS are answered here")
		return
	}
	t, err := parsePath(r.URL.Path)
	if err != nil || r.URL.Opaque != "" {
		a.problem(http.StatusBadRequest, "the path is not valid")
		return
	}
	at := place{view: view, path: t, full: t.name}
	if version, rest, ok := t.version(); ok {
		held, err := s.opts.Views.AcquireVersion(version)
		switch {
		case err == nil:
			defer held.Close()
			at = place{view: held, path: rest, full: t.name, versioned: true, immutable: true}
			h["Specman-View"] = []string{version}
			if version != held.ID() {
				manifest := held.Releases()[0].Manifest.String()
				at.immutable = version == manifest
				h["Specman-View"] = []string{manifest}
			}
		case errors.Is(err, store.ErrNotHeld): // perhaps a folder of that name
		default:
			s.faults.reportVersion(version, err)
			h["Retry-After"] = []string{"5"}
			a.problem(http.StatusServiceUnavailable, "this version cannot be read at the moment")
			return
		}
	}
	if at.view == nil {
		h["Retry-After"] = []string{"5"}
		a.writeProblem(http.StatusServiceUnavailable, s.opts.Why(), true)
		return
	}
	s.servePlace(a, r, at, now)
}

// place is a path of the view that a request is answered from.
type place struct {
	view *store.View
	path target
	full string // the path with its /@VERSION, without slashes at its ends
	// versioned is set below /@VERSION; immutable where that names bytes for
	// good: a manifest digest or a view's id.
	versioned, immutable bool
}

func (s *Server) servePlace(a *answer, r *http.Request, at place, now time.Time) {
	name := at.path.name
	entry, ok := at.view.Lookup(name)
	switch {
	case !ok, entry.Kind == store.File && at.path.folder:
		a.problem(http.StatusNotFound, "there is no such path in this tree")
	case entry.Kind == store.File:
		s.serveFile(a, r, at, name, entry, now)
	case !at.path.folder:
		a.Header()["Specman-Release"] = []string{at.view.Release(entry).Tag}
		a.redirect(location(at.full, r.URL.RawQuery))
	default:
		index := strings.TrimPrefix(name+"/index.html", "/")
		if e, ok := at.view.Lookup(index); ok && e.Kind == store.File {
			s.serveFile(a, r, at, index, e, now)
		} else if s.opts.Listing {
			s.serveListing(a, r, at, entry)
		} else {
			a.problem(http.StatusNotFound, "folders are not listed here")
		}
	}
}

func (a *answer) redirect(location string) {
	h := a.Header()
	h["Location"] = []string{location}
	a.problem(http.StatusMovedPermanently, "a folder's path ends with a slash")
}

// endAfter ends an HTTP/1.x connection after an answer to a request that brings
// a body. Nobody reads the body, and where it ends is where requests are
// smuggled (RFC 9112, 6.1 and 11.2); whoever drips it is not waited for.
func (s *Server) endAfter(a *answer) {
	a.Header()["Connection"] = []string{"close"}
	_ = http.NewResponseController(a.ResponseWriter).SetReadDeadline(time.Now().Add(s.opts.limits.body)) // a recorder in a test has none
}
