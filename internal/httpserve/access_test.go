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
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"
)

// authority signs certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{}
	a.pem, _ = issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, a)
	return a
}

// issue signs a certificate; an authority that has none yet signs its own.
func issue(t *testing.T, template *x509.Certificate, by *authority) (certPEM, keyPEM []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62))
	require.NoError(t, err)
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	template.NotBefore = template.NotAfter.Add(-24 * time.Hour)
	parent, signer := by.cert, by.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	require.NoError(t, err)
	if by.cert == nil {
		by.key = key
		by.cert, err = x509.ParseCertificate(der)
		require.NoError(t, err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

func (a *authority) server(t *testing.T, name string, end time.Time) (certPEM, keyPEM []byte) {
	return issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: end}, a)
}

func (a *authority) client(t *testing.T) tls.Certificate {
	t.Helper()
	certPEM, keyPEM := issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "client"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, a)
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	require.NoError(t, err)
	return pair
}

// secret is a folder as the kubelet makes it of a Secret: the files are links
// into a folder that is swapped as a whole.
type secret struct {
	dir    string
	number int
}

func (s *secret) set(t *testing.T, files map[string][]byte) {
	t.Helper()
	s.number++
	version := filepath.Join(s.dir, "..version-"+string(rune('a'+s.number)))
	require.NoError(t, os.Mkdir(version, 0o755))
	for name, content := range files {
		require.NoError(t, os.WriteFile(filepath.Join(version, name), content, 0o644))
		if s.number == 1 {
			require.NoError(t, os.Symlink(filepath.Join("..data", name), filepath.Join(s.dir, name)))
		}
	}
	require.NoError(t, os.Symlink(version, filepath.Join(s.dir, "..data_tmp")))
	require.NoError(t, os.Rename(filepath.Join(s.dir, "..data_tmp"), filepath.Join(s.dir, "..data")))
}

func (s *secret) path(name string) string { return filepath.Join(s.dir, name) }

// presented is the certificate that a new connection sees.
func (r *running) presented(t *testing.T) *x509.Certificate {
	t.Helper()
	c, err := tls.Dial("tcp", r.addr, &tls.Config{InsecureSkipVerify: true})
	require.NoError(t, err)
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0]
}

func (r *running) notAfterMetric(t *testing.T) int64 {
	t.Helper()
	families, err := r.registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == "specman_tls_certificate_not_after_timestamp_seconds" {
			return int64(f.GetMetric()[0].GetGauge().GetValue())
		}
	}
	require.Fail(t, "no such metric")
	return 0
}

func soon(l *limits) { l.poll = 20 * time.Millisecond }

func TestGivenCertificate(t *testing.T) {
	ca := newAuthority(t, "ca")
	files := &secret{dir: t.TempDir()}
	set := func(cert, key []byte) { files.set(t, map[string][]byte{"tls.crt": cert, "tls.key": key}) }
	firstEnd, secondEnd := time.Now().Add(time.Hour).Truncate(time.Second), time.Now().Add(2*time.Hour).Truncate(time.Second)
	set(ca.server(t, "first", firstEnd))
	s := openStore(t)
	follow(t, s, hold(t, s, "1.0.0", tree{"x.txt": "content\n"}))
	r := start(t, s, shortLimits(soon), func(o *Options) {
		o.TLS.CertFile, o.TLS.KeyFile = files.path("tls.crt"), files.path("tls.key")
	})
	name := func() string { return r.presented(t).Subject.CommonName }
	assert.Equal(t, "first", name())
	assert.Equal(t, firstEnd.Unix(), r.notAfterMetric(t))
	r.roots.AppendCertsFromPEM(ca.pem)
	client := r.client(t, 1)
	assert.Equal(t, 200, r.ask(t, client, "GET", "/x.txt").StatusCode)

	set([]byte("no certificate"), []byte("no key"))
	require.Eventually(t, func() bool { return strings.Contains(r.log.String(), "cannot use the server certificate") }, 5*time.Second, 10*time.Millisecond)
	cert, _ := ca.server(t, "other", secondEnd)
	_, key := ca.server(t, "another", secondEnd)
	set(cert, key) // they do not fit
	require.Eventually(t, func() bool { return strings.Count(r.log.String(), "cannot use the server certificate") == 2 }, 5*time.Second, 10*time.Millisecond)
	time.Sleep(100 * time.Millisecond)
	assert.Equal(t, 2, strings.Count(r.log.String(), "cannot use the server certificate"), "each is said once")
	assert.Equal(t, "first", name(), "the last good one stays")
	require.NoError(t, os.Remove(files.path("tls.crt")))
	time.Sleep(100 * time.Millisecond)
	assert.Equal(t, "first", name())
	require.NoError(t, os.Symlink("..data/tls.crt", files.path("tls.crt")))

	set(ca.server(t, "ended", time.Now().Add(-time.Minute)))
	require.Eventually(t, func() bool { return strings.Contains(r.log.String(), "it has ended") }, 5*time.Second, 10*time.Millisecond)
	assert.Equal(t, "first", name(), "one that has ended is no better than the one that has not")
	assert.Equal(t, firstEnd.Unix(), r.notAfterMetric(t))

	set(ca.server(t, "second", secondEnd))
	require.Eventually(t, func() bool { return name() == "second" }, 5*time.Second, 10*time.Millisecond)
	assert.Equal(t, secondEnd.Unix(), r.notAfterMetric(t))
	assert.Equal(t, 200, r.ask(t, client, "GET", "/x.txt").StatusCode, "open connections go on")
}

