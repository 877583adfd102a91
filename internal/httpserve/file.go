package httpserve

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
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
	a.set(h, "Specman-Release", at.view.Release(entry).Tag)
	form := identity(entry)
	if s.opts.Variants != nil && media.text {
		h["Vary"] = varyEncoding
		form = s.chooseForm(r.Header["Accept-Encoding"], entry)
	}
	for {
		a.set(h, "Etag", form.etag)
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
		defer func() {
			content.close(a.failed)
			if a.unread != nil {
				s.brokenOff(at.view, name, entry, form, a.unread)
			}
		}()
		h["Content-Type"] = media.header
		h["Accept-Ranges"] = acceptRanges
		if form.coding != variant.Identity {
			a.set(h, "Content-Encoding", form.coding.String())
		}
		var modified time.Time
		if !at.versioned {
			modified = lastModified(entry.Since, now)
		}
		a.describe(h, &content.sum, form.size, modified)
		if isPlain {
			a.sendWhole(&content, form.size)
		} else {
			a.sendAsked(&content, modified, form.size)
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

// cannotRead answers for a file that is in the view but not to be had.
func (s *Server) cannotRead(a *answer, name string, entry store.Entry, err error) {
	s.faults.reportFile(name, entry, err)
	h := a.Header()
	h["Retry-After"] = []string{"5"}
	delete(h, "Etag")
	detail := "this file cannot be read at the moment"
	if errors.Is(err, store.ErrDamaged) {
		detail = "this file is damaged in the store, and is not served until it is repaired"
	}
	a.problem(http.StatusServiceUnavailable, detail)
}

// brokenOff is for a large file that could be opened, and not be read to its end: the
// client has a part of it by then. The next one shall not get as far.
func (s *Server) brokenOff(view *store.View, name string, entry store.Entry, form form, err error) {
	s.faults.reportFile(name, entry, err)
	if form.coding != variant.Identity {
		s.opts.Variants.Forget(entry.Sum, form.coding, err)
		return
	}
	s.opts.OnDamage(view, entry)
}

// describe sets the headers that are written anew for each answer, from one
// piece of text.
func (a *answer) describe(h http.Header, sum *[sha256.Size]byte, size int64, modified time.Time) {
	var space [128]byte
	text := appendDigest(space[:0], sum)
	digest := len(text)
	text = strconv.AppendInt(text, size, 10)
	length := len(text)
	if !modified.IsZero() {
		text = modified.AppendFormat(text, http.TimeFormat)
	}
	all := string(text)
	a.set(h, "Repr-Digest", all[:digest])
	a.set(h, "Content-Length", all[digest:length])
	if !modified.IsZero() {
		a.set(h, "Last-Modified", all[length:])
	}
}

// sendWhole is the short way: one Write with its Content-Length for a small
// body, blocks for a large one.
func (a *answer) sendWhole(c *content, size int64) {
	a.WriteHeader(http.StatusOK)
	if a.request.Method == http.MethodHead {
		return
	}
	if c.file == nil {
		_, _ = a.Write(c.body) // the client is gone: nobody is left to be told
		return
	}
	_, _ = a.ReadFrom(c.reader(size))
}

// sendAsked lets http.ServeContent decide on ranges and conditions. It wants
// ETag, Content-Type and the like to be set before.
func (a *answer) sendAsked(c *content, modified time.Time, size int64) {
	prepareConditions(a.request, modified, size)
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
	var from io.ReadSeeker
	if c.file != nil {
		from = c.reader(size)
	} else {
		from = bytes.NewReader(c.body)
	}
	http.ServeContent(a, a.request, "", modified, from)
}
