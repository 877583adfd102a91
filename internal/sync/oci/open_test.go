package oci_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/sync/oci"
)

func TestOpen(t *testing.T) {
	tests := []struct {
		name string
		cfg  oci.Config
		want string // String(), or
		err  string // part of the error
	}{
		{"plain", oci.Config{Repository: "harbor.example/a/b"}, "harbor.example/a/b", ""},
		{"port", oci.Config{Repository: "10.1.2.3:5000/a"}, "10.1.2.3:5000/a", ""},
		{"IPv6", oci.Config{Repository: "[fd00::1]:5000/a"}, "[fd00::1]:5000/a", ""},
		{"https and slashes", oci.Config{Repository: " https://harbor.example//a/b/ "}, "harbor.example/a/b", ""},
		{"oci", oci.Config{Repository: "oci://harbor.example/a"}, "harbor.example/a", ""},
		{"http and plainHTTP", oci.Config{Repository: "http://zot:5000/a", PlainHTTP: true}, "zot:5000/a", ""},
		{"layout", oci.Config{Repository: "oci-layout:/srv/x"}, "oci-layout:/srv/x", ""},
		{"http", oci.Config{Repository: "http://zot:5000/a"}, "", "source.plainHTTP"},
		{"https and plainHTTP", oci.Config{Repository: "https://zot:5000/a", PlainHTTP: true}, "", "source.plainHTTP is true"},
		{"ftp", oci.Config{Repository: "ftp://zot/a"}, "", "unknown scheme"},
		{"empty", oci.Config{}, "", "source.repository: it is empty"},
		{"no path", oci.Config{Repository: "zot:5000"}, "", "names no repository"},
		{"tag", oci.Config{Repository: "zot:5000/a:0.0.0"}, "", "source.select"},
		{"upper case", oci.Config{Repository: "zot/A"}, "", "lower-case"},
		{"host", oci.Config{Repository: "zo t/a"}, "", "no host"},
		{"layout without folder", oci.Config{Repository: "oci-layout:"}, "", "needs a folder"},
		{"provider", oci.Config{Repository: "zot/a", Auth: oci.AuthConfig{Provider: "kerberos"}}, "", "source.auth.provider"},
		{"basic without user", oci.Config{Repository: "zot/a", Auth: oci.AuthConfig{Provider: "basic"}}, "", "source.auth.username"},
		{"user without password", oci.Config{Repository: "zot/a", Auth: oci.AuthConfig{Username: "u"}}, "", "source.auth.password"},
		{"password twice", oci.Config{Repository: "zot/a", Auth: oci.AuthConfig{Username: "u", Password: "p", PasswordFile: "f"}}, "", "source.auth.passwordFile"},
		{"user and token", oci.Config{Repository: "zot/a", Auth: oci.AuthConfig{Username: "u", Password: "p", Token: "t"}}, "", "source.auth.token"},
		{"certificate without key", oci.Config{Repository: "zot/a", TLS: oci.TLSConfig{CertFile: "c"}}, "", "source.tls.keyFile"},
		{"ecr without region", oci.Config{Repository: "zot/a", Auth: oci.AuthConfig{Provider: "ecr"}}, "", "source.auth.ecr.region"},
		{"ecr with half a key", oci.Config{Repository: "zot/a", Auth: oci.AuthConfig{ECR: oci.ECRConfig{AccessKey: "AK"}}}, "", "source.auth.ecr.secretKey"},
		{"external id without role", oci.Config{Repository: "zot/a", Auth: oci.AuthConfig{ECR: oci.ECRConfig{ExternalID: "x"}}}, "", "source.auth.ecr.roleARN"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := oci.Open(tt.cfg)
			if tt.err != "" {
				assert.ErrorContains(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tt.want, r.String())
		})
	}
	t.Run("a password in the URL is not repeated", func(t *testing.T) {
		_, err := oci.Open(oci.Config{Repository: "https://user:hunter2@zot/a"})
		require.ErrorContains(t, err, "source.auth.username")
		assert.NotContains(t, err.Error(), "hunter2")
	})
	t.Run("all mistakes at once", func(t *testing.T) {
		_, err := oci.Open(oci.Config{Repository: "zot/a", Auth: oci.AuthConfig{Provider: "x"}, TLS: oci.TLSConfig{KeyFile: "k"}})
		assert.ErrorContains(t, err, "source.auth.provider")
		assert.ErrorContains(t, err, "source.tls.certFile")
	})
}

func TestReferencesThatAreNone(t *testing.T) {
	registry := newRegistry()
	r := open(t, startHTTP(t, registry))
	for _, reference := range []string{"", "a/b", "sha256:7", "../../x", "a b"} {
		_, err := r.Resolve(t.Context(), reference)
		assert.Equal(t, oci.Misconfigured, failure(t, err).Kind, "%q", reference)
		_, err = r.Manifest(t.Context(), reference)
		require.Error(t, err, "%q", reference)
	}
	assert.Empty(t, registry.Requests())
}
