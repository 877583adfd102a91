package oci_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/sync/oci"
	"github.com/specman/specman/internal/testenv"
)

// realRegistries are the programs, each in all its ways to be reached.
func realRegistries(t *testing.T, test func(t *testing.T, registry *testenv.Registry)) {
	ca := testenv.NewCA(t)
	ways := map[string]testenv.Options{
		"plain":              {},
		"plain, basic":       {Username: "robot$palette", Password: "p:w"},
		"TLS":                {CA: ca},
		"TLS, basic":         {CA: ca, Username: "robot$palette", Password: "p:w"},
		"client certificate": {CA: ca, ClientCA: ca},
	}
	for name, start := range map[string]func(testing.TB, testenv.Options) *testenv.Registry{"zot": testenv.Zot, "distribution": testenv.Distribution} {
		for way, options := range ways {
			t.Run(name+"/"+way, func(t *testing.T) { test(t, start(t, options)) })
		}
	}
}

// reach opens a repository of a real registry.
func reach(t *testing.T, registry *testenv.Registry, name string) *oci.Repository {
	t.Helper()
	r, err := oci.Open(oci.Config{
		Repository: registry.Repo(name), PlainHTTP: registry.CAFile == "",
		TLS:  oci.TLSConfig{CAFile: registry.CAFile, CertFile: registry.Client.CertFile, KeyFile: registry.Client.KeyFile},
		Auth: oci.AuthConfig{Username: registry.Username, Password: registry.Password},
	})
	require.NoError(t, err)
	return r
}

// What the real oras pushes is read from the real registries, in each of its
// forms, and what is not there is reported as such.
func TestRealRegistries(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	realRegistries(t, func(t *testing.T, registry *testenv.Registry) {
		const name = "spectro-packs/spectro-manifests/manifest"
		dir := t.TempDir()
		write(t, filepath.Join(dir, "manifests.tgz"), "archive")
		require.NoError(t, os.Mkdir(filepath.Join(dir, "html"), 0o755))
		write(t, filepath.Join(dir, "html", "index.html"), "<html>")

		r := reach(t, registry, name)
		_, err := r.Tags(t.Context())
		e := failure(t, err)
		assert.Equal(t, oci.Absent, e.Kind, "%v", e)
		assert.Contains(t, e.Cure, "nothing was pushed")

		registry.Oras(dir, "push", registry.Repo(name)+":0.0.0", "manifests.tgz")
		registry.Oras(dir, "push", "--image-spec", "v1.0", registry.Repo(name)+":4.5.13", "manifests.tgz")
		registry.Oras(dir, "push", registry.Repo(name)+":1.0.0", "html")

		tags, err := r.Tags(t.Context())
		require.NoError(t, err)
		assert.ElementsMatch(t, []string{"0.0.0", "4.5.13", "1.0.0"}, tags)
		for tag, config := range map[string]string{"0.0.0": "application/vnd.oci.empty.v1+json", "4.5.13": "application/vnd.unknown.config.v1+json"} {
			desc, err := r.Resolve(t.Context(), tag)
			require.NoError(t, err)
			m, err := r.Manifest(t.Context(), tag)
			require.NoError(t, err)
			assert.Equal(t, desc.Digest, m.Digest)
			assert.Equal(t, config, m.ConfigMediaType)
			assert.WithinDuration(t, time.Now(), m.Created, time.Hour)
			layer, err := oci.ChooseLayer(m, "manifests.tgz", true)
			require.NoError(t, err)
			body, err := r.Blob(t.Context(), layer)
			require.NoError(t, err)
			assert.Equal(t, "archive", string(readAll(t, body)))

			same, err := r.Manifest(t.Context(), string(m.Digest))
			require.NoError(t, err)
			assert.Equal(t, m.Raw, same.Raw)
		}
		m, err := r.Manifest(t.Context(), "1.0.0")
		require.NoError(t, err)
		layer, err := oci.ChooseLayer(m, "manifests.tgz", true)
		require.NoError(t, err, "a folder is the only layer")
		assert.Equal(t, "application/vnd.oci.image.layer.v1.tar+gzip", layer.MediaType)

		_, err = r.Resolve(t.Context(), "9.9.9")
		assert.Equal(t, oci.Absent, failure(t, err).Kind)
		gone := layer
		gone.Digest = "sha256:" + "0000000000000000000000000000000000000000000000000000000000000000"
		_, err = r.Blob(t.Context(), gone)
		assert.Equal(t, oci.Absent, failure(t, err).Kind)
	})
}

