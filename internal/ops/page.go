package ops

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/specman/specman/internal/human"
	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/poller"
)

// maxPageEvents is how many events the page lists; the API has them all.
const maxPageEvents = 30

var (
	//go:embed page/status.html
	pageHTML string
	//go:embed page/status.css
	pageCSS string
)

// pagePolicy lets the page load nothing and run nothing: it has one style, named
// by its hash, and whatever gets into it as text stays text.
var pagePolicy = func() string {
	sum := sha256.Sum256([]byte(pageCSS))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}()

// pageData is what the page is made of.
type pageData struct {
	Status
	Now    time.Time
	Held   []Release // beside those of the served view
	Events []store.Event
}

// pageTemplate is parsed when the page is first asked for: commands that end at
// once have no page.
var pageTemplate = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("status").Funcs(template.FuncMap{
		"css":   func() template.CSS { return template.CSS(pageCSS) },
		"size":  human.Bytes,
		"short": func(d digest.Digest) string { return short(d) },
		"stamp": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") + " UTC" },
		"iso":   func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	}).Parse(pageHTML))
})

// Ago is a moment as a person would say it.
func (d pageData) Ago(t time.Time) string { return human.Ago(t, d.Now) }

// Failing are the sources whose last sync failed.
func (d pageData) Failing() []poller.Status {
	var out []poller.Status
	for _, s := range d.Sources {
		if len(s.Failures) > 0 {
			out = append(out, s)
		}
	}
	return out
}

// Current says that everything that is followed is served as the registries have it.
func (d pageData) Current() bool {
	for _, s := range d.Sources {
		if !s.Current {
			return false
		}
	}
	return d.Ready && len(d.Sources) > 0
}

// page answers with the status for people.
func (s *Server) page(w http.ResponseWriter, _ *http.Request) {
	p := s.opts.Store.Snapshot()
	defer p.Close()
	data := pageData{Status: s.statusOf(p), Now: time.Now(), Events: EventsOf(p)}
	data.Events = data.Events[:min(len(data.Events), maxPageEvents)]
	for _, r := range ReleasesOf(p) {
		if r.Rank == 0 {
			data.Held = append(data.Held, r)
		}
	}
	var body bytes.Buffer
	if err := pageTemplate().Execute(&body, data); err != nil {
		s.log.Error("cannot make the status page", "error", err)
		s.problem(w, http.StatusInternalServerError, "the page cannot be made; /api/v1/status has the same")
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", pagePolicy)
	send(w, http.StatusOK, body.Bytes())
}
