package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
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

	"github.com/specman/specman/internal/sync/oci"
	"github.com/specman/specman/internal/testenv"
)

var errNotRunning = errors.New("it does not run")

// diagnosis is what a run told, by check; in order.
type diagnosis struct {
	well   bool
	order  []string
	checks map[string]Check
}

func diagnose(t *testing.T, opts Options) diagnosis {
	t.Helper()
	if opts.Store.Dir == "" {
		opts.Store.Dir = filepath.Join(t.TempDir(), "store")
	}
	if opts.Store.Service == nil {
		opts.Store.NotRunning = errNotRunning
		opts.Store.Service = func(context.Context) error { return errNotRunning }
	}
	d := diagnosis{checks: make(map[string]Check)}
	d.well = Run(t.Context(), opts, func(c Check) {
		d.order = append(d.order, c.What+" "+string(c.Status))
		d.checks[c.What] = c
		assert.NotEmpty(t, c.Detail, c.What)
		assert.NotContains(t, c.String(), "\n")
		if c.Status == OK || c.Status == Skipped {
			assert.Empty(t, c.Cure, c.What)
		} else {
			assert.NotEmpty(t, c.Cure, "%s says what to do: %s", c.What, c.Detail)
		}
	})
	return d
}

// source follows every version of a repository.
func source(connection oci.Config) Source {
	return Source{Name: "default", Connection: connection, Select: []string{"versions"}, MaxReleases: 32, Archive: "manifests.tgz"}
}

// pushed pushes something to a registry.
func pushed(t *testing.T, r *testenv.Registry, tag string, flags ...string) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "manifests.tgz"), []byte("looked at by its beginning alone"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte("{}"), 0o600))
	r.Oras(dir, append([]string{"push", r.Repo("a/b") + ":" + tag, "manifests.tgz"}, flags...)...)
}

func connectionTo(r *testenv.Registry) oci.Config {
	c := oci.Config{Repository: r.Repo("a/b"), PlainHTTP: r.CAFile == ""}
	c.TLS.CAFile = r.CAFile
	c.Auth.Username, c.Auth.Password = r.Username, r.Password
	return c
}

func TestAllIsWell(t *testing.T) {
	r := testenv.Zot(t, testenv.Options{CA: testenv.NewCA(t), Username: "ada", Password: "pass$word"})
	pushed(t, r, "4.5.13")
	d := diagnose(t, Options{Sources: []Source{source(connectionTo(r))}})
	assert.True(t, d.well)
	assert.Equal(t, []string{
		"service ok", "folder ok", "write ok", "space ok", "content ok",
		"repository ok", "dns ok", "tcp ok", "tls warn", "login ok", "clock ok", "tags ok", "selectors ok", "manifests ok", "layer ok", "room ok",
	}, d.order)
	assert.Contains(t, d.checks["tls"].Detail, `it ends in 0 days; certificate for localhost, 127.0.0.1, issued by "CN=Specman test CA", until `)
	assert.Equal(t, "1: 4.5.13", d.checks["tags"].Detail)
	assert.Equal(t, "versions follow 4.5.13", d.checks["selectors"].Detail)
	assert.Contains(t, d.checks["layer"].Detail, "32 B of 32 B (sha256:")
	assert.Contains(t, d.checks["room"].Detail, "32 B are to be fetched")
}