// What we push, the real oras pulls, and finds as its own.
func TestRealPush(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	realRegistries(t, func(t *testing.T, registry *testenv.Registry) {
		const name = "spectro-manifests/manifest"
		data := noise(3 << 20)
		file := write(t, filepath.Join(t.TempDir(), "made.tgz"), string(data))
		r := reach(t, registry, name)
		var sent int64
		desc, err := r.Push(t.Context(), oci.PushRequest{
			File: file, Tag: "0.0.0", Title: "manifests.tgz",
			Progress: func(n, total int64) {
				assert.EqualValues(t, len(data), total)
				sent = n
			},
		})
		require.NoError(t, err)
		assert.EqualValues(t, len(data), sent)

		dir := t.TempDir()
		registry.Oras(dir, "pull", registry.Repo(name)+":0.0.0")
		got, err := os.ReadFile(filepath.Join(dir, "manifests.tgz"))
		require.NoError(t, err)
		assert.Equal(t, string(data), string(got))

		sent = 0
		again, err := r.Push(t.Context(), oci.PushRequest{File: file, Tag: "0.0.0", Title: "manifests.tgz", Created: time.Now().Add(time.Hour), Progress: func(n, _ int64) { sent = n }})
		require.NoError(t, err)
		assert.NotEqual(t, desc.Digest, again.Digest, "a new manifest")
		assert.Zero(t, sent, "and the same layer, which is there")
		resolved, err := r.Resolve(t.Context(), "0.0.0")
		require.NoError(t, err)
		assert.Equal(t, again.Digest, resolved.Digest)

		// Byte for byte what oras itself makes of the same file at the same time.
		write(t, filepath.Join(dir, "manifests.tgz"), string(data))
		registry.Oras(dir, "push", "--annotation", "org.opencontainers.image.created="+day.Format(time.RFC3339), registry.Repo(name)+":oras", "manifests.tgz")
		theirs, err := r.Manifest(t.Context(), "oras")
		require.NoError(t, err)
		ours, err := r.Push(t.Context(), oci.PushRequest{File: file, Tag: "ours", Title: "manifests.tgz", Created: day})
		require.NoError(t, err)
		assert.Equal(t, theirs.Digest, ours.Digest)
	})
}

func TestRealOrasReadsOurLayout(t *testing.T) {
	layout := filepath.Join(t.TempDir(), "layout")
	push(t, openLayout(t, layout), "0.0.0", "archive")
	dir := t.TempDir()
	testenv.Oras(t, dir, "pull", "--oci-layout", layout+":0.0.0")
	got, err := os.ReadFile(filepath.Join(dir, "manifests.tgz"))
	require.NoError(t, err)
	assert.Equal(t, "archive", string(got))

	write(t, filepath.Join(dir, "manifests.tgz"), "theirs")
	testenv.Oras(t, dir, "push", "--oci-layout", layout+":4.5.13", "manifests.tgz")
	testenv.Oras(t, dir, "push", "--oci-layout", layout+":0.0.0", "manifests.tgz")
	r := openLayout(t, layout)
	tags, err := r.Tags(t.Context())
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{"0.0.0", "4.5.13"}, tags)
	archive, err := sync(t.Context(), r, "0.0.0")
	require.NoError(t, err)
	assert.Equal(t, "theirs", string(archive))
}

