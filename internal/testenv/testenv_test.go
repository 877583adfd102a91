package testenv

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// registries are the two that every case here is run against.
var registries = map[string]func(testing.TB, Options) *Registry{
	"zot":          Zot,
	"distribution": Distribution,
}

func TestPushAndPull(t *testing.T) {
	cases := map[string]struct {
		options  func(t *testing.T) Options
		pushArgs []string
	}{
		"plain HTTP": {
			options: func(*testing.T) Options { return Options{} },
		},
		"plain HTTP, ORAS 1.0's manifest": {
			options:  func(*testing.T) Options { return Options{} },
			pushArgs: []string{"--image-spec", "v1.0"},
		},
		"basic auth": {
			options: func(*testing.T) Options { return Options{Username: "ada", Password: "pass$word"} },
		},
		"TLS": {
			options: func(t *testing.T) Options { return Options{CA: NewCA(t)} },
		},
		"TLS and basic auth": {
			options: func(t *testing.T) Options {
				return Options{CA: NewCA(t), Username: "ada", Password: "pass$word"}
			},
		},
		"TLS with a client's certificate": {
			options: func(t *testing.T) Options { return Options{CA: NewCA(t), ClientCA: NewCA(t)} },
		},
	}
	for kind, start := range registries {
		for name, c := range cases {
			t.Run(kind+"/"+name, func(t *testing.T) {
				t.Parallel()
				r := start(t, c.options(t))
				ref := push(t, r, "one", c.pushArgs...)
				assert.Equal(t, "one", pull(t, r, ref))
				if r.Username != "" {
					response, err := r.client.Get(r.URL + "/v2/")
					require.NoError(t, err)
					response.Body.Close()
					assert.Equal(t, http.StatusUnauthorized, response.StatusCode, "without a login")
				}
			})
		}
	}
}

func TestClientWithoutCertificateIsRefused(t *testing.T) {
	for kind, start := range registries {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			ca := NewCA(t)
			r := start(t, Options{CA: ca, ClientCA: NewCA(t)})
			client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool}}}
			response, err := client.Get(r.URL + "/v2/")
			if err == nil {
				response.Body.Close()
			}
			require.ErrorContains(t, err, "certificate required")
		})
	}
}

func TestStopAndStartKeepsAddressAndContent(t *testing.T) {
	for kind, start := range registries {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			r := start(t, Options{Dir: t.TempDir()})
			ref := push(t, r, "before")

			r.Stop()
			_, err := net.Dial("tcp", r.Host)
			require.Error(t, err, "a stopped registry refuses connections")

			r.Start()
			assert.Equal(t, "before", pull(t, r, ref))
		})
	}
}

func TestDistributionDeletesManifests(t *testing.T) {
	t.Parallel()
	r := Distribution(t, Options{})
	push(t, r, "one")
	r.Oras(t.TempDir(), "manifest", "delete", "--force", r.Repo("specman/test")+":1.0.0")
	tags := r.Oras(t.TempDir(), "repo", "tags", r.Repo("specman/test"))
	assert.Empty(t, tags)
}

func TestDistributionSendsClientsToTheTokenServer(t *testing.T) {
	t.Parallel()
	signer := SelfSigned(t, nil, "token server")
	r := Distribution(t, Options{Token: &TokenAuth{
		Realm:          "http://127.0.0.1:1/token",
		Service:        "registry.test",
		Issuer:         "issuer.test",
		RootCertBundle: signer.CertFile,
	}})
	response, err := r.client.Get(r.URL + "/v2/")
	require.NoError(t, err)
	response.Body.Close()
	assert.Equal(t, http.StatusUnauthorized, response.StatusCode)
	assert.Equal(t, `Bearer realm="http://127.0.0.1:1/token",service="registry.test"`,
		response.Header.Get("Www-Authenticate"))
}

func TestServerCertificates(t *testing.T) {
	ca := NewCA(t)
	self := SelfSigned(t, nil)
	selfPool := x509.NewCertPool()
	pem, err := os.ReadFile(self.CertFile)
	require.NoError(t, err)
	require.True(t, selfPool.AppendCertsFromPEM(pem))
	expire := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }

	cases := map[string]struct {
		pair    Pair
		roots   *x509.CertPool
		problem string
	}{
		"issued by the CA":         {pair: ca.Server(t, nil), roots: ca.Pool},
		"issued by another CA":     {pair: NewCA(t).Server(t, nil), roots: ca.Pool, problem: "unknown authority"},
		"for another host":         {pair: ca.Server(t, nil, "example.test"), roots: ca.Pool, problem: "any IP SANs"},
		"expired":                  {pair: ca.Server(t, expire), roots: ca.Pool, problem: "expired"},
		"self-signed and trusted":  {pair: self, roots: selfPool},
		"self-signed, not trusted": {pair: self, roots: ca.Pool, problem: "unknown authority"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(http.NotFoundHandler())
			server.TLS = &tls.Config{Certificates: []tls.Certificate{c.pair.Load(t)}}
			server.StartTLS()
			t.Cleanup(server.Close)
			conn, err := tls.Dial("tcp", server.Listener.Addr().String(), &tls.Config{RootCAs: c.roots})
			if c.problem != "" {
				require.ErrorContains(t, err, c.problem)
				return
			}
			require.NoError(t, err)
			conn.Close()
		})
	}
}

// push publishes a file with this content as specman/test:1.0.0 and returns that.
func push(t *testing.T, r *Registry, content string, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "manifests.tgz"), []byte(content), 0o600))
	ref := r.Repo("specman/test") + ":1.0.0"
	r.Oras(dir, append(append([]string{"push"}, args...), ref, "manifests.tgz")...)

	var manifest struct {
		ArtifactType string `json:"artifactType"`
	}
	out := r.Oras(dir, "manifest", "fetch", ref)
	require.NoError(t, json.Unmarshal([]byte(out), &manifest))
	old := strings.Contains(strings.Join(args, " "), "v1.0")
	require.Equal(t, old, manifest.ArtifactType == "", "only ORAS 1.0 left the artifact's type out")
	return ref
}

func pull(t *testing.T, r *Registry, ref string) string {
	t.Helper()
	dir := t.TempDir()
	r.Oras(dir, "pull", ref)
	content, err := os.ReadFile(filepath.Join(dir, "manifests.tgz"))
	require.NoError(t, err)
	return string(content)
}
