package ocitest

import (
	"bytes"
	"net/http"
	"strconv"
	"time"

	"github.com/opencontainers/go-digest"
)

// Fault changes the answers to some requests.
type Fault struct {
	Operation string // which requests; empty: all
	Times     int    // how often; 0: until [Registry.Heal]
	Skip      int    // how many requests to let pass before

	// Answer writes the answer. honest writes what would have come without the fault.
	Answer func(w http.ResponseWriter, req *http.Request, honest http.Handler)

	used int
}

// Break puts a fault in. Of several that match a request the latest answers, and
// its honest handler is the one before.
func (r *Registry) Break(f Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, &f)
}

// Heal takes all faults out.
func (r *Registry) Heal() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = nil
}

// faulty wraps honest into the faults that apply now. r.mu is held.
func (r *Registry) faulty(operation string, honest http.Handler) http.Handler {
	for _, f := range r.faults {
		if f.Operation != "" && f.Operation != operation {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		if f.Times > 0 && f.used >= f.Times {
			continue
		}
		f.used++
		inner := honest
		honest = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { f.Answer(w, req, inner) })
	}
	return honest
}

// Answer is how a fault answers.
type Answer = func(w http.ResponseWriter, req *http.Request, honest http.Handler)

// Status answers with an error of the distribution specification. headers are
// names and values in turn.
func Status(status int, code, message string, headers ...string) Answer {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		Fail(w, status, code, message)
	}
}

// Page answers 200 with a body of some type, as a proxy's login page does.
func Page(contentType, body string) Answer {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write([]byte(body))
	}
}

// Redirect sends the client to another base URL, with the same path.
func Redirect(base string) Answer {
	return func(w http.ResponseWriter, req *http.Request, _ http.Handler) {
		http.Redirect(w, req, base+req.URL.Path+"?X-Signature=secret-of-the-url", http.StatusTemporaryRedirect)
	}
}

// Hang answers nothing until the client gives up.
func Hang() Answer {
	return func(_ http.ResponseWriter, req *http.Request, _ http.Handler) { <-req.Context().Done() }
}

// HangUp ends the connection without an answer.
func HangUp() Answer {
	return func(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }
}

// Header sets a header of the honest answer; an empty value takes it off.
func Header(name, value string) Answer {
	return edited(func(a *answer) {
		if value == "" {
			a.header.Del(name)
		} else {
			a.header.Set(name, value)
		}
	})
}

// Body replaces the body of the honest answer, and leaves its headers but the length.
func Body(change func([]byte) []byte) Answer {
	return edited(func(a *answer) {
		a.body = change(a.body)
		a.header.Set("Content-Length", strconv.Itoa(len(a.body)))
	})
}

// Flip changes one bit in the middle of the body.
func Flip() Answer {
	return Body(func(body []byte) []byte {
		body = bytes.Clone(body)
		body[len(body)/2] ^= 1
		return body
	})
}

// Chunked sends the honest body without its length.
func Chunked() Answer {
	return edited(func(a *answer) {
		a.header.Del("Content-Length")
		a.chunked = true
	})
}

// Truncate ends the connection after n bytes of the body.
func Truncate(n int) Answer {
	return edited(func(a *answer) { a.cut = n; a.limited = true })
}

// Stall sends n bytes of the body and then no more.
func Stall(n int) Answer {
	return edited(func(a *answer) { a.cut = n; a.limited = true; a.hang = true })
}

// Drip sends n bytes of the body per pause.
func Drip(n int, pause time.Duration) Answer {
	return edited(func(a *answer) { a.drip, a.pause = n, pause })
}

// NoRanges makes the registry ignore Range.
func NoRanges() Answer {
	return func(w http.ResponseWriter, req *http.Request, honest http.Handler) {
		req = req.Clone(req.Context())
		req.Header.Del("Range")
		honest.ServeHTTP(w, req)
	}
}

// NoDigest takes Docker-Content-Digest off.
func NoDigest() Answer { return Header("Docker-Content-Digest", "") }

// WrongDigest makes Docker-Content-Digest that of something else.
func WrongDigest() Answer {
	return Header("Docker-Content-Digest", digest.FromString("something else").String())
}

// answer is an honest answer that was kept to be changed.
type answer struct {
	status  int
	header  http.Header
	body    []byte
	chunked bool
	limited bool
	cut     int
	hang    bool
	drip    int
	pause   time.Duration
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	a.body = append(a.body, p...)
	return len(p), nil
}

// edited keeps the honest answer, changes it, and sends it.
func edited(change func(*answer)) Answer {
	return func(w http.ResponseWriter, req *http.Request, honest http.Handler) {
		a := &answer{header: make(http.Header)}
		honest.ServeHTTP(a, req)
		a.WriteHeader(http.StatusOK)
		change(a)
		a.send(w, req)
	}
}

func (a *answer) send(w http.ResponseWriter, req *http.Request) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	if req.Method == http.MethodHead {
		return
	}
	flush := http.NewResponseController(w).Flush
	if a.chunked {
		_ = flush() // before the server can know the length
	}
	body := a.body
	if a.limited {
		body = body[:min(a.cut, len(body))]
	}
	for a.drip > 0 && len(body) > a.drip {
		_, _ = w.Write(body[:a.drip])
		_ = flush()
		body = body[a.drip:]
		select {
		case <-req.Context().Done():
			return
		case <-time.After(a.pause):
		}
	}
	_, _ = w.Write(body)
	if !a.limited || a.cut >= len(a.body) {
		return
	}
	_ = flush()
	if a.hang {
		<-req.Context().Done()
	}
	panic(http.ErrAbortHandler)
}