// Before one that can be verified was ever given, one that has ended is what the
// operator gave, and some clients do not look.
func TestGivenCertificateHasEndedAtTheStart(t *testing.T) {
	ca := newAuthority(t, "ca")
	files := &secret{dir: t.TempDir()}
	set := func(cert, key []byte) { files.set(t, map[string][]byte{"tls.crt": cert, "tls.key": key}) }
	set(ca.server(t, "ended", time.Now().Add(-time.Hour)))
	r := start(t, openStore(t), shortLimits(soon), func(o *Options) {
		o.TLS.CertFile, o.TLS.KeyFile = files.path("tls.crt"), files.path("tls.key")
	})
	assert.Equal(t, "ended", r.presented(t).Subject.CommonName)
	assert.Contains(t, r.log.String(), "the server certificate has ended")
	set(ca.server(t, "ended too", time.Now().Add(-time.Minute)))
	assert.Eventually(t, func() bool { return r.presented(t).Subject.CommonName == "ended too" }, 5*time.Second, 10*time.Millisecond)
}

func TestGivenCertificateIsBadAtTheStart(t *testing.T) {
	ca := newAuthority(t, "ca")
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	r := start(t, openStore(t), shortLimits(soon), func(o *Options) { o.TLS.CertFile, o.TLS.KeyFile = certFile, keyFile })
	assert.Contains(t, r.presented(t).Subject.Organization, "Specman, self-signed", "the tree is served all the same")
	assert.Contains(t, r.log.String(), "level=ERROR")
	cert, key := ca.server(t, "late", time.Now().Add(time.Hour))
	require.NoError(t, os.WriteFile(keyFile, key, 0o600))
	require.NoError(t, os.WriteFile(certFile, cert, 0o600))
	assert.Eventually(t, func() bool { return r.presented(t).Subject.CommonName == "late" }, 5*time.Second, 10*time.Millisecond)
}

