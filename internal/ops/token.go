package ops

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
)

// token is the bearer token of a file. The file is read at each call that needs
// it, so that a change holds at once; a bad new file is told of, once, and the
// token before it stays.
type token struct {
	path string
	log  *slog.Logger

	mu   sync.Mutex
	sum  [sha256.Size]byte // of the token
	have bool
	told string // the fault that was told of last
}

func newToken(path string, log *slog.Logger) *token {
	t := &token{path: path, log: log}
	if path != "" {
		t.read()
	}
	return t
}

// read looks at the file.
func (t *token) read() {
	t.mu.Lock()
	defer t.mu.Unlock()
	content, err := os.ReadFile(t.path)
	if content = bytes.TrimSpace(content); err == nil && len(content) == 0 {
		err = errors.New("it is empty")
	}
	if err == nil {
		t.sum, t.have, t.told = sha256.Sum256(content), true, ""
		return
	}
	if t.told != err.Error() {
		t.told = err.Error()
		t.log.Error("cannot use the token file; what was in use before stays", "ops.tokenFile", t.path, "error", err)
	}
}

// check compares what a client sent, in a time that does not depend on it.
func (t *token) check(sent string) (have, ok bool) {
	t.read()
	t.mu.Lock()
	defer t.mu.Unlock()
	sum := sha256.Sum256([]byte(sent))
	return t.have, t.have && subtle.ConstantTimeCompare(sum[:], t.sum[:]) == 1
}

// authorized lets pass only who shows the token.
func (s *Server) authorized(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.opts.TokenFile == "" {
			s.problem(w, http.StatusForbidden, "calls that change something need a bearer token, and none is configured: set ops.tokenFile, or use the control socket as `specman sync` in the pod does")
			return
		}
		have, ok := s.token.check(bearer(r))
		switch {
		case ok:
			h(w, r)
		case !have:
			s.problem(w, http.StatusForbidden, "the token file (ops.tokenFile) cannot be used; the service's log says why")
		default:
			w.Header().Set("WWW-Authenticate", `Bearer realm="specman"`)
			s.problem(w, http.StatusUnauthorized, "the bearer token is missing or wrong: send it as `Authorization: Bearer TOKEN`")
		}
	}
}

// bearer returns the token that a request carries. Registries that know only a
// user and a password for their notifications send it as the password.
func bearer(r *http.Request) string {
	if _, password, ok := r.BasicAuth(); ok {
		return password
	}
	scheme, sent, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(sent)
}

// caller tells, for the log, who asked for a change.
func caller(r *http.Request) string {
	if r.RemoteAddr == "" || r.RemoteAddr == "@" {
		return "the control socket"
	}
	return fmt.Sprintf("%s with the token", r.RemoteAddr)
}
