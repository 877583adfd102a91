package oci

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// refused makes an error of an answer with a status from 400 up. Operation and
// Target are the caller's to fill in.
func refused(resp *http.Response, ex *exchange) *Error {
	e := &Error{Status: resp.StatusCode, Kind: kindOfStatus(resp.StatusCode), RetryAfter: ex.last.retryAfter}
	text := message(resp)
	if resp.Request.Response != nil {
		text = strings.TrimSuffix(fmt.Sprintf("from %s, where the registry redirects to: %s", resp.Request.URL.Host, text), ": ")
	}
	if text != "" {
		e.Err = errors.New(oneLine(text))
	}
	e.Cure = hintForStatus(e)
	return e
}

func kindOfStatus(status int) Kind {
	switch {
	case status == http.StatusNotFound:
		return Absent
	case status == http.StatusUnauthorized:
		return Unauthorized
	case status == http.StatusForbidden:
		return Forbidden
	case status == http.StatusTooManyRequests:
		return RateLimited
	case status >= 500:
		return Unavailable
	default:
		return Refused
	}
}

// failed makes an error of a request that brought no answer from the registry:
// the connection failed, or logging in did.
func failed(err error, ex *exchange) *Error {
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	var answer *errcode.ErrorResponse
	if errors.As(err, &answer) { // oras-go's, of a token server
		e := &Error{
			Operation: opToken, Target: answer.URL.Host,
			Status: answer.StatusCode, Kind: kindOfStatus(answer.StatusCode), RetryAfter: ex.last.retryAfter,
		}
		if e.Kind == Absent {
			e.Kind = Refused // what is not there is the token server, not what it guards
		}
		if text := errorsText(answer.Errors); text != "" {
			e.Err = errors.New(oneLine(text))
		}
		e.Cure = hintForStatus(e)
		return e
	}
	if errors.Is(err, auth.ErrBasicCredentialNotFound) || ex.last.status == http.StatusUnauthorized && strings.Contains(err.Error(), "missing username or password") {
		return &Error{
			Status: http.StatusUnauthorized, Kind: Unauthorized,
			Err:  errors.New("the registry wants a user name and password, and none are configured for it"),
			Cure: hintLogin,
		}
	}

	e := connectionError(err)
	var urlError *url.Error
	if ex.last.operation == opToken || errors.As(err, &urlError) && ex.last.status == http.StatusUnauthorized {
		e.Operation, e.Target = opToken, ex.last.host
		if u, parseErr := url.Parse(urlOf(urlError)); parseErr == nil && u.Host != "" {
			e.Target = u.Host
		}
	}
	if e.Kind == Malformed {
		switch text := err.Error(); {
		case strings.Contains(text, "realm"):
			e.Operation, e.Target = opToken, ex.last.host
			e.Cure = "the registry names a token server that cannot be trusted: set the registry's own external URL right (Harbor: external_url in harbor.yml, with https)"
		case ex.last.status == http.StatusOK && isHTML(ex.last.contentType):
			e.Kind, e.Cure = NotRegistry, hintHTML
		}
	}
	return e
}

func urlOf(err *url.Error) string {
	if err == nil {
		return ""
	}
	return err.URL
}

// connectionError sorts what net, crypto/tls and net/http report. What none of
// them knows is something that the other side said and nobody understands.
func connectionError(err error) *Error {
	var urlError *url.Error
	if errors.As(err, &urlError) {
		err = urlError.Err // without the URL, whose query can hold a signature
	}
	e := &Error{Kind: Network, Err: err}

	var (
		dns     *net.DNSError
		proxy   *proxyError
		netErr  net.Error
		opError *net.OpError
		record  tls.RecordHeaderError
		alert   tls.AlertError
		verify  *tls.CertificateVerificationError
		invalid x509.CertificateInvalidError
	)
	text := err.Error()
	switch {
	case errors.Is(err, context.Canceled):
		e.Kind, e.Err = Canceled, context.Canceled
	case errors.Is(err, errStalled):
		e.Kind, e.Cure = Stalled, hintStalled
	case errors.Is(err, context.DeadlineExceeded):
		e.Err = fmt.Errorf("no answer in the time allowed: %w", context.DeadlineExceeded)
		e.Cure = "the registry hangs, or a firewall drops the packets (source.stallTimeout bounds the wait for an answer, source.timeout the sync beside its downloads)"
	case errors.Is(err, errTooManyRedirects), errors.Is(err, errRedirectToHTTP):
		e.Kind = Malformed
	case errors.As(err, &proxy):
		e.Cure = "HTTPS_PROXY names this proxy: give it a user and password there (http://user:password@host:port), or list the registry in NO_PROXY"
	case errors.As(err, &verify):
		e.Kind, e.Err = TLS, verify.Err
		e.Cure = hintCertificate(verify)
	case errors.As(err, &invalid):
		e.Kind = TLS
	case errors.As(err, &record), strings.Contains(text, "server gave HTTP response to HTTPS client"):
		e.Kind = TLS
		e.Cure = "the registry speaks plain HTTP on this port: set source.plainHTTP to true, or give the port that has TLS"
	case errors.As(err, &alert), strings.Contains(text, "remote error: tls:"):
		e.Kind = TLS
		e.Cure = hintClientCertificate
	case strings.Contains(text, "tls: "):
		e.Kind = TLS
	case errors.As(err, &dns):
		e.Cure = fmt.Sprintf("%s is not known to the cluster's DNS: check source.repository and the DNS server", dns.Name)
	case errors.Is(err, syscall.ECONNREFUSED):
		e.Cure = "nothing listens there: check host and port in source.repository, and that the registry runs"
	case strings.Contains(text, "malformed HTTP response"):
		e.Cure = "the registry may speak TLS on this port: set source.plainHTTP to false"
	case errors.As(err, &opError), errors.As(err, &netErr), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF),
		errors.Is(err, net.ErrClosed), strings.HasPrefix(text, "http2: "), strings.HasPrefix(text, "net/http: "), strings.HasPrefix(text, "http: "),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
	default:
		e.Kind = Malformed
	}
	return e
}

// explain fills in what an error is about, and makes one of what is none yet:
// what oras-go says about an answer that it cannot use.
func explain(err error, operation, target string) error {
	var e *Error
	if !errors.As(err, &e) {
		e = connectionError(err)
	}
	filled := *e
	if filled.Operation == "" { // else it is of the token server
		filled.Operation, filled.Target = operation, target
	}
	if filled.Kind == Absent && filled.Cure == "" {
		filled.Cure = hintAbsent[operation]
	}
	if filled.Cure == "" {
		filled.Cure = hintOfKind[filled.Kind]
	}
	return &filled
}

func isHTML(contentType string) bool {
	mediaType, _, _ := mime.ParseMediaType(contentType)
	return mediaType == "text/html"
}