// distribution's token authentication, with a token server that asks for a user
// name and password, and tokens that end.
func TestRealTokenServer(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	tokens := newTokenServer(t, "robot$palette", "p:w")
	address := startHTTP(t, tokens)
	registry := testenv.Distribution(t, testenv.Options{Token: &testenv.TokenAuth{
		Realm: "http://" + address + "/token", Service: "distribution", Issuer: "specman test", RootCertBundle: tokens.bundle,
	}})
	registry.Username, registry.Password = "robot$palette", "p:w"
	r := reach(t, registry, "a/b")
	file := write(t, filepath.Join(t.TempDir(), "manifests.tgz"), "archive")
	_, err := r.Push(t.Context(), oci.PushRequest{File: file, Tag: "0.0.0"})
	require.NoError(t, err)
	dir := t.TempDir()
	registry.Oras(dir, "pull", registry.Repo("a/b")+":0.0.0")

	got, err := sync(t.Context(), r, "0.0.0")
	require.NoError(t, err)
	assert.Equal(t, "archive", string(got))
	asked := tokens.asked.Load()
	for range 3 {
		_, err = sync(t.Context(), r, "0.0.0")
		require.NoError(t, err)
	}
	assert.Equal(t, asked, tokens.asked.Load(), "a token is kept")

	registry.Password = "wrong"
	_, err = reach(t, registry, "a/b").Tags(t.Context())
	e := failure(t, err)
	assert.Equal(t, oci.Unauthorized, e.Kind)
	assert.Equal(t, "token", e.Operation)
	assert.Equal(t, address, e.Target)
}

// tokenServer issues tokens by the distribution project's token specification.
type tokenServer struct {
	username, password string
	key                *ecdsa.PrivateKey
	certificate        []byte
	bundle             string
	asked              atomic.Int64
}

func newTokenServer(t *testing.T, username, password string) *tokenServer {
	t.Helper()
	pair := testenv.SelfSigned(t, func(c *x509.Certificate) {
		c.KeyUsage |= x509.KeyUsageCertSign
		c.IsCA, c.BasicConstraintsValid = true, true
	})
	cert := pair.Load(t)
	return &tokenServer{username: username, password: password, key: cert.PrivateKey.(*ecdsa.PrivateKey), certificate: cert.Certificate[0], bundle: pair.CertFile}
}

func (s *tokenServer) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	s.asked.Add(1)
	username, password, _ := req.BasicAuth()
	if username != s.username || password != s.password {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"errors":[{"code":"UNAUTHORIZED","message":"incorrect username or password"}]}`)
		return
	}
	type access struct {
		Type    string   `json:"type"`
		Name    string   `json:"name"`
		Actions []string `json:"actions"`
	}
	grants := []access{}
	for _, scope := range req.URL.Query()["scope"] {
		if parts := strings.SplitN(scope, ":", 3); len(parts) == 3 {
			grants = append(grants, access{parts[0], parts[1], strings.Split(parts[2], ",")})
		}
	}
	now := time.Now()
	token, err := s.sign(map[string]any{
		"iss": "specman test", "sub": username, "aud": req.URL.Query().Get("service"), "jti": fmt.Sprint(now.UnixNano()),
		"iat": now.Unix(), "nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(5 * time.Minute).Unix(), "access": grants,
	})
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"token": token, "expires_in": 300})
}

// sign makes a JSON Web Token (RFC 7519) by ES256, with the certificate in x5c.
func (s *tokenServer) sign(claims map[string]any) (string, error) {
	header, err := json.Marshal(map[string]any{"typ": "JWT", "alg": "ES256", "x5c": []string{base64.StdEncoding.EncodeToString(s.certificate)}})
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	text := encode(header) + "." + encode(body)
	hash := sha256.Sum256([]byte(text))
	a, b, err := ecdsa.Sign(rand.Reader, s.key, hash[:])
	if err != nil {
		return "", err
	}
	signature := make([]byte, 64)
	a.FillBytes(signature[:32])
	b.FillBytes(signature[32:])
	return text + "." + encode(signature), nil
}
