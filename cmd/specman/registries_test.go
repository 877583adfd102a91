package main

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/config"
	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/oci"
	"github.com/specman/specman/internal/sync/oci/ocitest"
	"github.com/specman/specman/internal/sync/poller"
	"github.com/specman/specman/internal/sync/selector"
	"github.com/specman/specman/internal/testenv"
)

// documented is one configuration of docs/registries.md, and the registry that
// stands in for the one it is for.
type documented struct {
	heading string
	start   func(d *docSite)
	login   string // what the registry, or AWS, was shown; a substring
}

var documentedRegistries = []documented{
	{"Harbor", func(d *docSite) {
		d.secret("password", "hunter2\n")
		d.double("harbor.example.com", nil).RequireToken("robot$palette", "hunter2")
	}, "Bearer token-"},
	{"Amazon ECR with a role of the pod", func(d *docSite) {
		agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.Header.Get("Authorization") != "pod-token" {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			fmt.Fprintf(w, `{"AccessKeyId":"ASIAPOD","SecretAccessKey":"s","Token":"t","Expiration":%q}`, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
		}))
		d.t.Cleanup(agent.Close)
		d.t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", agent.URL+"/v1/credentials") // as EKS Pod Identity does
		d.t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", d.secret("pod-token", "pod-token"))
		d.ecr()
	}, "GetAuthorizationToken ASIAPOD eu-central-1"},
	{"Amazon ECR with keys", func(d *docSite) {
		d.secret("accessKey", "AKIASTATIC\n")
		d.secret("secretKey", "secret\n")
		d.ecr()
	}, "GetAuthorizationToken AKIASTATIC eu-central-1"},
	{"Amazon ECR in another account", func(d *docSite) {
		d.secret("accessKey", "AKIASTATIC\n")
		d.secret("secretKey", "secret\n")
		d.ecr()
	}, "AssumeRole AKIASTATIC eu-central-1 palette; GetAuthorizationToken ASIAROLE eu-central-1"},
	{"Public ECR", func(d *docSite) { d.double("public.ecr.aws", nil).RequireToken("", "") }, "Bearer token-"},
	{"zot", func(d *docSite) {
		d.secret("password", "hunter2\n")
		d.real("zot.example.com:5000", testenv.Zot(d.t, testenv.Options{Username: "palette", Password: "hunter2"}))
	}, ""},
	{"distribution", func(d *docSite) {
		d.secret("password", "hunter2\n")
		r := testenv.Distribution(d.t, testenv.Options{Username: "palette", Password: "hunter2"})
		d.real("registry.example.com:5000", r)
		d.at["registry.example.com:5000"] = d.withTLS("registry.example.com", httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: r.Host}), nil)
	}, ""},
	{"GHCR", func(d *docSite) {
		login := base64.StdEncoding.EncodeToString([]byte("palette:ghp_hunter2"))
		d.secret(".dockerconfigjson", `{"auths":{"ghcr.io":{"auth":"`+login+`"},"docker.io":{"auth":"bm86bm8="}}}`)
		d.double("ghcr.io", nil).RequireToken("palette", "ghp_hunter2")
	}, "Bearer token-"},
	{"Artifactory", func(d *docSite) {
		d.secret("password", "hunter2\n")
		r := d.double("example.jfrog.io", nil)
		r.RequireBasic("palette", "hunter2")
		r.Break(ocitest.Fault{Answer: ocitest.NoDigest()})
	}, "Basic "},
	{"A client certificate", func(d *docSite) {
		pair := d.ca.Client(d.t, "specman")
		for name, file := range map[string]string{"tls.crt": pair.CertFile, "tls.key": pair.KeyFile} {
			content, err := os.ReadFile(file)
			require.NoError(d.t, err)
			d.secret(name, string(content))
		}
		d.double("registry.example.com", func(c *tls.Config) {
			c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, d.ca.Pool
		})
	}, ""},
	{"Several registries", func(d *docSite) {
		d.secret("password", "hunter2\n")
		d.double("harbor.example.com", nil).RequireBasic("robot$palette", "hunter2")
		d.double("public.ecr.aws", nil).RequireToken("", "")
	}, "Basic "},
	{"No registry", func(d *docSite) {
		layout, err := oci.Open(oci.Config{Repository: "oci-layout:" + filepath.Join(d.dir, "manifests")})
		require.NoError(d.t, err)
		file := filepath.Join(d.t.TempDir(), "manifests.tgz")
		require.NoError(d.t, os.WriteFile(file, archiveOf(d.t), 0o600))
		_, err = layout.Push(d.t.Context(), oci.PushRequest{File: file, Tag: "0.0.0"})
		require.NoError(d.t, err)
	}, ""},
}

