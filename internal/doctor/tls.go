package doctor

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/specman/specman/internal/sync/oci"
)

// endsSoon is when a certificate is worth a warning.
const endsSoon = 14 * 24 * time.Hour

// looseTLS connects to whoever answers. It shows the client's certificate, if one is
// configured and can be read, since some servers answer nobody else.
func (d *sourceDoctor) looseTLS() *tls.Config {
	c := &tls.Config{InsecureSkipVerify: true}
	if t := d.Connection.TLS; t.CertFile != "" {
		if pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile); err == nil {
			c.Certificates = []tls.Certificate{pair}
		}
	}
	return c
}

// handshake looks at the certificate first and judges it then, so that all about it
// can be told.
func (d *sourceDoctor) handshake(ctx context.Context, e *url.URL) finding {
	config := d.looseTLS()
	config.ServerName = e.Hostname()
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", oci.HostPort(e))
	if err != nil {
		return handshakeFailed(err)
	}
	defer conn.Close()
	state := conn.(*tls.Conn).ConnectionState()
	roots, err := d.roots()
	if err != nil {
		return fail("give source.tls.caFile a PEM file that can be read", "%v", err)
	}
	problem := judge(state.PeerCertificates, e.Hostname(), roots, time.Now())
	leaf := state.PeerCertificates[0]
	about := fmt.Sprintf("certificate for %s, issued by %q, until %s", names(leaf), leaf.Issuer, leaf.NotAfter.UTC().Format(time.DateOnly))
	switch {
	case d.Connection.TLS.InsecureSkipVerify && problem.status == Fail:
		return warn("to verify it: "+problem.cure, "not verified (source.tls.insecureSkipVerify), and it would fail: %s; %s", problem.detail, about)
	case d.Connection.TLS.InsecureSkipVerify:
		return warn("set source.tls.insecureSkipVerify to false: it would verify", "not verified; %s", about)
	case problem.status != OK:
		return finding{problem.status, problem.detail + "; " + about, problem.cure}
	}
	return ok("%s, %s", tls.VersionName(state.Version), about)
}

func handshakeFailed(err error) finding {
	var alert tls.AlertError
	switch {
	case errors.As(err, new(tls.RecordHeaderError)), strings.Contains(err.Error(), "first record does not look like a TLS handshake"):
		return fail("the port has no TLS: set source.plainHTTP to true, or give the port that has it", "%v", err)
	case errors.As(err, &alert):
		return fail("if the registry wants a client's certificate, set source.tls.certFile and source.tls.keyFile", "%v", err)
	}
	return fail("something between here and the registry may break TLS: a proxy, a firewall", "%v", err)
}

// roots are the system's and those of source.tls.caFile.
func (d *sourceDoctor) roots() (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil { // an image without any
		pool = x509.NewCertPool()
	}
	file := d.Connection.TLS.CAFile
	if file == "" {
		return pool, nil
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("source.tls.caFile: %w", err)
	}
	if single, err := x509.ParseCertificate(content); err == nil {
		pool.AddCert(single)
		return pool, nil
	}
	if !pool.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("source.tls.caFile: %s holds no certificate", file)
	}
	return pool, nil
}

// judge says what is wrong with a chain, the server's own certificate first.
func judge(chain []*x509.Certificate, host string, roots *x509.CertPool, now time.Time) finding {
	leaf := chain[0]
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	if err := leaf.VerifyHostname(host); err != nil {
		return fail(fmt.Sprintf("use one of its names in source.repository, or renew the certificate with %s", host), "it is not for %s", host)
	}
	switch {
	case now.Before(leaf.NotBefore):
		return fail("check this machine's clock", "it begins only at %s", leaf.NotBefore.UTC().Format(time.RFC3339))
	case now.After(leaf.NotAfter):
		return fail("renew it, or check this machine's clock", "it ended at %s", leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now})
	switch {
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return fail(neededCA(chain), "nobody trusted has signed it")
	case err != nil:
		return fail("renew the certificate", "%v", err)
	case leaf.NotAfter.Sub(now) < endsSoon:
		return warn("renew it in time", "it ends in %d days", int(leaf.NotAfter.Sub(now).Hours()/24))
	}
	return ok("")
}

// neededCA says which certificate would help, as exactly as the chain lets one know.
func neededCA(chain []*x509.Certificate) string {
	last := chain[len(chain)-1]
	switch {
	case last.Issuer.String() == last.Subject.String() && len(chain) == 1:
		return fmt.Sprintf("it has signed itself: set source.tls.caFile to a file with this certificate (sha256 %s)", fingerprint(last))
	case last.Issuer.String() == last.Subject.String():
		return fmt.Sprintf("set source.tls.caFile to a file with the CA %q (sha256 %s), which the registry sends along", last.Subject, fingerprint(last))
	}
	return fmt.Sprintf("set source.tls.caFile to a file with the certificate of the CA %q", last.Issuer)
}

// fingerprint is as `openssl x509 -fingerprint -sha256` prints it.
func fingerprint(c *x509.Certificate) string {
	return strings.ReplaceAll(fmt.Sprintf("% X", sha256.Sum256(c.Raw)), " ", ":")
}

func names(c *x509.Certificate) string {
	all := append([]string{}, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) == 0 {
		return "no name at all"
	}
	return strings.Join(all, ", ")
}
