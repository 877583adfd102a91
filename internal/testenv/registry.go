// Package testenv starts the real programs that Specman lives with: the
// registries zot and distribution, and the oras command line, for tests of any
// package, and makes what such tests need: certificates, archives, a log to read.
//
// Everything listens on 127.0.0.1 only, keeps its files in the test's temporary
// folder, and ends with the test, however that ends. A program that is missing is
// built (see the package tools); no test is skipped for want of one.
package testenv

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"github.com/specman/specman/internal/testenv/tools"
)

// How long a registry may take to come up or go down. On a quiet machine it is
// well below a second; the rest is for one that runs every other test as well.
const (
	startTimeout = 60 * time.Second
	stopTimeout  = 10 * time.Second
)

// Options say how a registry runs. The zero value is plain HTTP, open to everybody.
type Options struct {
	// Dir is the storage; empty for a temporary folder.
	Dir string
	// CA makes the registry speak TLS, with a certificate for 127.0.0.1 and
	// localhost that this CA issues.
	CA *CA
	// ClientCA, beside CA, makes it ask clients for a certificate of this CA.
	ClientCA *CA
	// Username and Password, if set, are the only login, by HTTP basic auth.
	Username, Password string
	// Token makes distribution hand clients on to a token server, in place of
	// basic auth.
	Token *TokenAuth
}

// TokenAuth names the token server whose tokens a registry believes.
type TokenAuth struct {
	Realm   string // the token server's URL
	Service string // the audience of its tokens
	Issuer  string // their issuer

	// At least one of the two says which keys may sign tokens.
	RootCertBundle string // PEM certificates that tokens carry in x5c
	JWKS           string // JSON Web Key Set
}

// A Registry is a real registry in a process of its own.
type Registry struct {
	Host               string // host:port
	URL                string // http://host:port or https://host:port
	CAFile             string // empty for plain HTTP
	Username, Password string
	Client             Pair   // a client's certificate, with Options.ClientCA
	Dir                string // the storage

	t       testing.TB
	command []string
	log     *os.File
	client  *http.Client
	process *process
}

// A process is one run of a registry.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when the process has ended
}

// newRegistry fills in all but the command.
func newRegistry(t testing.TB, o Options) *Registry {
	t.Helper()
	r := &Registry{
		Host:     fmt.Sprintf("127.0.0.1:%d", reservePort(t)),
		Username: o.Username,
		Password: o.Password,
		Dir:      o.Dir,
		t:        t,
	}
	if r.Dir == "" {
		r.Dir = t.TempDir()
	}
	r.URL = "http://" + r.Host
	transport := &http.Transport{DisableKeepAlives: true}
	if o.CA != nil {
		r.URL = "https://" + r.Host
		r.CAFile = o.CA.File
		transport.TLSClientConfig = &tls.Config{RootCAs: o.CA.Pool}
		if o.ClientCA != nil {
			r.Client = o.ClientCA.Client(t, "testenv")
			transport.TLSClientConfig.Certificates = []tls.Certificate{r.Client.Load(t)}
		}
	}
	r.client = &http.Client{Transport: transport, Timeout: 5 * time.Second}
	return r
}

// serve starts the tool with these arguments and sees to its end.
func (r *Registry) serve(tool string, args ...string) {
	r.t.Helper()
	r.command = append([]string{program(r.t, tool)}, args...)
	log, err := os.Create(filepath.Join(r.t.TempDir(), tool+".log"))
	require.NoError(r.t, err)
	r.log = log
	r.t.Cleanup(func() {
		r.Stop()
		if r.t.Failed() {
			r.t.Logf("log of %s at %s:\n%s", tool, r.URL, tail(log.Name()))
		}
		log.Close()
	})
	r.Start()
}

// Start runs the registry again after [Registry.Stop], at the same address with
// the same storage, and returns when it answers.
func (r *Registry) Start() {
	r.t.Helper()
	require.Nil(r.t, r.process, "the registry is already running")
	cmd := exec.Command(r.command[0], r.command[1:]...)
	cmd.Stdout, cmd.Stderr = r.log, r.log
	// Nothing of the caller's environment: distribution takes its settings from
	// REGISTRY_* before its file.
	cmd.Env = []string{"HOME=" + r.Dir, "OTEL_TRACES_EXPORTER=none"}
	// A test binary that dies, for instance of its timeout, runs no cleanup.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(r.t, cmd.Start())
	p := &process{cmd: cmd, exited: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended says nothing: it is killed in the end
		close(p.exited)
	}()
	r.process = p
	r.waitReady()
}

// waitReady returns when the registry answers with what tells a registry.
func (r *Registry) waitReady() {
	r.t.Helper()
	deadline := time.Now().Add(startTimeout)
	for {
		response, err := r.client.Get(r.URL + "/v2/")
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK || response.StatusCode == http.StatusUnauthorized {
				return
			}
			err = fmt.Errorf("GET /v2/: %s", response.Status)
		}
		select {
		case <-r.process.exited:
			require.FailNow(r.t, "the registry ended at its start", "%s:\n%s", r.command, tail(r.log.Name()))
		case <-time.After(20 * time.Millisecond):
		}
		require.False(r.t, time.Now().After(deadline), "the registry does not answer after %s: %v", startTimeout, err)
	}
}

// Stop ends the registry; until [Registry.Start] its address refuses connections.
func (r *Registry) Stop() {
	r.t.Helper()
	p := r.process
	if p == nil {
		return
	}
	r.process = nil
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
}

// Repo returns the reference of a repository: host:port/name.
func (r *Registry) Repo(name string) string { return r.Host + "/" + name }

// program returns the path of a tool, built if need be.
func program(t testing.TB, name string) string {
	t.Helper()
	path, err := tools.Build(t.Context(), name)
	require.NoError(t, err)
	return path
}

// htpasswd writes the login as a password file and returns its path.
func (o Options) htpasswd(t testing.TB) string {
	t.Helper()
	// The least cost: tests log in often, and the password is no secret.
	hash, err := bcrypt.GenerateFromPassword([]byte(o.Password), bcrypt.MinCost)
	require.NoError(t, err)
	return writeFile(t, "htpasswd", []byte(o.Username+":"+string(hash)+"\n"))
}

// serverPair issues the registry's own certificate.
func (o Options) serverPair(t testing.TB) Pair {
	t.Helper()
	return o.CA.Server(t, nil)
}

func writeFile(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, content, 0o600))
	return path
}

// tail returns the end of a log, which is where the fault is.
func tail(path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	const most = 16 << 10
	if len(content) > most {
		content = content[len(content)-most:]
	}
	return string(content)
}