var yamlBlock = regexp.MustCompile("(?s)\n## ([^\n]+)\n|```yaml\n(.*?)```")

// Each configuration of the page is accepted as it stands, logs in, and brings
// the archive into a store.
func TestTheDocumentedRegistries(t *testing.T) {
	page, err := os.ReadFile("../../docs/registries.md")
	require.NoError(t, err)
	blocks := make(map[string]string)
	heading := ""
	for _, found := range yamlBlock.FindAllStringSubmatch(string(page), -1) {
		if found[1] != "" {
			heading = found[1]
			continue
		}
		require.NotContains(t, blocks, heading, "one configuration under a heading")
		blocks[heading] = found[2]
	}
	require.Len(t, blocks, len(documentedRegistries), "each has its row here")
	for _, row := range documentedRegistries {
		t.Run(row.heading, func(t *testing.T) {
			require.Contains(t, blocks, row.heading)
			d := newDocSite(t)
			row.start(d)
			d.run(blocks[row.heading])
			assert.Contains(t, d.shown(), row.login)
		})
	}
}

// docSite is the world in which a documented configuration is run.
type docSite struct {
	t       *testing.T
	dir     string // stands for /etc/specman/secrets and /srv
	ca      *testenv.CA
	at      map[string]string // host:port → where it really is
	doubles []*ocitest.Registry
	aws     *fakeAWS
}

func newDocSite(t *testing.T) *docSite {
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION",
		"AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
	} {
		t.Setenv(name, "") // nothing of the machine's own counts
	}
	none := filepath.Join(t.TempDir(), "none")
	t.Setenv("AWS_CONFIG_FILE", none)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", none)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("DOCKER_CONFIG", none)
	d := &docSite{t: t, dir: t.TempDir(), ca: testenv.NewCA(t), at: make(map[string]string)}
	content, err := os.ReadFile(d.ca.File)
	require.NoError(t, err)
	d.secret("ca.crt", string(content))
	return d
}

func (d *docSite) secret(name, content string) (path string) {
	path = filepath.Join(d.dir, name)
	require.NoError(d.t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

// double serves a registry that speaks TLS as host.
func (d *docSite) double(host string, change func(*tls.Config)) *ocitest.Registry {
	path := map[string]string{
		"harbor.example.com": "spectro-packs/spectro-manifests/manifest", "ghcr.io": "example/spectro-manifests/manifest",
		"public.ecr.aws": "a1b2c3d4/spectro-manifests/manifest", "example.jfrog.io": "spectro-packs/spectro-manifests/manifest",
		"registry.example.com": "spectro-manifests/manifest", ecrHost: "spectro-packs/spectro-manifests/manifest",
	}[host]
	if strings.HasSuffix(d.t.Name(), "Several_registries") && host == "harbor.example.com" {
		path = "spectro-content/spectro-manifests/manifest"
	}
	r := ocitest.New(path)
	r.Push("0.0.0", "manifests.tgz", archiveOf(d.t), time.Now())
	d.at[host+":443"] = d.withTLS(host, r, change)
	d.doubles = append(d.doubles, r)
	return r
}

// withTLS serves a handler with a certificate for host, and returns where.
func (d *docSite) withTLS(host string, handler http.Handler, change func(*tls.Config)) string {
	server := httptest.NewUnstartedServer(handler)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{d.ca.Server(d.t, nil, host).Load(d.t)}}
	if change != nil {
		change(server.TLS)
	}
	server.StartTLS()
	d.t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// real has a real registry, to which oras has pushed, answer as host.
func (d *docSite) real(host string, r *testenv.Registry) {
	dir := d.t.TempDir()
	require.NoError(d.t, os.WriteFile(filepath.Join(dir, "manifests.tgz"), archiveOf(d.t), 0o600))
	r.Oras(dir, "push", r.Repo("spectro-manifests/manifest")+":0.0.0", "manifests.tgz")
	d.at[host] = r.Host
}

const ecrHost = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"

// ecr serves ECR, and the AWS that gives its passwords.
func (d *docSite) ecr() {
	d.aws = &fakeAWS{}
	api := httptest.NewServer(d.aws)
	d.t.Cleanup(api.Close)
	d.t.Setenv("AWS_ENDPOINT_URL", api.URL)
	d.double(ecrHost, nil).RequireBasic("AWS", "password-of-ecr")
}

// run loads a configuration as the service does, and syncs each source once.
func (d *docSite) run(block string) {
	t := d.t
	block = strings.NewReplacer("/etc/specman/secrets/", d.dir+"/", "/srv/", d.dir+"/").Replace(block)
	path := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, []byte(block), 0o600))
	require.Equal(t, 0, runWith(t, nil, "config", "--config="+path).status)
	loaded, err := (&app{env: []string{"SPECMAN_CONFIG=" + path}}).loadConfig()
	require.NoError(t, err)

	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Sources: sourceNames(&loaded.Config)})
	require.NoError(t, err)
	defer st.Close()
	for n := range loaded.Config.Sources {
		s := &loaded.Config.Sources[n]
		assert.Equal(t, s.PlainHTTP, len(loaded.Warnings) > 0, "%v", loaded.Warnings)
		outcome := d.poller(s, st).Once(t.Context(), poller.Ask{})
		require.Equal(t, poller.Success, outcome.Result, "%s: %v", s.Name, outcome.Failures)
	}
	v := st.Acquire()
	require.NotNil(t, v)
	defer v.Close()
	_, ok := v.Lookup("roar/nickfury/versions.yaml")
	assert.True(t, ok)
	assert.Len(t, v.Releases(), len(loaded.Config.Sources))
}

