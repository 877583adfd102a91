package oci

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// client sends requests to the registry: it logs in by oras-go, once more where
// a token has ended, and makes an *[Error] of every status from 400 up. It is
// the client that oras-go's own calls go through too.
type client struct {
	auth  *auth.Client
	login login
	limit time.Duration // see movingBody

	mu       sync.Mutex
	denied   bool // fresh credentials did not help, and nothing has succeeded since
	answered bool // there has been an answer
	// certificateWanted says that the registry asked for a client certificate,
	// and there is none.
	certificateWanted func() bool
}

func newClient(transport http.RoundTripper, l login, userAgent string, stall time.Duration, certificateWanted func() bool) *client {
	return &client{
		auth: &auth.Client{
			Client:     &http.Client{Transport: transport, CheckRedirect: checkRedirect},
			Header:     http.Header{"User-Agent": {userAgent}},
			Credential: l.credential,
			Cache:      newTokenCache(l.validUntil),
			ClientID:   "specman",
		},
		login:             l,
		limit:             stall,
		certificateWanted: certificateWanted,
	}
}

// exchange is what one call of Do saw beneath oras-go's client, which keeps
// headers and bodies of failures to itself.
type exchange struct {
	mu       sync.Mutex
	loggedIn bool // credentials were fetched for this very request
	last     struct {
		operation, host, contentType string
		status                       int
		retryAfter                   time.Duration
	}
}

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange {
	ex, _ := ctx.Value(exchangeKey{}).(*exchange)
	return ex
}

func (ex *exchange) saw(operation string, resp *http.Response) {
	ex.mu.Lock()
	defer ex.mu.Unlock()
	ex.last.operation = operation
	ex.last.host = resp.Request.URL.Host
	ex.last.contentType = resp.Header.Get("Content-Type")
	ex.last.status = resp.StatusCode
	ex.last.retryAfter = retryAfter(resp.Header, time.Now())
}

// Do implements oras-go's remote.Client.
func (c *client) Do(req *http.Request) (*http.Response, error) {
	resp, ex, err := c.send(req)
	if err == nil && c.mayHaveEnded(req, resp, ex) {
		discard(resp)
		c.auth.Cache.(*tokenCache).drop()
		if c.login.forget != nil {
			c.login.forget()
		}
		resp, ex, err = c.send(req)
		if err == nil && resp.StatusCode >= 400 {
			c.mu.Lock()
			c.denied = true
			c.mu.Unlock()
		}
	}
	if err != nil {
		return nil, c.unanswered(failed(err, ex))
	}
	c.mu.Lock()
	c.answered = true
	if resp.StatusCode < 400 {
		c.denied = false
	}
	c.mu.Unlock()
	if resp.StatusCode == http.StatusUnauthorized {
		// Else oras-go presents what it keeps, and then the same again: twice the
		// failed logins that lock an account.
		c.auth.Cache.(*tokenCache).drop()
	}
	if resp.StatusCode >= 400 {
		defer discard(resp)
		return nil, refused(resp, ex)
	}
	if ex.last.operation == opTags && isHTML(ex.last.contentType) {
		discard(resp)
		return nil, &Error{Kind: NotRegistry, Cure: hintHTML, Err: errors.New("the answer is a web page and no list")}
	}
	return resp, nil
}

func (c *client) send(req *http.Request) (*http.Response, *exchange, error) {
	ex := &exchange{}
	ctx, stop := context.WithCancelCause(context.WithValue(req.Context(), exchangeKey{}, ex))
	attempt := req.Clone(ctx)
	if req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			stop(err)
			return nil, ex, err
		}
		attempt.Body = body
	}
	resp, err := c.auth.Do(attempt)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		stop(err)
		return nil, ex, err
	}
	resp.Body = &movingBody{ReadCloser: resp.Body, ctx: ctx, stop: stop, limit: c.limit}
	return resp, ex, nil
}

// mayHaveEnded says whether an answer may be due to a token that has ended,
// although it is no 401: ECR answers 403, public ECR 400. Credentials that were
// fetched for this request cannot be meant, and where fresh ones did not help
// they are not tried again before something has succeeded.
func (c *client) mayHaveEnded(req *http.Request, resp *http.Response, ex *exchange) bool {
	if resp.StatusCode != http.StatusForbidden && resp.StatusCode != http.StatusBadRequest {
		return false
	}
	if req.Body != nil && req.Body != http.NoBody && req.GetBody == nil {
		return false // the body is used up
	}
	ex.mu.Lock()
	defer ex.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.denied && !ex.loggedIn && c.auth.Cache.(*tokenCache).renewable(c.login)
}

// unanswered knows a missing client certificate where the connection just
// breaks: with TLS 1.3 the registry's refusal comes after the handshake, and
// net/http may meet the broken connection before it meets the alert.
func (c *client) unanswered(e *Error) *Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	timeout := errors.Is(e.Err, context.DeadlineExceeded)
	if e.Kind == Network && !timeout && !c.answered && c.certificateWanted() {
		e.Kind, e.Cure = TLS, hintClientCertificate
	}
	return e
}

// discard ends an answer that nobody wants.
func discard(resp *http.Response) { _ = resp.Body.Close() }

// maxErrorBytes is how much of an error's body is read.
const maxErrorBytes = 8 << 10

// message is what the registry says about a failure: the errors of the
// distribution specification, or the beginning of plain text.
func message(resp *http.Response) string {
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBytes))
	var body struct {
		Errors errcode.Errors `json:"errors"`
	}
	if err := json.Unmarshal(raw, &body); err == nil {
		return errorsText(body.Errors)
	}
	if kind := resp.Header.Get("Content-Type"); kind == "" || strings.HasPrefix(kind, "text/plain") {
		text := strings.TrimSpace(string(raw))
		return text[:min(len(text), 200)]
	}
	return ""
}

// errorsText leaves out the details, which are nested and long.
func errorsText(list errcode.Errors) string {
	var texts []string
	for _, e := range list {
		e.Detail = nil
		texts = append(texts, e.Error())
	}
	return strings.Join(texts, "; ")
}
