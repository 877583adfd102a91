package httpserve

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"path/filepath"
	"slices"
	"time"

	"github.com/specman/specman/internal/atomicfile"
)

// The self-made certificate lasts long, because each renewal asks everyone who
// has imported it to do so again.
const (
	selfMadeLife  = 10 * 365 * 24 * time.Hour
	selfMadeRenew = 90 * 24 * time.Hour // before its end
)

// selfMade makes the server's own certificate and keeps it in a folder, so
// that it stays the same over restarts: an ECDSA P-256 key, which costs a
// handshake the least, and a certificate that signs itself. It is its own CA:
// a client that is given tls.crt as a CA file trusts the server.
type selfMade struct {
	dir   string
	hosts []string
	log   *slog.Logger
}

// get returns the kept certificate, or a new one where there is none, it does
// not fit or its end is near. A folder that cannot be written is reported, and
// the certificate lasts until the process ends.
func (m *selfMade) get(now time.Time) (*tls.Certificate, error) {
	kept, err := tls.LoadX509KeyPair(m.path("tls.crt"), m.path("tls.key"))
	if err == nil && m.good(&kept, now) {
		return &kept, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.log.Warn("the kept self-made certificate cannot be used, and is made anew", "error", err)
	}
	certPEM, keyPEM, err := m.create(now)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, err
	}
	m.log.Info("made a self-signed certificate", "hosts", m.hosts, "notAfter", pair.Leaf.NotAfter, "file", m.path("tls.crt"))
	// A crash in between leaves a pair that does not fit, which is made anew.
	err = errors.Join(atomicfile.Write(m.path("tls.key"), bytes.NewReader(keyPEM), 0o600), atomicfile.Write(m.path("tls.crt"), bytes.NewReader(certPEM), 0o644))
	if err != nil {
		m.log.Warn("cannot keep the self-made certificate: the next start makes another", "error", err)
	}
	return &pair, nil
}

func (m *selfMade) path(name string) string { return filepath.Join(m.dir, name) }

// good says whether a certificate is valid for a good while yet, and for
// exactly the hosts that are asked for.
func (m *selfMade) good(pair *tls.Certificate, now time.Time) bool {
	leaf := pair.Leaf
	names, addresses := m.subjects()
	return now.After(leaf.NotBefore) && now.Add(selfMadeRenew).Before(leaf.NotAfter) &&
		slices.Equal(leaf.DNSNames, names) && slices.EqualFunc(leaf.IPAddresses, addresses, net.IP.Equal)
}

// subjects sorts the hosts into names and addresses.
func (m *selfMade) subjects() (names []string, addresses []net.IP) {
	for _, host := range m.hosts {
		if ip := net.ParseIP(host); ip != nil {
			addresses = append(addresses, ip)
		} else {
			names = append(names, host)
		}
	}
	return names, addresses
}

func (m *selfMade) create(now time.Time) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, err
	}
	name := "specman"
	if len(m.hosts) > 0 {
		name = m.hosts[0]
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{Organization: []string{"Specman, self-signed"}, CommonName: name[:min(len(name), 64)]}, // 64: RFC 5280, ub-common-name
		NotBefore:    now.Add(-time.Hour),                                                                              // clients' clocks differ
		NotAfter:     now.Add(selfMadeLife),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA:         true, MaxPathLenZero: true, BasicConstraintsValid: true,
	}
	template.DNSNames, template.IPAddresses = m.subjects()
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, nil, fmt.Errorf("for hosts %q: %w", m.hosts, err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), nil
}
