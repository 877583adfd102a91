package ocitest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/opencontainers/image-spec/specs-go"
)

var schema2 = specs.Versioned{SchemaVersion: 2}

// tokenPath is where the registry's token server is, on the same host.
const tokenPath = "/token"

// authenticator is the registry's door. Its zero value is open.
type authenticator struct {
	username, password string
	bearer             bool
	realm              string // base URL of the token server; empty: the registry's own
	issued             int    // tokens handed out, numbered from 1
	valid              int    // the oldest number that is still good
	expired            func(w http.ResponseWriter)
}

// RequireBasic asks for a user name and password. Empty ones open the door.
func (r *Registry) RequireBasic(username, password string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.auth = authenticator{username: username, password: password}
}

// RequireToken asks for a bearer token of the token server at /token, which asks
// for a user name and password, unless these are empty.
func (r *Registry) RequireToken(username, password string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.auth = authenticator{username: username, password: password, bearer: true, valid: 1}
}

// SetRealm names another token server in the challenge: scheme and host.
func (r *Registry) SetRealm(base string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.auth.realm = base
}

// ExpireTokens makes all tokens handed out so far worthless. They are answered
// by answer, or by a challenge if it is nil.
func (r *Registry) ExpireTokens(answer func(w http.ResponseWriter)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.auth.valid = r.auth.issued + 1
	r.auth.expired = answer
}

func (a *authenticator) admit(w http.ResponseWriter, req *http.Request, repository string) bool {
	switch {
	case a.bearer:
		var number int
		given, _ := fmt.Sscanf(req.Header.Get("Authorization"), "Bearer token-%d", &number)
		if given == 1 && number >= a.valid && number <= a.issued {
			return true
		}
		if given == 1 && a.expired != nil {
			a.expired(w)
			return false
		}
		realm := a.realm
		if realm == "" {
			realm = scheme(req) + "://" + req.Host
		}
		w.Header().Set("Www-Authenticate", fmt.Sprintf(`Bearer realm="%s%s",service="ocitest",scope="repository:%s:pull"`, realm, tokenPath, repository))
	case a.username != "":
		username, password, _ := req.BasicAuth()
		if username == a.username && password == a.password {
			return true
		}
		w.Header().Set("Www-Authenticate", `Basic realm="ocitest"`)
	default:
		return true
	}
	Fail(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
	return false
}

// issue answers the token server's requests: GET with basic auth, and POST with
// an identity token, which is the password here.
func (a *authenticator) issue(w http.ResponseWriter, req *http.Request) {
	username, password, _ := req.BasicAuth()
	if req.Method == http.MethodPost {
		username, password = a.username, req.FormValue("refresh_token")
	}
	if username != a.username || password != a.password {
		Fail(w, http.StatusUnauthorized, "UNAUTHORIZED", "incorrect username or password")
		return
	}
	a.issued++
	w.Header().Set("Content-Type", "application/json")
	token := fmt.Sprintf("token-%d", a.issued)
	_ = json.NewEncoder(w).Encode(map[string]any{"token": token, "access_token": token, "expires_in": 300})
}

func scheme(req *http.Request) string {
	if req.TLS != nil || strings.EqualFold(req.Header.Get("X-Forwarded-Proto"), "https") {
		return "https"
	}
	return "http"
}
