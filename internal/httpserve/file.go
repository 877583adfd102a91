package httpserve

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/variant"
)

// serveFile answers GET and HEAD for a file of a view.
func (s *Server) serveFile(a *answer, r *http.Request, at place, name string, entry store.Entry, now time.Time) {
	h := a.Header()
	media := typeOf(name)
	h["Cache-Control"] = s.cacheControl(at)
	h["Specman-Release"] = []string{at.view.Release(entry).Tag}
	form := identity(entry)
	if s.opts.Variants != nil && media.text {
		h["Vary"] = varyEncoding
		form = s.chooseForm(r.Header["Accept-Encoding"], entry)
	}
	for {
		h["Etag"] = []string{form.etag}
		isPlain, matches := plain(r, form.etag)
		if matches {
			a.WriteHeader(http.StatusNotModified)
			return
		}
		content, err := s.open(at.view, entry, form)
		if errors.Is(err, store.ErrDamaged) {
			s.opts.OnDamage(at.view, entry)
			content, err = s.open(at.view, entry, form) // now it may come from another tree
		}
		if err != nil && form.coding != variant.Identity {
			form = identity(entry) // as good, and still there
			continue
		}
		if err != nil {
			s.cannotRead(a, name, entry, err)
			return
		}
		defer content.close()
		h["Content-Type"] = media.header
		h["Accept-Ranges"] = acceptRanges
		h["Repr-Digest"] = []string{reprDigest(&content.sum)}
		h["Content-Length"] = []string{strconv.FormatInt(form.size, 10)}
		if form.coding != variant.Identity {
			h["Content-Encoding"] = []string{form.coding.String()}
		}
		var modified time.Time
		if !at.versioned {
			modified = lastModified(entry.Since, now)
		}
		if isPlain {
			a.sendWhole(content, modified)
		} else {
			a.sendAsked(content, modified, form.size)
		}
		return
	}
}

// cacheControl says how long a client may use a file without asking again: a
// name that can never mean other bytes, for ever.
func (s *Server) cacheControl(at place) []string {
	switch {
	case !at.immutable:
		return noCache
	case s.users != nil || s.opts.TLS.ClientCAFile != "":
		return immutablePrivate
	}
	return immutablePublic
}

// form is the shape in which a file is sent: as it is, or coded.
type form struct {
	coding variant.Coding
	size   int64
	tag    variant.Tag // of a coded form
	etag   string
}

func identity(entry store.Entry) form {
	var etag [2 + 2*sha256.Size]byte
	etag[0], etag[len(etag)-1] = '"', '"'
	hex.Encode(etag[1:], entry.Sum[:])
	return form{size: entry.Size, etag: string(etag[:])}
}

// chooseForm picks what the client likes best; of equals the smallest.
func (s *Server) chooseForm(acceptEncoding []string, entry store.Entry) form {
	accepted := acceptedEncodings(acceptEncoding)
	if accepted.gzip == 0 && accepted.zstd == 0 {
		return identity(entry)
	}
	set, ok := s.opts.Variants.Find(entry.Sum)
	if !ok {
		return identity(entry)
	}
	best, size, q := variant.Identity, entry.Size, accepted.identity
	for _, c := range [...]struct {
		coding variant.Coding
		q      int
	}{{variant.Zstd, accepted.zstd}, {variant.Gzip, accepted.gzip}} {
		v, ok := set.Get(c.coding)
		if ok && (c.q > q || c.q == q && c.q > 0 && v.Size < size) {
			best, size, q = c.coding, v.Size, c.q
		}
	}
	if best == variant.Identity {
		return identity(entry)
	}
	v, _ := set.Get(best)
	// With the content's sum before it, a tag that somebody made collide with
	// another file's is of no use to him.
	return form{coding: best, size: size, tag: v.Tag, etag: fmt.Sprintf(`"%x-%s-%x"`, entry.Sum[:16], best, v.Tag)}
}