func TestWhatIsWrongAtARegistry(t *testing.T) {
	ca := testenv.NewCA(t)
	r := testenv.Zot(t, testenv.Options{CA: ca, Username: "ada", Password: "pass$word"})
	plain := testenv.Zot(t, testenv.Options{})
	pushed(t, r, "4.5.13")
	other := testenv.NewCA(t)
	for _, row := range []struct {
		name   string
		change func(*Source)
		fails  string // the check
		detail string
		cure   string
	}{
		{"no CA", func(s *Source) { s.Connection.TLS.CAFile = "" }, "tls", "nobody trusted has signed it; certificate for ", `set source.tls.caFile to a file with the certificate of the CA "CN=Specman test CA"`},
		{"another CA", func(s *Source) { s.Connection.TLS.CAFile = other.File }, "tls", "nobody trusted has signed it", `the CA "CN=Specman test CA"`},
		{"a CA file that is not there", func(s *Source) { s.Connection.TLS.CAFile = "/none" }, "tls", "source.tls.caFile: open /none: no such file", "give source.tls.caFile a PEM file"},
		{"no TLS there", func(s *Source) { s.Connection.Repository = plain.Repo("a/b") }, "tls", "first record does not look like a TLS handshake", "set source.plainHTTP to true"},
		{"TLS there", func(s *Source) { s.Connection.PlainHTTP = true }, "tags", "400", "set source.plainHTTP to false"},
		{"a wrong password", func(s *Source) { s.Connection.Auth.Password = "S3cret!" }, "login", "401", "source.auth.username"},
		{"no password", func(s *Source) { s.Connection.Auth = oci.AuthConfig{} }, "login", "user name and password", "source.auth.username"},
		{"another repository", func(s *Source) { s.Connection.Repository = r.Repo("a/c") }, "tags", "nothing was pushed there yet", "specman push DIR " + r.Host + "/a/c:0.0.0"},
		{"no such host", func(s *Source) { s.Connection.Repository = "specman.invalid/a/b" }, "dns", "specman.invalid", "check the host in source.repository"},
		{"nobody listens", func(s *Source) { s.Connection.Repository = "127.0.0.1:1/a/b" }, "tcp", "connection refused", "check host and port"},
		{"no repository's name", func(s *Source) { s.Connection.Repository = "example.com" }, "repository", "names no repository", "correct the setting"},
		{"a tag that nobody pushed", func(s *Source) { s.Select = []string{"9.9.9"} }, "manifests", "404", "push it again"},
		{"no tag that is followed", func(s *Source) { s.Select = []string{"tags:x.*"} }, "selectors", "tags:x.* follow none of the tags", "source.select"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := source(connectionTo(r))
			row.change(&s)
			d := diagnose(t, Options{Sources: []Source{s}})
			assert.False(t, d.well)
			bad := d.checks[row.fails]
			require.Equal(t, Fail, bad.Status, d.order)
			assert.Contains(t, bad.Detail, row.detail)
			assert.Contains(t, bad.Cure, row.cure)
			for what, c := range d.checks {
				assert.True(t, what == row.fails || c.Status != Fail, "%s: what follows from it is skipped: %s", what, c.Detail)
				assert.NotContains(t, c.String(), "S3cret!")
			}
			assert.Equal(t, Skipped, d.checks["room"].Status)
			assert.Equal(t, row.fails+" failed", d.checks["room"].Detail)
		})
	}
}

func TestWhatDeservesAWarning(t *testing.T) {
	r := testenv.Zot(t, testenv.Options{CA: testenv.NewCA(t)})
	pushed(t, r, "4.5.13")
	pushed(t, r, "4.6.0", "--config", "config.json:application/vnd.cncf.helm.config.v1+json", "config.json")
	plain := testenv.Zot(t, testenv.Options{})
	pushed(t, plain, "1.0.0")
	pushed(t, plain, "2.0.0")
	for _, row := range []struct {
		name   string
		change func(*Source)
		what   string
		detail string
	}{
		{"a certificate that is not verified, and is good", func(s *Source) { s.Connection.TLS.InsecureSkipVerify = true }, "tls", "not verified; certificate for "},
		{"one that is not verified, and is bad", func(s *Source) { s.Connection.TLS.InsecureSkipVerify, s.Connection.TLS.CAFile = true, "" }, "tls", "and it would fail: nobody trusted has signed it"},
		{"no TLS", func(s *Source) { s.Connection = connectionTo(plain) }, "tls", "off: whoever is on the way"},
		{"more than are followed", func(s *Source) { s.Connection, s.MaxReleases = connectionTo(plain), 1 }, "selectors", "1 tags are followed, 1 more would be: 1.0.0"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := source(connectionTo(r))
			row.change(&s)
			d := diagnose(t, Options{Sources: []Source{s}})
			assert.Equal(t, Warn, d.checks[row.what].Status, d.order)
			assert.Contains(t, d.checks[row.what].Detail, row.detail)
			assert.True(t, d.well, "a warning is no failure: %v", d.order)
		})
	}
}

