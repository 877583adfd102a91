package oci_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"log/slog"
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
	"github.com/specman/specman/internal/testenv"
)

// startTLS serves a registry with a certificate, and returns its host:port.
func startTLS(t *testing.T, registry *ocitest.Registry, pair testenv.Pair, clients *x509.CertPool) string {
	t.Helper()
	server := httptest.NewUnstartedServer(registry)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair.Load(t)}}
	if clients != nil {
		server.TLS.ClientCAs, server.TLS.ClientAuth = clients, tls.RequireAndVerifyClientCert
	}
	server.StartTLS()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return strings.TrimPrefix(server.URL, "https://")
}

func overTLS(change func(*oci.TLSConfig)) func(*oci.Config) {
	return func(c *oci.Config) {
		c.PlainHTTP = false
		if change != nil {
			change(&c.TLS)
		}
	}
}

func TestTrust(t *testing.T) {
	ca, other := testenv.NewCA(t), testenv.NewCA(t)
	good := ca.Server(t, nil)
	selfSigned := testenv.SelfSigned(t, nil)
	client := ca.Client(t, "specman")
	der := filepath.Join(t.TempDir(), "ca.der")
	content, err := os.ReadFile(ca.File)
	require.NoError(t, err)
	block, _ := pem.Decode(content)
	require.NoError(t, os.WriteFile(der, block.Bytes, 0o600))
	garbage := write(t, filepath.Join(t.TempDir(), "ca.pem"), "no certificate")

	tests := []struct {
		name    string
		server  testenv.Pair
		clients *x509.CertPool
		tls     oci.TLSConfig
		kind    oci.Kind // empty: it works
		hint    string
	}{
		{"no CA", good, nil, oci.TLSConfig{}, oci.TLS, `issuer is "CN=Specman test CA"`},
		{"the CA", good, nil, oci.TLSConfig{CAFile: ca.File}, "", ""},
		{"the CA as DER", good, nil, oci.TLSConfig{CAFile: der}, "", ""},
		{"another CA", good, nil, oci.TLSConfig{CAFile: other.File}, oci.TLS, "source.tls.caFile"},
		{"self-signed, not a CA, as its own root", selfSigned, nil, oci.TLSConfig{CAFile: selfSigned.CertFile}, "", ""},
		{"skip", selfSigned, nil, oci.TLSConfig{InsecureSkipVerify: true}, "", ""},
		{"skip wins over a CA", selfSigned, nil, oci.TLSConfig{InsecureSkipVerify: true, CAFile: ca.File}, "", ""},
		{"skip wins over a CA that is none", selfSigned, nil, oci.TLSConfig{InsecureSkipVerify: true, CAFile: garbage}, "", ""},
		{"a CA that is none", good, nil, oci.TLSConfig{CAFile: garbage}, oci.Misconfigured, ""},
		{"a CA that is missing", good, nil, oci.TLSConfig{CAFile: garbage + "x"}, oci.Misconfigured, ""},
		{"another name", ca.Server(t, nil, "registry.example"), nil, oci.TLSConfig{CAFile: ca.File}, oci.TLS, "is for registry.example"},
		{"ended", ca.Server(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), nil, oci.TLSConfig{CAFile: ca.File}, oci.TLS, "renew it"},
		{"a client certificate is wanted", good, ca.Pool, oci.TLSConfig{CAFile: ca.File}, oci.TLS, "source.tls.certFile"},
		{"a client certificate is given", good, ca.Pool, oci.TLSConfig{CAFile: ca.File, CertFile: client.CertFile, KeyFile: client.KeyFile}, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			registry := newRegistry()
			registry.Push("0.0.0", "manifests.tgz", []byte("archive"), day)
			r := open(t, startTLS(t, registry, tt.server, tt.clients), overTLS(func(c *oci.TLSConfig) { *c = tt.tls }))
			got, err := sync(t.Context(), r, "0.0.0")
			if tt.kind == "" {
				require.NoError(t, err)
				assert.Equal(t, "archive", string(got))
				assert.Equal(t, "HTTP/2.0", registry.Requests()[0].Proto)
				return
			}
			e := failure(t, err)
			assert.Equal(t, tt.kind, e.Kind, "%v", e)
			assert.Contains(t, e.Cure, tt.hint)
			if tt.kind == oci.Misconfigured {
				assert.Contains(t, e.Error(), "source.tls.caFile")
			}
		})
	}
}

func TestTLSWhereThereIsNone(t *testing.T) {
	registry := newRegistry()
	_, err := open(t, startHTTP(t, registry), overTLS(nil)).Tags(t.Context())
	e := failure(t, err)
	assert.Equal(t, oci.TLS, e.Kind)
	assert.Contains(t, e.Cure, "source.plainHTTP to true")

	_, err = open(t, startTLS(t, registry, testenv.SelfSigned(t, nil), nil)).Tags(t.Context())
	assert.Contains(t, failure(t, err).Cure, "source.plainHTTP to false")
}

func TestCertificatesChange(t *testing.T) {
	ca := testenv.NewCA(t)
	registry := newRegistry()
	host := startTLS(t, registry, ca.Server(t, nil), nil)
	file := filepath.Join(t.TempDir(), "ca.crt")
	r := open(t, host, overTLS(func(c *oci.TLSConfig) { c.CAFile = file }))

	_, err := r.Tags(t.Context())
	assert.Equal(t, oci.Misconfigured, failure(t, err).Kind)
	missing := r.Fingerprint()

	content, err := os.ReadFile(ca.File)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, content, 0o600))
	assert.NotEqual(t, missing, r.Fingerprint())
	_, err = r.Tags(t.Context())
	require.NoError(t, err, "it has come")

	good := r.Fingerprint()
	require.NoError(t, os.WriteFile(file, []byte("half of a"), 0o600))
	assert.NotEqual(t, good, r.Fingerprint())
	_, err = r.Tags(t.Context())
	require.NoError(t, err, "the old CA stays in use")

	content, err = os.ReadFile(testenv.NewCA(t).File)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, content, 0o600))
	r.Fingerprint()
	_, err = r.Tags(t.Context())
	assert.Equal(t, oci.TLS, failure(t, err).Kind, "the new CA is another")
}

func TestSkipIsWarnedAbout(t *testing.T) {
	var out strings.Builder
	_, err := oci.Open(oci.Config{
		Repository: "r.example/a", TLS: oci.TLSConfig{InsecureSkipVerify: true},
		Logger: slog.New(slog.NewTextHandler(&out, nil)),
	})
	require.NoError(t, err)
	assert.Contains(t, out.String(), "source.tls.insecureSkipVerify")
}
