package testenv

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

// A CA is a certificate authority that lives as long as a test.
type CA struct {
	File string         // its certificate, PEM
	Pool *x509.CertPool // for clients and servers in the test's own process

	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// A Pair is a certificate and its private key in PEM files.
type Pair struct {
	CertFile, KeyFile string
}

// NewCA makes a certificate authority.
func NewCA(t testing.TB) *CA {
	t.Helper()
	template := newTemplate(t, "Specman test CA")
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageCertSign
	key := newKey(t)
	cert := sign(t, template, template, key, key)
	ca := &CA{
		File: filepath.Join(t.TempDir(), "ca.pem"),
		Pool: x509.NewCertPool(),
		cert: cert,
		key:  key,
	}
	ca.Pool.AddCert(cert)
	writePEM(t, ca.File, "CERTIFICATE", cert.Raw)
	return ca
}

// Server issues a certificate for a server with these host names and addresses;
// 127.0.0.1 and localhost if none are given. With change, which may be nil, a test
// edits the certificate before it is signed, its dates for instance.
func (ca *CA) Server(t testing.TB, change func(*x509.Certificate), hosts ...string) Pair {
	t.Helper()
	return issue(t, serverTemplate(t, hosts), change, ca)
}

// Client issues a certificate for a client of this name.
func (ca *CA) Client(t testing.TB, name string) Pair {
	t.Helper()
	template := newTemplate(t, name)
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return issue(t, template, nil, ca)
}

// SelfSigned makes a server's certificate that vouches for itself and is no CA, as
// openssl and most appliances make them. Hosts and change are those of [CA.Server].
func SelfSigned(t testing.TB, change func(*x509.Certificate), hosts ...string) Pair {
	t.Helper()
	return issue(t, serverTemplate(t, hosts), change, nil)
}

// Load reads the pair for a server or client in the test's own process.
func (p Pair) Load(t testing.TB) tls.Certificate {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(p.CertFile, p.KeyFile)
	require.NoError(t, err)
	return cert
}

// issue signs template with ca, or with its own key if ca is nil.
func issue(t testing.TB, template *x509.Certificate, change func(*x509.Certificate), ca *CA) Pair {
	t.Helper()
	if change != nil {
		change(template)
	}
	key := newKey(t)
	parent, signer := template, key
	if ca != nil {
		parent, signer = ca.cert, ca.key
	}
	cert := sign(t, template, parent, key, signer)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	dir := t.TempDir()
	pair := Pair{CertFile: filepath.Join(dir, "tls.crt"), KeyFile: filepath.Join(dir, "tls.key")}
	writePEM(t, pair.CertFile, "CERTIFICATE", cert.Raw)
	writePEM(t, pair.KeyFile, "PRIVATE KEY", der)
	return pair
}

func serverTemplate(t testing.TB, hosts []string) *x509.Certificate {
	t.Helper()
	if len(hosts) == 0 {
		hosts = []string{"127.0.0.1", "localhost"}
	}
	template := newTemplate(t, hosts[0])
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	return template
}

func newTemplate(t testing.TB, name string) *x509.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	require.NoError(t, err)
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

func sign(t testing.TB, template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return cert
}

func writePEM(t testing.TB, path, kind string, der []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}
