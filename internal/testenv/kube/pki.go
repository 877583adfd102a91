package kube

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A pki is the cluster's one authority, and the pairs that it signed.
type pki struct {
	t    testing.TB
	dir  string
	ca   *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newPKI(t testing.TB, dir string) *pki {
	t.Helper()
	p := &pki{t: t, dir: dir, pool: x509.NewCertPool()}
	template := p.template(pkix.Name{CommonName: "test cluster"})
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	p.key = p.newKey()
	p.ca = p.write("ca", template, template, p.key)
	p.pool.AddCert(p.ca)
	return p
}

// issue writes NAME.crt and NAME.key, good for servers and clients. Kubernetes takes
// the common name for the user and organizations for groups.
func (p *pki) issue(name string, subject pkix.Name, addresses ...net.IP) tls.Certificate {
	p.t.Helper()
	template := p.template(subject)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	template.IPAddresses = addresses
	template.DNSNames = []string{"localhost", "kubernetes.default.svc"}
	p.write(name, template, p.ca, p.newKey())
	pair, err := tls.LoadX509KeyPair(p.file(name+".crt"), p.file(name+".key"))
	require.NoError(p.t, err)
	return pair
}

func (p *pki) file(name string) string { return filepath.Join(p.dir, name) }

func (p *pki) template(subject pkix.Name) *x509.Certificate {
	p.t.Helper()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	require.NoError(p.t, err)
	return &x509.Certificate{
		SerialNumber: serial, Subject: subject,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
}

func (p *pki) newKey() *ecdsa.PrivateKey {
	p.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(p.t, err)
	return key
}

// write signs template and writes the pair.
func (p *pki) write(name string, template, parent *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	p.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, p.key)
	require.NoError(p.t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(p.t, err)
	for _, block := range []struct{ file, kind, content string }{
		{name + ".crt", "CERTIFICATE", string(der)},
		{name + ".key", "PRIVATE KEY", string(private)},
	} {
		encoded := pem.EncodeToMemory(&pem.Block{Type: block.kind, Bytes: []byte(block.content)})
		require.NoError(p.t, os.WriteFile(p.file(block.file), encoded, 0o600))
	}
	cert, err := x509.ParseCertificate(der)
	require.NoError(p.t, err)
	return cert
}
