package ops

import (
	"net/http"
	"net/http/pprof"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Handler returns what is answered on TCP.
func (s *Server) Handler() http.Handler { return s.routes(false) }

// routes are all that is answered. Who is trusted needs no token.
func (s *Server) routes(trusted bool) http.Handler {
	r := chi.NewRouter()
	r.Use(guard)
	read := func(path string, h http.HandlerFunc) {
		r.Get(path, h)
		r.Head(path, h)
	}
	change := func(path string, h http.HandlerFunc) {
		if !trusted {
			h = s.authorized(h)
		}
		r.Post(path, h)
	}

	read("/", s.page)
	read("/metrics", promhttp.HandlerFor(s.opts.Gatherer, promhttp.HandlerOpts{
		ErrorLog:          metricsLog{s.log},
		ErrorHandling:     promhttp.ContinueOnError, // one broken metric hides no other
		EnableOpenMetrics: true,
	}).ServeHTTP)
	read("/livez", s.livez)
	read("/healthz", s.livez)
	read("/readyz", s.readyz)

	read("/api/v1/status", s.getStatus)
	read("/api/v1/releases", s.getReleases)
	read("/api/v1/events", s.getEvents)
	read("/api/v1/diff", s.getDiff)
	change("/api/v1/sync", s.parameters(s.postSync, "wait", "force"))
	change("/api/v1/rollback", s.parameters(s.move(Rollback), "version", "alone", "dryRun"))
	change("/api/v1/pin", s.parameters(s.move(PinTo), "version", "alone", "dryRun"))
	change("/api/v1/unpin", s.parameters(s.move(Follow), "dryRun"))
	change("/api/v1/forget", s.parameters(s.postForget, "version"))
	change("/api/v1/import", s.inQuery(lasting(s.postImport), "tag", "force"))
	change("/api/v1/verify", s.parameters(lasting(s.postVerify), "repair"))
	change("/api/v1/gc", s.parameters(lasting(s.postGC), "dryRun"))
	change("/hooks/registry", s.postHook)

	if s.opts.Pprof {
		read("/debug/pprof/*", lasting(pprof.Index))
		read("/debug/pprof/cmdline", pprof.Cmdline)
		read("/debug/pprof/profile", lasting(pprof.Profile))
		read("/debug/pprof/trace", lasting(pprof.Trace))
		read("/debug/pprof/symbol", pprof.Symbol)
		r.Post("/debug/pprof/symbol", pprof.Symbol) // it looks up, and changes nothing
	}
	r.NotFound(s.notFound)
	r.MethodNotAllowed(s.methodNotAllowed(r))
	return r
}

func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	s.problem(w, http.StatusNotFound, "there is no %s here; / is the status page, /api/v1/status the same for programs", r.URL.Path)
}

// methodNotAllowed names what is allowed, also to a method that chi has never
// heard of.
func (s *Server) methodNotAllowed(routes chi.Routes) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var allowed []string
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
			if routes.Match(chi.NewRouteContext(), method, r.URL.Path) {
				allowed = append(allowed, method)
			}
		}
		if len(allowed) == 0 {
			s.notFound(w, r)
			return
		}
		allow := strings.Join(allowed, ", ")
		w.Header().Set("Allow", allow)
		s.problem(w, http.StatusMethodNotAllowed, "%s answers to %s", r.URL.Path, allow)
	}
}