func TestSelfMadeCertificate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	made := func(now time.Time, hosts ...string) *tls.Certificate {
		m := &selfMade{dir: dir, hosts: hosts, log: slog.New(slog.DiscardHandler)}
		pair, err := m.get(now)
		require.NoError(t, err)
		return pair
	}
	now := time.Now()
	hosts := []string{"specman-service", "localhost", "127.0.0.1", "::1"}
	first := made(now, hosts...)
	assert.Equal(t, x509.ECDSA, first.Leaf.PublicKeyAlgorithm)
	assert.Equal(t, elliptic.P256(), first.Leaf.PublicKey.(*ecdsa.PublicKey).Curve)
	for _, host := range hosts {
		roots := x509.NewCertPool()
		roots.AddCert(first.Leaf)
		_, err := first.Leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots})
		assert.NoError(t, err, host)
	}
	info, err := os.Stat(filepath.Join(dir, "tls.key"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	same := func(a, b *tls.Certificate) bool { return a.Leaf.Equal(b.Leaf) }
	assert.True(t, same(first, made(now, hosts...)), "kept over a restart")
	require.NoError(t, os.Chmod(filepath.Join(dir, "tls.key"), 0o660))
	assert.True(t, same(first, made(now, hosts...)), "whatever fsGroup made of the key's mode")
	assert.True(t, same(first, made(first.Leaf.NotAfter.Add(-selfMadeRenew-time.Hour), hosts...)), "until shortly before its end")
	renewed := made(first.Leaf.NotAfter.Add(-selfMadeRenew+time.Hour), hosts...)
	assert.False(t, same(first, renewed), "then it is renewed")
	assert.False(t, same(renewed, made(now.Add(-time.Hour*24*365), hosts...)), "a clock that was wrong")
	last := made(now, "elsewhere")
	assert.False(t, same(renewed, last), "other hosts")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tls.crt"), []byte("spoilt"), 0o644))
	assert.False(t, same(last, made(now, "elsewhere")))
	require.NoError(t, os.RemoveAll(dir))
	require.NoError(t, os.WriteFile(dir, nil, 0o644), "where no folder can be made")
	assert.NotNil(t, made(now, "elsewhere"), "it serves without keeping it")
}

func TestSelfMadeCertificateIsRenewedWhileServing(t *testing.T) {
	r := start(t, openStore(t), shortLimits(soon))
	old := r.presented(t)
	// As it will be in ten years: a certificate whose end is near.
	m := r.certificate.made
	near, err := (&selfMade{dir: t.TempDir(), hosts: m.hosts, log: m.log}).get(time.Now().Add(-selfMadeLife + selfMadeRenew/2))
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(m.dir))
	r.certificate.current.Store(near)
	require.Eventually(t, func() bool {
		return !r.presented(t).Equal(near.Leaf)
	}, 5*time.Second, 10*time.Millisecond)
	assert.False(t, r.presented(t).Equal(old))
	assert.Equal(t, r.presented(t).NotAfter.Unix(), r.notAfterMetric(t))
	assert.FileExists(t, filepath.Join(m.dir, "tls.crt"))
}

func TestTLS(t *testing.T) {
	r := start(t, openStore(t))
	dial := func(change func(*tls.Config)) (tls.ConnectionState, error) {
		config := r.tlsConfig("h2", "http/1.1")
		change(config)
		c, err := tls.Dial("tcp", r.addr, config)
		if err != nil {
			return tls.ConnectionState{}, err
		}
		defer c.Close()
		_, _ = c.Write([]byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n"))
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		_, _ = c.Read(make([]byte, 1)) // tickets come with the first bytes
		return c.ConnectionState(), nil
	}
	state, err := dial(func(c *tls.Config) {})
	require.NoError(t, err)
	assert.Equal(t, uint16(tls.VersionTLS13), state.Version)
	assert.Equal(t, "h2", state.NegotiatedProtocol)
	state, err = dial(func(c *tls.Config) { c.NextProtos = nil })
	require.NoError(t, err)
	assert.Empty(t, state.NegotiatedProtocol)
	state, err = dial(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 })
	require.NoError(t, err)
	assert.Equal(t, uint16(tls.VersionTLS12), state.Version)
	_, err = dial(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 })
	assert.Error(t, err)
	for _, suite := range append(tls.InsecureCipherSuites(), &tls.CipherSuite{ID: tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}) {
		_, err = dial(func(c *tls.Config) { c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{suite.ID} })
		assert.Error(t, err, suite.Name)
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		sessions := tls.NewLRUClientSessionCache(1)
		for n := range 2 {
			state, err = dial(func(c *tls.Config) {
				c.MaxVersion, c.ClientSessionCache, c.NextProtos = version, sessions, []string{"http/1.1"}
			})
			require.NoError(t, err)
			assert.Equal(t, n == 1, state.DidResume)
		}
	}
}

