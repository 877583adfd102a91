package kube

import (
	"crypto/tls"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// How long a part of the cluster may take to come up. It takes seconds; the rest is
// for a machine that compiles something beside.
const startTimeout = 2 * time.Minute

// A Cluster is a running Kubernetes.
type Cluster struct {
	Tools Tools

	t          testing.TB
	dir        string
	pki        *pki
	address    net.IP // of the API server, and of the node
	apiPort    int
	kubeconfig string
	client     *http.Client
	url        string
}

// StartControlPlane runs the control plane alone, and plays its pods.
func StartControlPlane(t testing.TB, tools Tools) *Cluster {
	t.Helper()
	c := startControlPlane(t, tools, net.IPv4(127, 0, 0, 1), "--controllers=*,-node-lifecycle-controller")
	c.playPods()
	return c
}

func startControlPlane(t testing.TB, tools Tools, address net.IP, controllers ...string) *Cluster {
	t.Helper()
	// Not the test's own folder: its name is longer than that of a socket may be.
	dir, err := os.MkdirTemp("", "kube-")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	c := &Cluster{Tools: tools, t: t, dir: dir, address: address, pki: newPKI(t, dir), kubeconfig: filepath.Join(dir, "kubeconfig")}

	admin := c.pki.issue("admin", pkix.Name{CommonName: "admin", Organization: []string{"system:masters"}})
	c.pki.issue("apiserver", pkix.Name{CommonName: "apiserver"}, address, net.IPv4(127, 0, 0, 1), net.IPv4(10, 96, 0, 1))
	c.pki.issue("accounts", pkix.Name{CommonName: "accounts"})
	c.client = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: c.pki.pool, Certificates: []tls.Certificate{admin}},
	}}

	etcd, peers := freePort(t), freePort(t)
	etcdURL := fmt.Sprintf("http://127.0.0.1:%d", etcd)
	peerURL := fmt.Sprintf("http://127.0.0.1:%d", peers)
	c.run("etcd", nil, "--data-dir="+c.file("etcd"), "--listen-client-urls="+etcdURL, "--advertise-client-urls="+etcdURL,
		"--listen-peer-urls="+peerURL, "--initial-advertise-peer-urls="+peerURL, "--initial-cluster=default="+peerURL, "--unsafe-no-fsync=true")
	c.await("etcd", func() error { return get(http.DefaultClient, etcdURL+"/health") })

	c.apiPort = freePort(t)
	c.url = fmt.Sprintf("https://%s", net.JoinHostPort(address.String(), fmt.Sprint(c.apiPort)))
	c.writeKubeconfig()
	c.run("kube-apiserver", nil, "--etcd-servers="+etcdURL, "--bind-address="+address.String(), fmt.Sprintf("--secure-port=%d", c.apiPort),
		"--endpoint-reconciler-type=none", "--service-cluster-ip-range=10.96.0.0/16",
		"--tls-cert-file="+c.file("apiserver.crt"), "--tls-private-key-file="+c.file("apiserver.key"), "--client-ca-file="+c.file("ca.crt"),
		"--kubelet-client-certificate="+c.file("admin.crt"), "--kubelet-client-key="+c.file("admin.key"), "--kubelet-preferred-address-types=InternalIP",
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file="+c.file("accounts.crt"),
		"--service-account-signing-key-file="+c.file("accounts.key"), "--authorization-mode=RBAC", "--cert-dir="+c.file("certs"))
	c.await("the API server", func() error { return get(c.client, c.url+"/readyz") })

	// As quick as the disk: their own limits, for large clusters, double a start.
	quick := []string{"--kubeconfig=" + c.kubeconfig, "--leader-elect=false", "--kube-api-qps=500", "--kube-api-burst=1000", "--secure-port=0"}
	c.run("kube-controller-manager", nil, append(append(quick, "--service-account-private-key-file="+c.file("accounts.key"),
		"--root-ca-file="+c.file("ca.crt"), "--cluster-signing-cert-file=", "--cluster-signing-key-file="), controllers...)...)
	c.run("kube-scheduler", nil, quick...)
	// Pods are refused until their namespace has its account.
	c.await("the controllers", func() error { return get(c.client, c.url+"/api/v1/namespaces/default/serviceaccounts/default") })
	return c
}

func (c *Cluster) file(name string) string { return filepath.Join(c.dir, name) }

func (c *Cluster) writeKubeconfig() {
	content := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: test
contexts: [{name: test, context: {cluster: test, user: admin}}]
clusters: [{name: test, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: admin, user: {client-certificate: %q, client-key: %q}}]
`, c.url, c.file("ca.crt"), c.file("admin.crt"), c.file("admin.key"))
	require.NoError(c.t, os.WriteFile(c.kubeconfig, []byte(content), 0o600))
}

// run starts a part of Kubernetes, by its name, and ends it with the test.
func (c *Cluster) run(name string, env []string, args ...string) {
	c.t.Helper()
	cmd := exec.Command(c.Tools.Kube, args...)
	cmd.Args[0] = name
	c.start(name, cmd, env)
}

// start starts any program, logs to a file that a failed test prints, and ends it
// with the test.
func (c *Cluster) start(name string, cmd *exec.Cmd, env []string) {
	c.t.Helper()
	log, err := os.Create(c.file(name + ".log"))
	require.NoError(c.t, err)
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, c.dir
	cmd.Env = append(os.Environ(), env...)
	// A test that dies, for instance of its timeout, runs no cleanup.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(c.t, cmd.Start())
	c.t.Cleanup(func() {
		_ = cmd.Process.Kill() // there is nothing that an orderly end would save
		_ = cmd.Wait()
		log.Close()
		if c.t.Failed() {
			c.t.Logf("the end of %s's log:\n%s", name, tail(log.Name(), 40))
		}
	})
}

// await asks again and again until ask returns no error.
func (c *Cluster) await(what string, ask func() error) {
	c.t.Helper()
	Await(c.t, startTimeout, what, ask)
}

// Await asks again and again, and fails the test with the last answer when it took
// too long.
func Await(t testing.TB, timeout time.Duration, what string, ask func() error) {
	t.Helper()
	deadline := time.Now().Add(timeout)
	for {
		err := ask()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			require.NoError(t, err, "waited %s for %s", timeout, what)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func get(client *http.Client, url string) error {
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", url, response.Status)
	}
	return nil
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// tail returns the last lines of a file.
func tail(path string, lines int) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(content)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
