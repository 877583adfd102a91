package doctor

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/sync/oci"
	"github.com/specman/specman/internal/testenv"
)

func TestCertificates(t *testing.T) {
	ca := testenv.NewCA(t)
	dates := func(from, to time.Duration) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = time.Now().Add(from), time.Now().Add(to) }
	}
	const day = 24 * time.Hour
	selfSigned := testenv.SelfSigned(t, dates(-day, 90*day))
	for _, row := range []struct {
		name   string
		pair   testenv.Pair
		ca     string
		status Status
		detail string
		cure   string
	}{
		{"good", ca.Server(t, dates(-day, 90*day)), ca.File, OK, "TLS 1.3, certificate for localhost, 127.0.0.1, issued by \"CN=Specman test CA\", until 2", ""},
		{"it ends soon", ca.Server(t, dates(-day, 3*day+time.Hour)), ca.File, Warn, "it ends in 3 days; ", "renew it in time"},
		{"it has ended", ca.Server(t, dates(-3*day, -day)), ca.File, Fail, "it ended at 2", "renew it, or check this machine's clock"},
		{"it has not begun", ca.Server(t, dates(day, 3*day)), ca.File, Fail, "it begins only at 2", "check this machine's clock"},
		{"of another name", ca.Server(t, nil, "harbor.example.com"), ca.File, Fail, "it is not for 127.0.0.1; certificate for harbor.example.com, ", "use one of its names in source.repository"},
		{"self-signed", selfSigned, "", Fail, "nobody trusted has signed it", "it has signed itself: set source.tls.caFile to a file with this certificate (sha256 "},
		{"self-signed, and given as the CA", selfSigned, selfSigned.CertFile, OK, "TLS 1.3, certificate for ", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			server := serveTLS(t, row.pair)
			s := source(oci.Config{Repository: strings.TrimPrefix(server.URL, "https://") + "/a/b"})
			s.Connection.TLS.CAFile = row.ca
			d := &sourceDoctor{Source: s}
			require.Equal(t, OK, d.open(t.Context()).status)
			f := d.handshake(t.Context(), d.endpoint())
			assert.Equal(t, row.status, f.status, f.detail)
			assert.Contains(t, f.detail, row.detail)
			assert.Contains(t, f.cure, row.cure)
		})
	}
}

// Where the registry sends its CA along, that is the one that is named.
func TestTheNeededCA(t *testing.T) {
	leaf := &x509.Certificate{}
	leaf.Issuer.CommonName, leaf.Subject.CommonName = "Between", "host"
	between := &x509.Certificate{}
	between.Issuer.CommonName, between.Subject.CommonName = "Root", "Between"
	root := &x509.Certificate{Raw: []byte("root")}
	root.Issuer.CommonName, root.Subject.CommonName = "Root", "Root"
	assert.Contains(t, neededCA([]*x509.Certificate{leaf}), `the certificate of the CA "CN=Between"`)
	assert.Contains(t, neededCA([]*x509.Certificate{leaf, between}), `the certificate of the CA "CN=Root"`)
	assert.Contains(t, neededCA([]*x509.Certificate{leaf, between, root}), `the CA "CN=Root" (sha256 48:13:49:4D:`)
}
