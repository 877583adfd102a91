package oci

import (
	"crypto/tls"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"oras.land/oras-go/v2/registry"
)

// session is a connection made from one state of the files that the
// configuration names: transport, login and its tokens.
type session struct {
	print     string // the fingerprint of that state
	transport *http.Transport
	client    *client
}

func newSession(cfg Config, ref registry.Reference, print string, headerWait time.Duration) (*session, error) {
	tlsConfig, err := cfg.TLS.load()
	if err != nil {
		return nil, err
	}
	certificateWanted := &atomic.Bool{}
	if len(tlsConfig.Certificates) == 0 {
		tlsConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			certificateWanted.Store(true)
			return &tls.Certificate{}, nil
		}
	}
	l, err := newLogin(cfg, ref)
	if err != nil {
		return nil, err
	}
	transport := newTransport(cfg, tlsConfig, headerWait)
	client := newClient(&observer{
		next:    transport,
		host:    ref.Host(),
		prefix:  "/v2/" + ref.Repository + "/",
		source:  cfg.Source,
		metrics: cfg.Metrics,
	}, l, cfg.UserAgent, cfg.StallTimeout, certificateWanted.Load)
	return &session{
		print:     print,
		transport: transport,
		client:    client,
	}, nil
}

// sessions makes a session when it is first needed, and a new one when a file
// has changed. A change for the worse is logged once, and the old one stays.
type sessions struct {
	cfg        Config
	ref        registry.Reference
	headerWait time.Duration
	prints     *fingerprinter

	mu       sync.Mutex
	current  *session
	badPrint string // the state of the files that made no session
	badError error
}

func (s *sessions) get() (*session, error) {
	print := s.prints.recent()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil && s.current.print == print {
		return s.current, nil
	}
	if s.badPrint != print {
		fresh, err := newSession(s.cfg, s.ref, print, s.headerWait)
		if err == nil {
			if s.current != nil {
				s.current.transport.CloseIdleConnections()
				s.cfg.Logger.Info("using changed credentials or certificates", "source", s.cfg.Source)
			}
			s.current, s.badPrint, s.badError = fresh, "", nil
			return fresh, nil
		}
		s.badPrint, s.badError = print, err
		if s.current != nil {
			s.cfg.Logger.Warn("changed credentials or certificates cannot be used, the old ones stay in use", "source", s.cfg.Source, "error", oneLine(err.Error()))
		}
	}
	if s.current != nil {
		return s.current, nil
	}
	return nil, misconfigured(s.badError)
}

// misconfigured makes an error of a setting that cannot be used.
func misconfigured(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Kind: Misconfigured, Err: err}
}
