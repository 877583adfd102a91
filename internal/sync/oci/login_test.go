package oci_test

import (
	"encoding/base64"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/sync/oci"
	"github.com/specman/specman/internal/sync/oci/ocitest"
)

func write(t *testing.T, path, content string) string {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

// Which settings log in where. The registry's user is robot$palette with the
// password p:w.
func TestLogins(t *testing.T) {
	dir := t.TempDir()
	userFile := write(t, filepath.Join(dir, "user"), "robot$palette\n")
	passwordFile := write(t, filepath.Join(dir, "password"), "p:w\r\n")
	both := base64.StdEncoding.EncodeToString([]byte("robot$palette:p:w"))
	docker := func(body string) func(host string) oci.AuthConfig {
		return func(host string) oci.AuthConfig {
			path := write(t, filepath.Join(t.TempDir(), ".dockerconfigjson"), strings.ReplaceAll(body, "HOST", host))
			return oci.AuthConfig{DockerConfig: path}
		}
	}
	given := func(a oci.AuthConfig) func(string) oci.AuthConfig {
		return func(string) oci.AuthConfig { return a }
	}
	tests := []struct {
		name   string
		auth   func(host string) oci.AuthConfig
		basic  bool // lets in at a registry with basic auth
		bearer bool // and at one with a token server
		says   string
	}{
		{"nothing", given(oci.AuthConfig{}), false, false, ""},
		{"anonymous, though more is given", given(oci.AuthConfig{Provider: "anonymous", Username: "robot$palette", Password: "p:w"}), false, false, ""},
		{"user and password", given(oci.AuthConfig{Username: "robot$palette", Password: "p:w"}), true, true, ""},
		{"user and password by name", given(oci.AuthConfig{Provider: "basic", Username: "robot$palette", Password: "p:w"}), true, true, ""},
		{"files", given(oci.AuthConfig{UsernameFile: userFile, PasswordFile: passwordFile}), true, true, ""},
		{"wrong password", given(oci.AuthConfig{Username: "robot$palette", Password: "p"}), false, false, ""},
		{"token", given(oci.AuthConfig{Token: "token-1"}), false, true, ""},
		{"docker: auth", docker(`{"auths":{"HOST":{"auth":"` + both + `"}}}`), true, true, ""},
		{"docker: user and password", docker(`{"auths":{"HOST":{"username":"robot$palette","password":"p:w"}}}`), true, true, ""},
		{"docker: scheme and path", docker(`{"auths":{"https://HOST/v1/":{"auth":"` + both + `"}}}`), true, true, ""},
		{"docker: a repository's entry before the registry's", docker(`{"auths":{"HOST":{"auth":"eDp5"},"HOST/spectro-packs":{"auth":"` + both + `"},"HOST/spectro":{"auth":"eDp5"}}}`), true, true, ""},
		{"docker: identity token", docker(`{"auths":{"HOST":{"identitytoken":"p:w"}}}`), false, true, ""},
		{"docker: registry token", docker(`{"auths":{"HOST":{"registrytoken":"token-1"}}}`), false, true, ""},
		{"docker: another registry", docker(`{"auths":{"other.example":{"auth":"` + both + `"}}}`), false, false, ""},
		{"docker: helper", docker(`{"auths":{"HOST":{}},"credsStore":"desktop"}`), false, false, "docker-credential-desktop"},
		{"docker: helper of one registry", docker(`{"credHelpers":{"HOST":"ecr-login"}}`), false, false, "docker-credential-ecr-login"},
		{"docker: no base64", docker(`{"auths":{"HOST":{"auth":"?"}}}`), false, false, "not base64"},
		{"docker: no JSON", docker(`auths:`), false, false, "source.auth.dockerConfig"},
		{"a file that is missing", given(oci.AuthConfig{Username: "x", PasswordFile: filepath.Join(dir, "none")}), false, false, "source.auth.passwordFile"},
		{"a file that is empty", given(oci.AuthConfig{Username: "x", PasswordFile: write(t, filepath.Join(dir, "empty"), "\n")}), false, false, "is empty"},
	}
	for _, tt := range tests {
		for _, bearer := range []bool{false, true} {
			kind, want := "basic", tt.basic
			if bearer {
				kind, want = "bearer", tt.bearer
			}
			t.Run(tt.name+"/"+kind, func(t *testing.T) {
				registry := newRegistry()
				registry.Push("0.0.0", "manifests.tgz", []byte("archive"), day)
				if bearer {
					registry.RequireToken("robot$palette", "p:w")
				} else {
					registry.RequireBasic("robot$palette", "p:w")
				}
				host := startHTTP(t, registry)
				if bearer && strings.Contains(tt.name, "token") { // make token-1
					req, err := http.NewRequest(http.MethodGet, "http://"+host+"/token", nil)
					require.NoError(t, err)
					req.SetBasicAuth("robot$palette", "p:w")
					resp, err := http.DefaultClient.Do(req)
					require.NoError(t, err)
					resp.Body.Close()
					registry.Forget()
				}
				r := open(t, host, func(c *oci.Config) { c.Auth = tt.auth(host) })
				got, err := sync(t.Context(), r, "0.0.0")
				assert.LessOrEqual(t, registry.Count(ocitest.Tags), 2)
				if want {
					require.NoError(t, err)
					assert.Equal(t, "archive", string(got))
					return
				}
				e := failure(t, err)
				assert.Contains(t, e.Error(), tt.says)
				assert.NotContains(t, e.Error(), "p:w")
				if tt.says == "" {
					assert.Equal(t, oci.Unauthorized, e.Kind)
					assert.Equal(t, 401, e.Status)
					assert.Contains(t, e.Cure, "source.auth.username")
				} else {
					assert.Equal(t, oci.Misconfigured, e.Kind)
				}
			})
		}
	}
}

func TestDockerConfigOfTheUser(t *testing.T) {
	registry := newRegistry()
	registry.RequireBasic("user", "secret")
	host := startHTTP(t, registry)
	r := open(t, host) // sets DOCKER_CONFIG to an empty folder
	before := r.Fingerprint()
	_, err := r.Tags(t.Context())
	require.Error(t, err)

	auth := base64.StdEncoding.EncodeToString([]byte("user:secret"))
	write(t, filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json"), `{"auths":{"`+host+`":{"auth":"`+auth+`"}}}`)
	assert.NotEqual(t, before, r.Fingerprint(), "it has appeared")
	_, err = r.Tags(t.Context())
	require.NoError(t, err)
}

// A token is asked for once, and again only when it has ended, however the
// registry says so. Where a new one does not help either, nobody insists.
func TestTokensThatEnd(t *testing.T) {
	expired := func(status int, message string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { ocitest.Fail(w, status, "DENIED", message) }
	}
	for name, answer := range map[string]func(http.ResponseWriter){
		"by 401": nil,
		"by 403": expired(http.StatusForbidden, "Your authorization token has expired. Reauthenticate and try again."),
		"by 400": expired(http.StatusBadRequest, "Your Authorization Token is invalid."),
	} {
		t.Run(name, func(t *testing.T) {
			registry := newRegistry()
			registry.Push("0.0.0", "manifests.tgz", []byte("archive"), day)
			registry.RequireToken("user", "secret")
			r := open(t, startHTTP(t, registry), func(c *oci.Config) { c.Auth.Username, c.Auth.Password = "user", "secret" })
			poll := func() {
				registry.Forget()
				_, err := r.Tags(t.Context())
				require.NoError(t, err)
				_, err = r.Resolve(t.Context(), "0.0.0")
				require.NoError(t, err)
			}
			poll()
			assert.Equal(t, map[string]int{"tags": 2, "token": 1, "head": 1}, registry.Counts())
			poll()
			assert.Equal(t, map[string]int{"tags": 1, "head": 1}, registry.Counts())
			registry.ExpireTokens(answer)
			poll()
			assert.Equal(t, 1, registry.Count(ocitest.Token))
			assert.LessOrEqual(t, registry.Count(ocitest.Tags), 3)
			assert.Equal(t, 1, registry.Count(ocitest.Head))
			poll()
			assert.Equal(t, map[string]int{"tags": 1, "head": 1}, registry.Counts())
		})
	}

	t.Run("a 403 that stays", func(t *testing.T) {
		registry := newRegistry()
		registry.RequireToken("user", "secret")
		r := open(t, startHTTP(t, registry), func(c *oci.Config) { c.Auth.Username, c.Auth.Password = "user", "secret" })
		_, err := r.Tags(t.Context())
		require.NoError(t, err)

		registry.Forget()
		registry.ExpireTokens(expired(http.StatusForbidden, "denied"))
		registry.Break(ocitest.Fault{Operation: ocitest.Tags, Answer: ocitest.Status(403, "DENIED", "denied")})
		for range 5 {
			_, err = r.Tags(t.Context())
			assert.Equal(t, oci.Forbidden, failure(t, err).Kind)
		}
		assert.LessOrEqual(t, registry.Count(ocitest.Tags), 6, "one extra request, once")
	})
	t.Run("a password does not end", func(t *testing.T) {
		registry := newRegistry()
		registry.RequireBasic("user", "secret")
		r := open(t, startHTTP(t, registry), func(c *oci.Config) { c.Auth.Username, c.Auth.Password = "user", "secret" })
		_, err := r.Tags(t.Context())
		require.NoError(t, err)
		registry.Forget()
		registry.Break(ocitest.Fault{Operation: ocitest.Tags, Answer: ocitest.Status(403, "DENIED", "denied")})
		_, err = r.Tags(t.Context())
		require.Error(t, err)
		assert.Equal(t, 1, registry.Count(ocitest.Tags))
	})
}

func TestTokenServerFaults(t *testing.T) {
	tests := []struct {
		name   string
		fault  ocitest.Answer
		kind   oci.Kind
		status int
		hint   string
	}{
		{"down", ocitest.Status(503, "UNAVAILABLE", "starting", "Retry-After", "7"), oci.Unavailable, 503, "down"},
		{"refuses", ocitest.Status(401, "UNAUTHORIZED", "incorrect username or password"), oci.Unauthorized, 401, "source.auth.username"},
		{"is not there", ocitest.Status(404, "NOTFOUND", ""), oci.Refused, 404, ""},
		{"is a web page", ocitest.Page("text/html", "<html>"), oci.NotRegistry, 0, "login page"},
		{"hangs up", ocitest.HangUp(), oci.Network, 0, ""},
		{"hangs", ocitest.Hang(), oci.Network, 0, "firewall"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tokens, registry := newRegistry(), newRegistry()
			tokens.Break(ocitest.Fault{Answer: tt.fault})
			tokenHost := startHTTP(t, tokens)
			registry.RequireToken("user", "secret")
			registry.SetRealm("http://" + tokenHost)
			r := open(t, startHTTP(t, registry), func(c *oci.Config) {
				c.Auth.Username, c.Auth.Password = "user", "secret"
				if tt.name == "hangs" {
					c.StallTimeout = time.Second
				}
			})
			_, err := r.Tags(t.Context())
			e := failure(t, err)
			assert.Equal(t, tt.kind, e.Kind, "%v", e)
			assert.Equal(t, tt.status, e.Status)
			assert.Equal(t, "token", e.Operation)
			assert.Equal(t, tokenHost, e.Target)
			assert.Contains(t, e.Cure, tt.hint)
			if tt.kind == oci.Unavailable {
				assert.EqualValues(t, 7e9, e.RetryAfter)
			}
			assert.LessOrEqual(t, len(tokens.Requests()), 2)
		})
	}
	t.Run("at an address that no registry should name", func(t *testing.T) {
		registry := newRegistry()
		registry.RequireToken("user", "secret")
		registry.SetRealm("http://169.254.169.254")
		r := open(t, startHTTP(t, registry), func(c *oci.Config) { c.Auth.Username, c.Auth.Password = "user", "secret" })
		_, err := r.Tags(t.Context())
		e := failure(t, err)
		assert.Equal(t, oci.Malformed, e.Kind)
		assert.Contains(t, e.Cure, "external_url")
	})
}

// Secrets are read again when they change, also by the kubelet's swap of a
// symlink; a file that has become bad leaves the old login in use.
func TestSecretsChange(t *testing.T) {
	dir := t.TempDir()
	swap := func(version, password string) { // as the kubelet does it
		require.NoError(t, os.Mkdir(filepath.Join(dir, version), 0o700))
		if password != "-" {
			write(t, filepath.Join(dir, version, "password"), password)
		}
		require.NoError(t, os.Symlink(version, filepath.Join(dir, "..data_tmp")))
		require.NoError(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	}
	swap("..1", "old")
	require.NoError(t, os.Symlink("..data/password", filepath.Join(dir, "password")))

	registry := newRegistry()
	registry.RequireBasic("user", "old")
	r := open(t, startHTTP(t, registry), func(c *oci.Config) {
		c.Auth.Username, c.Auth.PasswordFile = "user", filepath.Join(dir, "password")
	})
	_, err := r.Tags(t.Context())
	require.NoError(t, err)
	first := r.Fingerprint()
	assert.Equal(t, first, r.Fingerprint())
	assert.NotContains(t, r.String()+first, "old")

	registry.RequireBasic("user", "new")
	_, err = r.Tags(t.Context())
	assert.Equal(t, oci.Unauthorized, failure(t, err).Kind)

	swap("..2", "new")
	second := r.Fingerprint()
	assert.NotEqual(t, first, second)
	_, err = r.Tags(t.Context())
	require.NoError(t, err)

	swap("..3", "-")
	assert.NotEqual(t, second, r.Fingerprint())
	_, err = r.Tags(t.Context())
	require.NoError(t, err, "the old password stays in use")
}

// Who does not ask for the fingerprint first is served by a changed secret a second later.
func TestSecretsChangeUnasked(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	file := write(t, filepath.Join(t.TempDir(), "password"), "old")
	synctest.Test(t, func(t *testing.T) {
		registry := newRegistry()
		registry.RequireBasic("user", "new")
		pipe := ocitest.NewPipe(registry)
		defer pipe.Close()
		r := open(t, "registry.test", func(c *oci.Config) {
			c.DialContext, c.Auth.Username, c.Auth.PasswordFile = pipe.Dial, "user", file
		})
		_, err := r.Tags(t.Context())
		assert.Equal(t, oci.Unauthorized, failure(t, err).Kind)
		write(t, file, "new")
		time.Sleep(1001 * time.Millisecond)
		_, err = r.Tags(t.Context())
		require.NoError(t, err)
	})
}
