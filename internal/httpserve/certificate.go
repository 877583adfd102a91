package httpserve

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
)

// certificate is the server's own: from files, or self-made. Handshakes read
// it without a lock.
type certificate struct {
	current atomic.Pointer[tls.Certificate]
	files   *watched  // nil without files
	given   bool      // current is from them; of the goroutine that checks them
	made    *selfMade // the source without files, and the last resort with them
	log     *slog.Logger
}

// newCertificate returns a certificate that can be served with. Files that are
// no use at the start are reported and read again when they change; until then
// the self-made certificate stands in, since a certificate's fault must not
// take the tree away.
func newCertificate(opts TLSOptions, log *slog.Logger) (*certificate, error) {
	c := &certificate{log: log, made: &selfMade{dir: opts.Dir, hosts: opts.Hosts, log: log}}
	if opts.CertFile != "" {
		c.files = &watched{what: "server certificate", paths: []string{opts.CertFile, opts.KeyFile}, load: c.load, log: log}
		if c.files.check(true) == nil {
			return c, nil
		}
		log.Error("serving with a self-made certificate until the given one can be used", "certFile", opts.CertFile, "keyFile", opts.KeyFile)
	}
	pair, err := c.made.get(time.Now())
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	c.current.Store(pair)
	return c, nil
}

func (c *certificate) load(contents [][]byte) error {
	pair, err := tls.X509KeyPair(contents[0], contents[1])
	if err != nil {
		return err
	}
	if end := pair.Leaf.NotAfter; time.Now().After(end) {
		if c.given && time.Now().Before(c.notAfter()) {
			return fmt.Errorf("it has ended on %s, and the one in use has not", end.UTC().Format(time.RFC3339))
		}
		// Used all the same: it is what the operator gave, and clients that do
		// not verify go on.
		c.log.Warn("the server certificate has ended: replace it", "ended", end)
	}
	c.current.Store(&pair)
	c.given = true
	return nil
}

// check follows changes of the files, or renews the self-made certificate.
func (c *certificate) check() {
	if c.files != nil {
		_ = c.files.check(false) // it reports by itself
		return
	}
	now := time.Now()
	if current := c.current.Load(); c.made.good(current, now) {
		return
	}
	pair, err := c.made.get(now)
	if err != nil {
		c.log.Error("cannot renew the self-made certificate", "error", err)
		return
	}
	c.current.Store(pair)
}

func (c *certificate) notAfter() time.Time {
	if pair := c.current.Load(); pair != nil {
		return pair.Leaf.NotAfter
	}
	return time.Time{}
}

// clientCA is the set of certificates that may sign a client's. It is read for
// each handshake; where it could never be read it lets nobody in.
type clientCA struct {
	*watched
	pool atomic.Pointer[x509.CertPool]
}

func newClientCA(path string, log *slog.Logger) *clientCA {
	ca := &clientCA{}
	ca.pool.Store(x509.NewCertPool())
	ca.watched = &watched{what: "client CA", paths: []string{path}, log: log, load: func(contents [][]byte) error {
		pool, err := parseBundle(contents[0])
		if err == nil {
			ca.pool.Store(pool)
		}
		return err
	}}
	_ = ca.check(true) // it reports by itself
	return ca
}

// parseBundle reads a PEM bundle, all of it: a certificate that cannot be read
// refuses the file, since to drop it would lock out its clients without a word.
func parseBundle(bundle []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	begun, read := bytes.Count(bundle, []byte("-----BEGIN CERTIFICATE-----")), 0
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		read++
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of it: %w", read, err)
		}
		pool.AddCert(cert)
	}
	switch {
	case read < begun: // package pem passes over what is none
		return nil, fmt.Errorf("of %d certificates in it %d are cut off or no PEM", begun, begun-read)
	case read == 0:
		return nil, errors.New("there is no PEM certificate in it")
	}
	return pool, nil
}

// tlsConfig returns the configuration of all connections. Session tickets are
// on, with keys that crypto/tls makes and changes daily.
func tlsConfig(cert *certificate, ca *clientCA) *tls.Config {
	config := &tls.Config{
		MinVersion: tls.VersionTLS12,
		// For TLS 1.2; those of 1.3 are not configurable. Forward secrecy and
		// AEAD only, ECDSA and RSA keys.
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert.current.Load(), nil },
	}
	if ca == nil {
		return config
	}
	config.ClientAuth = tls.RequireAnyClientCert
	// Verified here and not by ClientCAs, because this runs for resumed
	// sessions too, with the CA of now: a ticket outlives no change of it.
	config.VerifyConnection = func(state tls.ConnectionState) error {
		intermediates := x509.NewCertPool()
		for _, c := range state.PeerCertificates[1:] {
			intermediates.AddCert(c)
		}
		_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{
			Roots:         ca.pool.Load(),
			Intermediates: intermediates,
			KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		})
		return err
	}
	// The names of the CA go to the client, so that it knows which of its
	// certificates is meant.
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		hinted := config.Clone()
		hinted.ClientCAs = ca.pool.Load()
		return hinted, nil
	}
	return config
}