func TestClientCA(t *testing.T) {
	one, two := newAuthority(t, "one"), newAuthority(t, "two")
	s := openStore(t)
	follow(t, s, hold(t, s, "1.0.0", tree{"x.txt": "content\n"}))
	for _, version := range []int{1, 2} {
		file := filepath.Join(t.TempDir(), "ca.crt")
		r := start(t, s, shortLimits(soon), func(o *Options) { o.TLS.ClientCAFile = file })
		sessions := map[string]tls.ClientSessionCache{}
		get := func(who string, pair ...tls.Certificate) error {
			client := r.client(t, version)
			config := client.Transport.(*http.Transport).TLSClientConfig
			if sessions[who] == nil {
				sessions[who] = tls.NewLRUClientSessionCache(1)
			}
			config.Certificates, config.ClientSessionCache = pair, sessions[who]
			res, err := client.Get("https://" + r.addr + "/x.txt")
			if err == nil {
				assert.Equal(t, 200, res.StatusCode)
				res.Body.Close()
			}
			return err
		}
		ofOne, ofTwo := one.client(t), two.client(t)
		assert.Error(t, get("one", ofOne), "nobody is let in as long as the file cannot be read")
		require.NoError(t, os.WriteFile(file, one.pem, 0o644))
		require.Eventually(t, func() bool { return get("one", ofOne) == nil }, 5*time.Second, 10*time.Millisecond)
		assert.NoError(t, get("one", ofOne), "with a ticket")
		assert.Error(t, get("two", ofTwo))
		assert.Error(t, get("nobody"))
		certPEM, keyPEM := issue(t, &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, one)
		forServers, err := tls.X509KeyPair(certPEM, keyPEM)
		require.NoError(t, err)
		assert.Error(t, get("server", forServers), "not a client's")

		require.NoError(t, os.WriteFile(file, []byte("spoilt"), 0o644))
		require.Eventually(t, func() bool { return strings.Contains(r.log.String(), "no PEM certificate") }, 5*time.Second, 10*time.Millisecond)
		assert.NoError(t, get("one", ofOne), "the last good one stays")
		require.NoError(t, os.WriteFile(file, slices.Concat(two.pem, one.pem[:len(one.pem)/2]), 0o644))
		require.Eventually(t, func() bool { return strings.Contains(r.log.String(), "cut off") }, 5*time.Second, 10*time.Millisecond)
		assert.NoError(t, get("one", ofOne), "half a bundle locks nobody out")
		require.NoError(t, os.WriteFile(file, two.pem, 0o644))
		require.Eventually(t, func() bool { return get("two", ofTwo) == nil }, 5*time.Second, 10*time.Millisecond)
		assert.Error(t, get("one", ofOne), "a ticket does not outlive its CA")

		client := r.client(t, version)
		client.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{ofTwo}
		got := r.ask(t, client, "GET", "/@"+viewID(t, s)+"/x.txt")
		assert.Equal(t, "private, max-age=31536000, immutable", got.Header.Get("Cache-Control"))
	}
}

func htpasswd(t *testing.T, lines ...string) []byte {
	t.Helper()
	var b strings.Builder
	for _, line := range lines {
		user, password, _ := strings.Cut(line, ":")
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		require.NoError(t, err)
		b.WriteString(user + ":" + strings.Replace(string(hash), "$2a$", "$2y$", 1) + "\n") // as Apache writes it
	}
	return []byte(b.String())
}

func TestBundlesAreReadWhole(t *testing.T) {
	one, two := newAuthority(t, "one"), newAuthority(t, "two")
	notDER := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("no DER")})
	notBase64 := bytes.Replace(one.pem, []byte("\nMII"), []byte("\n!!!"), 1)
	other := pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: []byte("list")})
	for _, c := range []struct {
		say, fault string
		bundle     []byte
	}{
		{"one", "", one.pem},
		{"two, and what is between them", "", slices.Concat([]byte("# one\n"), one.pem, other, []byte("\n# two\n"), two.pem, []byte("# end"))},
		{"nothing", "no PEM certificate", nil},
		{"something else", "no PEM certificate", other},
		{"cut off", "of 2 certificates in it 1 are", slices.Concat(two.pem, one.pem[:len(one.pem)/2])},
		{"no certificate in it", "certificate 1 of it", slices.Concat(notDER, two.pem)},
		{"spoilt at the end", "of 2 certificates in it 1 are", slices.Concat(two.pem, notBase64)},
		{"spoilt in between", "of 3 certificates in it 1 are", slices.Concat(two.pem, notBase64, two.pem)},
	} {
		_, err := parseBundle(c.bundle)
		if c.fault == "" {
			assert.NoError(t, err, c.say)
		} else {
			assert.ErrorContains(t, err, c.fault, c.say)
		}
	}
}