// A tag that a pattern met by chance is named; one that is meant is a failure.
func TestTagsWithoutAnArchive(t *testing.T) {
	layout := filepath.Join(t.TempDir(), "layout")
	dir := t.TempDir()
	for _, name := range []string{"manifests.tgz", "values", "config.json"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600))
	}
	testenv.Oras(t, dir, "push", "--oci-layout", layout+":1.0.0", "manifests.tgz")
	testenv.Oras(t, dir, "push", "--oci-layout", layout+":2.0.0", "values", "--config", "config.json:application/vnd.cncf.helm.config.v1+json")
	s := source(oci.Config{Repository: "oci-layout:" + layout})
	d := diagnose(t, Options{Sources: []Source{s}})
	assert.Equal(t, []string{"repository ok", "tags ok", "selectors ok", "manifests warn", "layer ok", "room ok"}, d.order[5:], "of a folder nothing is asked over the network")
	assert.Equal(t, "1 hold an archive; passed over are 2.0.0", d.checks["manifests"].Detail)

	s.Exclude = []string{"1.0.0"}
	d = diagnose(t, Options{Sources: []Source{s}})
	assert.Equal(t, "none of the followed tags holds an archive: 2.0.0", d.checks["manifests"].Detail)
	assert.False(t, d.well)

	s.Exclude, s.Select = nil, []string{"semver:>=1", "1.0.0"}
	d = diagnose(t, Options{Sources: []Source{s}})
	assert.Equal(t, Fail, d.checks["manifests"].Status, "a constraint means the one that it finds, and a sync does not do without it")
	assert.Contains(t, d.checks["manifests"].Detail, "2.0.0: ")
}

// A registry that accepts and then says nothing holds nobody up.
func TestEveryCheckEnds(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	go func() {
		for {
			conn, err := silent.Accept()
			if err != nil {
				return
			}
			go io.Copy(io.Discard, conn)
		}
	}()
	d := diagnose(t, Options{Timeout: 100 * time.Millisecond, Sources: []Source{source(oci.Config{Repository: silent.Addr().String() + "/a/b"})}})
	assert.Equal(t, Fail, d.checks["tls"].Status)
	assert.Equal(t, Skipped, d.checks["clock"].Status)

	d = diagnose(t, Options{Timeout: 100 * time.Millisecond, Sources: []Source{source(oci.Config{Repository: silent.Addr().String() + "/a/b", PlainHTTP: true})}})
	assert.Equal(t, Fail, d.checks["tags"].Status)
}

func TestNoRepository(t *testing.T) {
	d := diagnose(t, Options{Sources: []Source{{Name: "default"}}})
	assert.True(t, d.well)
	assert.Equal(t, "repository ok", d.order[5])
}

func TestClock(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, row := range []struct {
		date   string
		status Status
		detail string
	}{
		{now.Format(http.TimeFormat), OK, "it agrees with the registry's to 1s"},
		{now.Add(-90 * time.Second).Format(http.TimeFormat), OK, "it agrees with the registry's to 1m30s"},
		{now.Add(-time.Hour).Format(http.TimeFormat), Warn, "it is 1h0m0s ahead of the registry's"},
		{now.Add(3 * time.Minute).Format(http.TimeFormat), Warn, "it is 3m0s behind the registry's"},
		{"", Skipped, "the registry does not tell its time"},
	} {
		f := skew(row.date, now)
		assert.Equal(t, row.status, f.status, row.date)
		assert.Equal(t, row.detail, f.detail)
	}

	wrong := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Empty(t, r.Header.Get("Authorization"), "no credentials for who is not verified")
		w.Header().Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
	}))
	defer wrong.Close()
	s := source(oci.Config{Repository: strings.TrimPrefix(wrong.URL, "http://") + "/a/b", PlainHTTP: true})
	d := &sourceDoctor{Source: s}
	require.Equal(t, OK, d.open(t.Context()).status)
	f := d.clock(t.Context())
	assert.Equal(t, Warn, f.status)
	assert.Contains(t, f.detail, "ahead of")
}

func TestClientCertificate(t *testing.T) {
	ca, clients := testenv.NewCA(t), testenv.NewCA(t)
	r := testenv.Distribution(t, testenv.Options{CA: ca, ClientCA: clients})
	pushed(t, r, "1.0.0")
	connection := connectionTo(r)
	d := diagnose(t, Options{Sources: []Source{source(connection)}})
	assert.Equal(t, Fail, d.checks["tags"].Status)
	assert.Contains(t, d.checks["tags"].Cure, "source.tls.certFile")

	connection.TLS.CertFile, connection.TLS.KeyFile = r.Client.CertFile, r.Client.KeyFile
	d = diagnose(t, Options{Sources: []Source{source(connection)}})
	assert.True(t, d.well, d.order)
	assert.Equal(t, OK, d.checks["clock"].Status)
}

// serveTLS is a server with this certificate.
func serveTLS(t *testing.T, pair testenv.Pair) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair.Load(t)}}
	server.Config.ErrorLog = nil
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}