func reprDigest(sum *[sha256.Size]byte) string {
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

// lastModified is the date that may be sent for content that is served here
// since then; zero for none. It is rounded up, so that a client which got what
// was here before in the same second, and asks with that second, is told that
// it changed.
func lastModified(since, now time.Time) time.Time {
	if since.IsZero() {
		return time.Time{}
	}
	date := since.Truncate(time.Second)
	if date.Before(since) {
		date = date.Add(time.Second)
	}
	if now.Sub(date) < time.Second {
		return time.Time{}
	}
	return date
}

// content is the bytes of a form: a whole body in memory, or an open file.
type content struct {
	body []byte
	file *os.File
	sum  [sha256.Size]byte // of the bytes
}

func (c *content) close() {
	if c.file != nil {
		_ = c.file.Close() // nothing was written to it
	}
}

// errRemade is the error of a variant that was made anew, by another encoder,
// between the choice of its ETag and the reading of its bytes.
var errRemade = errors.New("the variant is another one by now")

func (s *Server) open(view *store.View, entry store.Entry, form form) (*content, error) {
	if form.size > maxCached {
		c := &content{sum: entry.Sum}
		var err error
		if form.coding == variant.Identity {
			c.file, err = view.Open(entry)
		} else if c.file, c.sum, err = s.opts.Variants.Open(entry.Sum, form.coding); err == nil && variant.TagOf(c.sum) != form.tag {
			c.close()
			err = errRemade
		}
		return c, err
	}
	key := cacheKey{entry.Sum, form.coding, form.tag}
	if s.cache != nil {
		if hit, ok := s.cache.get(key); ok {
			s.metrics.cacheHits.Inc()
			return &content{body: hit.body, sum: hit.sum}, nil
		}
		s.metrics.cacheMisses.Inc()
	}
	read := &cached{sum: entry.Sum}
	var err error
	if form.coding == variant.Identity {
		read.body, err = readChecked(view, entry)
	} else if read.body, read.sum, err = s.opts.Variants.Read(entry.Sum, form.coding); err == nil && variant.TagOf(read.sum) != form.tag {
		err = errRemade
	}
	if err != nil {
		return nil, err
	}
	if s.cache != nil {
		s.cache.put(key, read)
	}
	return &content{body: read.body, sum: read.sum}, nil
}

// readChecked reads a small file and holds it against its published sha256.
func readChecked(view *store.View, entry store.Entry) ([]byte, error) {
	f, err := view.Open(entry)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	body := make([]byte, entry.Size)
	if _, err := io.ReadFull(f, body); err != nil {
		return nil, fmt.Errorf("read %q: %w", f.Name(), err)
	}
	if sha256.Sum256(body) != entry.Sum {
		return nil, fmt.Errorf("read %q: %w: its sha256 is not the published one", f.Name(), store.ErrDamaged)
	}
	return body, nil
}

// cannotRead answers for a file that is in the view but not to be had.
func (s *Server) cannotRead(a *answer, name string, entry store.Entry, err error) {
	s.faults.report(name, entry, err)
	h := a.Header()
	h["Retry-After"] = []string{"5"}
	delete(h, "Etag")
	detail := "this file cannot be read at the moment"
	if errors.Is(err, store.ErrDamaged) {
		detail = "this file is damaged in the store, and is not served until it is repaired"
	}
	a.problem(http.StatusServiceUnavailable, detail)
}

// sendWhole is the short way: one Write with its Content-Length for a small
// body, blocks for a large one.
func (a *answer) sendWhole(c *content, modified time.Time) {
	if !modified.IsZero() {
		a.Header()["Last-Modified"] = []string{modified.Format(http.TimeFormat)}
	}
	a.WriteHeader(http.StatusOK)
	if a.request.Method == http.MethodHead {
		return
	}
	if c.file == nil {
		_, _ = a.Write(c.body) // the client is gone: nobody is left to be told
		return
	}
	_, _ = a.ReadFrom(c.file)
}

// sendAsked lets http.ServeContent decide on ranges and conditions. It wants
// ETag, Content-Type and the like to be set before.
func (a *answer) sendAsked(c *content, modified time.Time, size int64) {
	prepareConditions(a.request, size)
	h := a.Header()
	etag := h["Etag"]
	a.refuse = func(status int) {
		h["Etag"] = etag // of the file that there is; ServeContent may have dropped it
		if status == http.StatusPreconditionFailed {
			a.problem(status, "the file is not the one that the request's conditions name")
			return
		}
		h["Content-Range"] = []string{"bytes */" + strconv.FormatInt(size, 10)}
		a.problem(status, "the file has "+strconv.FormatInt(size, 10)+" bytes, and none of those in the range that was asked for")
	}
	var from io.ReadSeeker = c.file
	if c.file == nil {
		from = bytes.NewReader(c.body)
	}
	http.ServeContent(a, a.request, "", modified, from)
}