func TestHtpasswd(t *testing.T) {
	s := openStore(t)
	follow(t, s, hold(t, s, "1.0.0", tree{"x.txt": "content\n"}))
	file := filepath.Join(t.TempDir(), "htpasswd")
	require.NoError(t, os.WriteFile(file, append([]byte("# people\n\n"), htpasswd(t, "ann:one", "bob:two", "eve:")...), 0o644))
	r := start(t, s, shortLimits(soon), func(o *Options) { o.HtpasswdFile = file })
	client := r.client(t, 2)
	login := func(user, password string) int {
		req, err := http.NewRequest("GET", "https://"+r.addr+"/x.txt", nil)
		require.NoError(t, err)
		req.SetBasicAuth(user, password)
		return do(t, client, req).StatusCode
	}
	for _, row := range []struct {
		user, password string
		want           int
	}{
		{"ann", "one", 200}, {"ann", "one", 200}, {"bob", "two", 200}, {"eve", "", 200},
		{"ann", "two", 401}, {"ann", "", 401}, {"bob", "one", 401}, {"", "", 401}, {"nobody", "one", 401}, {"nobody", "", 401},
		{"an", "none", 401}, {"ann:", "one", 401}, {"Ann", "one", 401},
	} {
		assert.Equal(t, row.want, login(row.user, row.password), "%s:%s", row.user, row.password)
	}
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "PUT"} {
		got := r.ask(t, client, method, "/x.txt")
		assert.Equal(t, 401, got.StatusCode)
		assert.Equal(t, `Basic realm="Specman", charset="UTF-8"`, got.Header.Get("Www-Authenticate"))
		assert.NotContains(t, got.body, "content")
	}
	assert.Equal(t, 401, r.ask(t, client, "GET", "/x.txt", "Authorization: Bearer x").StatusCode)
	req, err := http.NewRequest("GET", "https://"+r.addr+"/@"+viewID(t, s)+"/x.txt", nil)
	require.NoError(t, err)
	req.SetBasicAuth("ann", "one")
	assert.Equal(t, "private, max-age=31536000, immutable", do(t, client, req).Header.Get("Cache-Control"))

	require.NoError(t, os.WriteFile(file, []byte("ann:{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=\n"), 0o644))
	require.Eventually(t, func() bool { return strings.Contains(r.log.String(), "not a bcrypt hash") }, 5*time.Second, 10*time.Millisecond)
	assert.Equal(t, 200, login("ann", "one"), "the last good file stays")
	require.NoError(t, os.WriteFile(file, []byte("# nobody\n"), 0o644))
	require.Eventually(t, func() bool { return strings.Contains(r.log.String(), "no user in it") }, 5*time.Second, 10*time.Millisecond)
	assert.Equal(t, 200, login("ann", "one"), "an empty one is none")
	require.Len(t, r.BadFiles(), 1)
	assert.EqualError(t, r.BadFiles()[0], "htpasswd file: there is no user in it")
	require.NoError(t, os.WriteFile(file, htpasswd(t, "ann:new"), 0o644))
	require.Eventually(t, func() bool { return login("ann", "new") == 200 }, 5*time.Second, 10*time.Millisecond)
	assert.Equal(t, 401, login("ann", "one"), "what was verified before is not remembered")
	assert.Equal(t, 401, login("bob", "two"))
	assert.Empty(t, r.BadFiles())
}

func TestHtpasswdThatIsNotThere(t *testing.T) {
	s := openStore(t)
	follow(t, s, hold(t, s, "1.0.0", tree{"x.txt": "content\n"}))
	file := filepath.Join(t.TempDir(), "htpasswd")
	r := start(t, s, shortLimits(soon), func(o *Options) { o.HtpasswdFile = file })
	client := r.client(t, 1)
	login := func() int {
		req, err := http.NewRequest("GET", "https://"+r.addr+"/x.txt", nil)
		require.NoError(t, err)
		req.SetBasicAuth("ann", "one")
		return do(t, client, req).StatusCode
	}
	assert.Equal(t, 401, login(), "nobody is let in")
	require.NoError(t, os.WriteFile(file, htpasswd(t, "ann:one"), 0o644))
	assert.Eventually(t, func() bool { return login() == 200 }, 5*time.Second, 10*time.Millisecond)
}

