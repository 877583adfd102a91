package httpserve

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/specman/specman/internal/human"
	"github.com/specman/specman/internal/store"
)

// serveListing answers GET and HEAD for a folder: with a page for people, or,
// where that is preferred, with JSON. The bytes depend on the view alone, so
// that they and their ETag are the same on every replica.
func (s *Server) serveListing(a *answer, r *http.Request, at place, folder store.Entry) {
	h := a.Header()
	leave := s.listings.enter(r.Context(), at.view, folder)
	if leave == nil {
		h["Retry-After"] = []string{"5"}
		a.problem(http.StatusServiceUnavailable, "too many folders are being listed at the moment")
		return
	}
	defer leave()
	var body []byte
	if prefersJSON(r.Header["Accept"]) {
		h["Content-Type"] = []string{"application/json"}
		body = listingJSON(at.view, folder)
	} else {
		h["Content-Type"] = []string{"text/html; charset=utf-8"}
		h["Content-Security-Policy"] = listingPolicy
		h["Referrer-Policy"] = []string{"no-referrer"}
		body = listingPage(at, folder, h["Specman-View"][0])
	}
	sum := sha256.Sum256(body)
	h["Cache-Control"] = noCache
	h["Vary"] = varyAccept
	h["Specman-Release"] = []string{at.view.Release(folder).Tag}
	h["Etag"] = []string{fmt.Sprintf(`"%x"`, sum[:])}
	h["Repr-Digest"] = []string{reprDigest(&sum)}
	a.sendAsked(&content{body: body, sum: sum}, time.Time{}, int64(len(body)))
}

// child is an entry of a folder.
type child struct {
	name  string
	entry store.Entry
}

// childrenOf lists folders before files, each by name, as nginx does.
func childrenOf(view *store.View, folder store.Entry) []child {
	var all []child
	for name, entry := range view.Children(folder) {
		all = append(all, child{name, entry})
	}
	slices.SortStableFunc(all, func(a, b child) int { return int(a.entry.Kind) - int(b.entry.Kind) })
	return all
}

// listed is an entry in the format of nginx's "autoindex_format json", with
// the content's sha256 beside.
type listed struct {
	Name    string `json:"name"`
	Type    string `json:"type"`           // "file" or "directory"
	ModTime string `json:"mtime"`          // the archive's
	Size    *int64 `json:"size,omitempty"` // of a file
	SHA256  string `json:"sha256,omitempty"`
}

// undated is the date of what has none: programs that read nginx's format find
// one in each entry. It is what archives made without dates say themselves, those
// of `specman pack` among them; a folder that is only implied has no other.
var undated = time.Unix(0, 0).UTC().Format(http.TimeFormat)

func listingJSON(view *store.View, folder store.Entry) []byte {
	list := []listed{}
	for _, c := range childrenOf(view, folder) {
		l := listed{Name: c.name, Type: "directory", ModTime: undated}
		if !c.entry.ModTime.IsZero() {
			l.ModTime = c.entry.ModTime.Format(http.TimeFormat)
		}
		if c.entry.Kind == store.File {
			l.Type, l.Size, l.SHA256 = "file", &c.entry.Size, fmt.Sprintf("%x", c.entry.Sum)
		}
		list = append(list, l)
	}
	body, _ := json.MarshalIndent(list, "", "  ") // strings and numbers: cannot fail
	return append(body, '\n')
}

var (
	//go:embed page/listing.html
	listingHTML string
	//go:embed page/listing.css
	listingCSS string
	//go:embed page/listing.js
	listingJS string

	// Made when it is first asked for: most commands never are.
	listingTemplate = sync.OnceValue(func() *template.Template {
		return template.Must(template.New("listing").Funcs(template.FuncMap{
			"css": func() template.CSS { return template.CSS(listingCSS) },
			"js":  func() template.JS { return template.JS(listingJS) },
		}).Parse(listingHTML))
	})

	// listingPolicy allows the page's own style and script, by what they are,
	// and nothing else: a script that a file's name would smuggle in is not run.
	listingPolicy = []string{"default-src 'none'; style-src " + policyHash(listingCSS) + "; script-src " + policyHash(listingJS) +
		"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"}
)

func policyHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

type listingData struct {
	Path     string
	Crumbs   []crumb
	Rows     []row
	Summary  string
	View     string   // "view v-…", or "manifest sha256:…" for a release alone
	Releases []string // tags, top first
}

type crumb struct{ Name, Href string }

type row struct{ Name, Href, Size, Date string }

func listingPage(at place, folder store.Entry, view string) []byte {
	data := listingData{Path: "/" + at.full, Crumbs: crumbsOf(at.full), View: "view " + view}
	if view != at.view.ID() {
		data.View = "manifest " + view
	}
	if at.full != "" {
		data.Path += "/"
	}
	files, folders, bytesTotal := 0, 0, int64(0)
	for _, c := range childrenOf(at.view, folder) {
		r := row{Name: c.name, Href: "./" + url.PathEscape(c.name)}
		if c.entry.Kind == store.Dir {
			r.Name += "/"
			r.Href += "/"
			folders++
		} else {
			r.Size = human.Bytes(c.entry.Size)
			files++
			bytesTotal += c.entry.Size
		}
		if !c.entry.ModTime.IsZero() {
			r.Date = c.entry.ModTime.Format("2006-01-02 15:04")
		}
		data.Rows = append(data.Rows, r)
	}
	data.Summary = fmt.Sprintf("%s, %s, %s", plural(folders, "folder"), plural(files, "file"), human.Bytes(bytesTotal))
	for n, release := range at.view.Releases() {
		if n == maxListedReleases {
			data.Releases = append(data.Releases, fmt.Sprintf("and %d more", len(at.view.Releases())-n))
			break
		}
		data.Releases = append(data.Releases, release.Tag)
	}
	var b bytes.Buffer
	if err := listingTemplate().Execute(&b, data); err != nil {
		panic(err) // the template is a constant, and its data has no methods
	}
	return b.Bytes()
}

// maxListedReleases is how many tags a page names.
const maxListedReleases = 5

// crumbsOf links each folder on the way; the last one is where we are. All
// links are relative, so that the page works behind a proxy's prefix too.
func crumbsOf(full string) []crumb {
	if full == "" {
		return []crumb{{Name: "/"}}
	}
	segments := strings.Split(full, "/")
	crumbs := []crumb{{Name: "/", Href: strings.Repeat("../", len(segments))}}
	for n, segment := range segments {
		c := crumb{Name: segment + "/"}
		if up := len(segments) - 1 - n; up > 0 {
			c.Href = strings.Repeat("../", up)
		}
		crumbs = append(crumbs, c)
	}
	return crumbs
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}
