package poller

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/sync/oci"
	"github.com/specman/specman/internal/sync/oci/ocitest"
)

// A TLS failure has a row of its own because crypto/tls needs a real socket, on
// which fake time stands still.
func TestTLSFailure(t *testing.T) {
	fake := ocitest.New("spectro/manifest")
	server := httptest.NewTLSServer(fake)
	defer server.Close()
	fake.Push("1.0.0", "manifests.tgz", tgz(t, files{"a": "one"}), day(1))

	ca := filepath.Join(t.TempDir(), "ca.crt")
	cfg := oci.Config{Repository: strings.TrimPrefix(server.URL, "https://") + "/spectro/manifest"}
	cfg.TLS.CAFile = ca
	trusting := func(text []byte) { require.NoError(t, os.WriteFile(ca, text, 0o644)) }
	own := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	trusting(own)
	repository, err := oci.Open(cfg)
	require.NoError(t, err)
	r := newRig(t, func(c *Config) { c.Source = repository })
	require.Equal(t, Success, r.sync().Result)
	before := len(fake.Requests())

	trusting(otherCA(t))
	o := r.sync()
	assert.Equal(t, Failed, o.Result)
	require.Len(t, o.Failures, 1)
	f := o.Failures[0]
	assert.Equal(t, StageList, f.Stage)
	assert.Equal(t, oci.TLS, f.kind())
	assert.Contains(t, f.Reason, "certificate")
	assert.Contains(t, f.Cure, "source.tls.caFile")
	assert.Len(t, fake.Requests(), before, "nothing was asked over a connection that is not trusted")
	r.serves(files{"a": "one"})
	assert.Equal(t, Unknown, r.state("1.0.0"))

	var p pace
	assert.InDelta(t, time.Minute, p.next(r.poller, o), 0.21*float64(time.Minute))
	trusting(own)
	assert.Equal(t, Noop, r.sync().Result, "it goes back to work by itself")
}

// otherCA is the certificate of somebody who has nothing to do with the server.
func otherCA(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "another CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