// A password is computed once, and an unknown user is computed too.
func TestPasswordsAreVerifiedOnce(t *testing.T) {
	p, err := parseHtpasswd(htpasswd(t, "ann:one"))
	require.NoError(t, err)
	u := &users{slots: make(chan struct{}, 1)}
	u.current.Store(p)
	allow := func(user, password string) bool {
		req, err := http.NewRequest("GET", "/", nil)
		require.NoError(t, err)
		req.SetBasicAuth(user, password)
		return u.allow(req)
	}
	assert.True(t, allow("ann", "one"))
	p.hashes["ann"] = []byte("no hash") // would refuse, if it were asked
	assert.True(t, allow("ann", "one"))
	assert.False(t, allow("ann", "two"))
	cost, err := bcrypt.Cost(p.decoy)
	require.NoError(t, err)
	assert.Equal(t, bcrypt.MinCost, cost)
	assert.False(t, allow("nobody", "one"), "not even with the password of the decoy")
}

func viewID(t *testing.T, views Views) string {
	t.Helper()
	v := views.Acquire()
	require.NotNil(t, v)
	defer v.Close()
	return v.ID()
}

func TestMetricsAndAccessLog(t *testing.T) {
	s := openStore(t)
	follow(t, s, hold(t, s, "1.0.0", tree{"x.txt": "content\n", "large.bin": strings.Repeat("x", 300<<10)}))
	r := start(t, s, func(o *Options) { o.AccessLog = true })
	count, err := testutil.GatherAndCount(r.registry, "specman_http_requests_total")
	require.NoError(t, err)
	assert.Equal(t, 4*len(codes), count, "every series is there from the start")

	client := r.client(t, 1)
	etag := r.ask(t, client, "GET", "/x.txt").Header.Get("Etag")
	r.ask(t, client, "GET", "/x.txt?a=\"b\"", "User-Agent: me\tand you")
	r.ask(t, client, "GET", "/x.txt", "If-None-Match: "+etag)
	r.ask(t, client, "GET", "/large.bin", "Range: bytes=0-9")
	r.ask(t, client, "HEAD", "/x.txt")
	r.ask(t, client, "OPTIONS", "/x.txt")
	r.ask(t, client, "BREW", "/x.txt")
	r.ask(t, client, "GET", "/nothing")
	want := map[string]float64{"GET 200": 2, "GET 304": 1, "GET 206": 1, "HEAD 200": 1, "OPTIONS 204": 1, "other 405": 1, "GET 404": 1}
	require.Eventually(t, func() bool { return testutil.ToFloat64(r.metrics.get.requests[404]) == 1 }, time.Second, time.Millisecond)
	for method, m := range map[string]*methodMetrics{"GET": &r.metrics.get, "HEAD": &r.metrics.head, "OPTIONS": &r.metrics.options, "other": &r.metrics.other} {
		for _, code := range codes {
			assert.Equal(t, want[method+" "+strconv.Itoa(code)], testutil.ToFloat64(m.requests[code]), "%s %d", method, code)
		}
	}
	errors := len("405 Method Not Allowed: only GET, HEAD and OPTIONS are answered here\n") + len("404 Not Found: there is no such path in this tree\n")
	assert.Equal(t, float64(2*len("content\n")+10+errors), testutil.ToFloat64(r.metrics.bytes))
	assert.Zero(t, testutil.ToFloat64(r.metrics.inFlight))
	assert.Equal(t, 1.0, testutil.ToFloat64(r.metrics.cacheMisses))
	assert.Equal(t, 2.0, testutil.ToFloat64(r.metrics.cacheHits), "GET and HEAD; a 304 needs no body, and a large file has no place there")
	durations, err := testutil.GatherAndCount(r.registry, "specman_http_request_duration_seconds")
	require.NoError(t, err)
	assert.Equal(t, 4, durations)

	log := r.log.String()
	assert.Equal(t, 8, strings.Count(log, "msg=request"))
	assert.Contains(t, log, `method=GET target="/x.txt?a=\"b\"" proto=HTTP/1.1 status=200 bytes=8 took=`)
	assert.Contains(t, log, `agent="me\tand you"`, "nothing gets out of its line")
	assert.Contains(t, log, "method=BREW target=/x.txt proto=HTTP/1.1 status=405")
}

func TestOptionsThatCannotBe(t *testing.T) {
	s := openStore(t)
	good := Options{Views: s, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()}
	for say, change := range map[string]func(*Options){
		"no views":    func(o *Options) { o.Views = nil },
		"no logger":   func(o *Options) { o.Logger = nil },
		"half a pair": func(o *Options) { o.TLS.CertFile = "tls.crt" },
	} {
		opts := good
		change(&opts)
		_, err := New(opts)
		assert.Error(t, err, say)
	}
}
