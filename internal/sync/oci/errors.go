package oci

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"oras.land/oras-go/v2/errdef"
)

// ErrNoArchive says that a manifest is well-formed but holds no archive to
// serve: a chart, a signature, an index of several images.
var ErrNoArchive = errors.New("no archive in this artifact")

// Kind is what a caller branches on: the nature of a failure.
type Kind string

const (
	Absent        Kind = "absent"        // 404, and nothing else: the repository, tag, manifest or blob is not there
	Unauthorized  Kind = "unauthorized"  // 401: no credentials, or wrong ones
	Forbidden     Kind = "forbidden"     // 403: known, but not allowed
	RateLimited   Kind = "rate-limited"  // 429
	Unavailable   Kind = "unavailable"   // 5xx
	Refused       Kind = "refused"       // any other 4xx
	Network       Kind = "network"       // DNS, dial, reset, no answer in time
	TLS           Kind = "tls"           // the TLS handshake, on either side
	Stalled       Kind = "stalled"       // a body that moves too slowly
	Corrupt       Kind = "corrupt"       // digest or length differ from the descriptor's
	Malformed     Kind = "malformed"     // not what the OCI specifications say: a foreign Link, a manifest that is none or too large
	NotRegistry   Kind = "not-registry"  // a web page: somebody else answered in the registry's place
	Misconfigured Kind = "misconfigured" // a setting, or a file that a setting names
	Canceled      Kind = "canceled"      // the caller's context was canceled
)

// Operations, as metrics and [Error] name them.
const (
	opTags      = "tags"
	opHead      = "head"
	opManifest  = "manifest"
	opBlob      = "blob"
	opReferrers = "referrers"
	opToken     = "token"
	opPush      = "push" // errors only: its requests count as blob and manifest
)

// Error is every failure of this package that is not a caller's mistake.
type Error struct {
	Operation  string        // tags, head, manifest, blob, token, push
	Target     string        // what it was tried on: repository, repository:tag, repository@digest, token server
	Kind       Kind          // its nature
	Status     int           // HTTP status, 0 without an answer
	RetryAfter time.Duration // how long the registry asks to wait, at most [MaxRetryAfter]; 0: it does not say
	Cure       string        // the cure, in one line; may be empty
	Err        error         // the cause
}

var verbs = map[string]string{
	opTags:     "list the tags of",
	opHead:     "resolve",
	opManifest: "fetch the manifest",
	opBlob:     "download",
	opToken:    "log in at",
	opPush:     "push to",
}

// Error is one line: what, to what, cause. It leaves out the Cure.
func (e *Error) Error() string {
	what := verbs[e.Operation]
	if what == "" {
		what = e.Operation
	}
	cause := string(e.Kind)
	if e.Err != nil {
		cause = e.Err.Error()
	}
	if e.Status != 0 {
		status := strings.TrimSpace(fmt.Sprintf("%d %s", e.Status, http.StatusText(e.Status)))
		if e.Err == nil {
			cause = status
		} else {
			cause = status + ": " + cause
		}
	}
	return oneLine(fmt.Sprintf("%s %s: %s", what, e.Target, cause))
}

func (e *Error) Unwrap() error { return e.Err }

// code is the error as a label of the metrics.
func (e *Error) code() string {
	if e.Status == 0 {
		return "error"
	}
	return strconv.Itoa(e.Status)
}

// Is lets oras-go see an absent blob as such.
func (e *Error) Is(target error) bool {
	return target == errdef.ErrNotFound && e.Kind == Absent
}

// malformed makes an error of what is not as the specifications say.
func malformed(format string, args ...any) *Error {
	return &Error{Kind: Malformed, Err: fmt.Errorf(format, args...)}
}

// KindOf is the Kind of an error of this package, empty for any other.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

// Redirects to blob stores carry signatures in their query, and oras-go and
// net/http put whole URLs into their errors.
var urlQuery = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(https?://[^\s"?]*)\?[^\s"]*`) })

// oneLine makes text from anywhere fit for a log line: without control
// characters, without the queries of URLs, and not endless.
func oneLine(text string) string {
	text = urlQuery().ReplaceAllString(text, "$1")
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }), " ")
	const limit = 600
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "…"
	}
	return text
}
