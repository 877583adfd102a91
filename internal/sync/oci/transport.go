package oci

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	dialTimeout = 30 * time.Second
	// idleTimeout keeps the connection over the polls of ordinary intervals.
	idleTimeout  = 6 * time.Minute
	maxRedirects = 5
)

// newTransport makes connections that are kept between polls, with HTTP/2 where
// the registry has it, through HTTPS_PROXY and NO_PROXY of the environment.
// headerWait bounds the wait for an answer after the request was sent.
func newTransport(cfg Config, tlsConfig *tls.Config, headerWait time.Duration) *http.Transport {
	dial, proxy := (&net.Dialer{Timeout: dialTimeout}).DialContext, http.ProxyFromEnvironment
	if cfg.DialContext != nil {
		dial, proxy = cfg.DialContext, nil
	}
	return &http.Transport{
		Proxy:                 proxy,
		DialContext:           dial,
		TLSClientConfig:       tlsConfig,
		TLSHandshakeTimeout:   dialTimeout,
		ResponseHeaderTimeout: headerWait,
		IdleConnTimeout:       idleTimeout,
		MaxIdleConnsPerHost:   2,
		ForceAttemptHTTP2:     true, // a TLSClientConfig switches it off otherwise
		// Without pings a connection that a firewall forgot hangs until the answer times out.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
		// The bytes of a blob are counted and hashed as they are stored.
		DisableCompression: true,
		OnProxyConnectResponse: func(_ context.Context, proxy *url.URL, _ *http.Request, resp *http.Response) error {
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			return &proxyError{host: proxy.Host, status: resp.StatusCode}
		},
	}
}

// HostPort is a URL's host with its port, 443 or 80 by the scheme if it names none.
func HostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[strings.ToLower(u.Scheme)]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// proxyError is a proxy's refusal to connect.
type proxyError struct {
	host   string
	status int
}

func (e *proxyError) Error() string {
	return fmt.Sprintf("proxy %s refused to connect: %d %s", e.host, e.status, http.StatusText(e.status))
}

var errTooManyRedirects = fmt.Errorf("more than %d redirects", maxRedirects)
var errRedirectToHTTP = errors.New("it redirects from https to http")

// checkRedirect follows a registry to where it keeps its blobs. oras-go takes
// the credentials off where that is another origin.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return errTooManyRedirects
	}
	// A blob is checked by digest, whatever brings it. A tag's manifest is not.
	if via[0].URL.Scheme == "https" && req.URL.Scheme == "http" && !strings.Contains(via[0].URL.Path, "/blobs/") {
		return errRedirectToHTTP
	}
	return nil
}

// observer counts every request, redirects and logins included, and keeps what
// the last answer said for the error that may come of it.
type observer struct {
	next    http.RoundTripper
	host    string
	prefix  string // "/v2/<repository>/"
	source  string
	metrics *Metrics
}

func (o *observer) RoundTrip(req *http.Request) (*http.Response, error) {
	operation := o.operation(req)
	resp, err := o.next.RoundTrip(req)
	if err != nil {
		o.metrics.request(o.source, operation, "error")
		return nil, err
	}
	o.metrics.request(o.source, operation, strconv.Itoa(resp.StatusCode))
	if ex := exchangeOf(req.Context()); ex != nil {
		ex.saw(operation, resp)
	}
	return resp, nil
}

// operation tells by the first request of a chain of redirects what it is for.
// What does not ask for the repository asks for a token.
func (o *observer) operation(req *http.Request) string {
	for req.Response != nil && req.Response.Request != nil {
		req = req.Response.Request
	}
	rest, ok := strings.CutPrefix(req.URL.Path, o.prefix)
	if !ok || req.URL.Host != o.host {
		return opToken
	}
	switch {
	case strings.HasPrefix(rest, "tags/"):
		return opTags
	case strings.HasPrefix(rest, "manifests/") && req.Method == http.MethodHead:
		return opHead
	case strings.HasPrefix(rest, "manifests/"):
		return opManifest
	case strings.HasPrefix(rest, "referrers/"):
		return opReferrers
	default:
		return opBlob
	}
}