// poller polls a source as configured, but for where its host is, and for the CA
// that the world's registries have from a public one.
func (d *docSite) poller(s *config.Source, st *store.Store) *poller.Poller {
	c := connection(s, nil, nil)
	if c.TLS.CAFile == "" {
		c.TLS.CAFile = d.ca.File
	}
	c.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if at, ok := d.at[address]; ok {
			return (&net.Dialer{}).DialContext(ctx, network, at)
		}
		if host, _, _ := net.SplitHostPort(address); host != "127.0.0.1" {
			return nil, fmt.Errorf("nobody stands in for %s", address)
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	source, err := oci.Open(c)
	require.NoError(d.t, err)
	selectors, err := selector.ParseAll(s.Select)
	require.NoError(d.t, err)
	return poller.New(poller.Config{
		Name: s.Name, Repository: source.String(), Source: source, Select: selectors, MaxReleases: s.MaxReleases, Archive: s.Archive,
		Interval: s.Interval, Timeout: s.Timeout, MaxBackoff: s.MaxBackoff, Store: st,
	})
}

// shown is with what the registries, or AWS, were asked.
func (d *docSite) shown() string {
	if d.aws != nil {
		return strings.Join(d.aws.calls, "; ")
	}
	var all []string
	for _, r := range d.doubles {
		for _, request := range r.Requests() {
			all = append(all, request.Authorization)
		}
	}
	return strings.Join(all, "; ")
}

// fakeAWS answers for STS and ECR's API.
type fakeAWS struct {
	mu    sync.Mutex
	calls []string // action, access key, region and external id
}

var signedBy = regexp.MustCompile(`Credential=([^/]+)/[^/]+/([^/]+)/`)

func (a *fakeAWS) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	body, _ := io.ReadAll(req.Body)
	key, region := "?", "?"
	if by := signedBy.FindStringSubmatch(req.Header.Get("Authorization")); by != nil {
		key, region = by[1], by[2]
	}
	if strings.HasSuffix(req.Header.Get("X-Amz-Target"), ".GetAuthorizationToken") {
		a.calls = append(a.calls, fmt.Sprintf("GetAuthorizationToken %s %s", key, region))
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		password := base64.StdEncoding.EncodeToString([]byte("AWS:password-of-ecr"))
		fmt.Fprintf(w, `{"authorizationData":[{"authorizationToken":%q,"expiresAt":%d}]}`, password, time.Now().Add(12*time.Hour).Unix())
		return
	}
	external := ""
	if id := regexp.MustCompile(`ExternalId=([^&]+)`).FindStringSubmatch(string(body)); id != nil {
		external = id[1]
	}
	a.calls = append(a.calls, fmt.Sprintf("AssumeRole %s %s %s", key, region, external))
	w.Header().Set("Content-Type", "text/xml")
	fmt.Fprintf(w, `<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`,
		time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
}

// archiveOf is a manifests.tgz with an index.
func archiveOf(t *testing.T) []byte {
	t.Helper()
	return testenv.TGZ(t, map[string]string{"./roar/nickfury/versions.yaml": "versions:\n- version: 4.5.13\n"})
}
