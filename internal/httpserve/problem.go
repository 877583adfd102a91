package httpserve

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// allow is what every path allows.
const allow = "GET, HEAD, OPTIONS"

// problem answers with an error: a line of text for people, RFC 9457 for
// programs. Headers that describe a file's bytes are taken back; what the
// caller set besides (Allow, Retry-After, Content-Range, Vary) stays. Detail is
// for the client's eyes: it must hold no internals.
func (a *answer) problem(status int, detail string) {
	a.writeProblem(status, detail, prefersJSON(a.request.Header["Accept"]))
}

func (a *answer) writeProblem(status int, detail string, asJSON bool) {
	h := a.Header()
	for _, name := range []string{"Last-Modified", "Content-Encoding", "Repr-Digest"} {
		delete(h, name)
	}
	h["Cache-Control"] = noCache
	if vary := h["Vary"]; len(vary) == 0 || vary[0] != "Accept" {
		h["Vary"] = append(vary, "Accept")
	}
	var body []byte
	if asJSON {
		h["Content-Type"] = []string{"application/problem+json"}
		body, _ = json.Marshal(struct {
			Type   string `json:"type"`
			Title  string `json:"title"`
			Status int    `json:"status"`
			Detail string `json:"detail"`
		}{"about:blank", http.StatusText(status), status, detail}) // strings and a number: cannot fail
	} else {
		h["Content-Type"] = []string{"text/plain; charset=utf-8"}
		body = []byte(strconv.Itoa(status) + " " + http.StatusText(status) + ": " + detail)
	}
	body = append(body, '\n')
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	a.WriteHeader(status)
	if a.request.Method != http.MethodHead {
		_, _ = a.Write(body) // a client that is gone needs no answer
	}
}
