package kube

import (
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// StartNode runs the control plane and a node. It works inside of [Enter]'s
// namespaces only.
func StartNode(t testing.TB, tools Tools) *Cluster {
	t.Helper()
	require.True(t, Entered(), "a node needs the namespaces of Enter")
	c := startControlPlane(t, tools, net.ParseIP(NodeAddress))
	containerd := c.startContainerd()
	for _, image := range tools.Images {
		out, err := exec.Command(c.debian("usr/bin/ctr"), "--address", containerd, "--namespace", "k8s.io", "images", "import", image).CombinedOutput()
		require.NoError(t, err, "importing %s: %s", image, out)
	}
	c.startKubelet(containerd)
	c.startProxy()
	c.await("the node", func() error {
		out, err := c.TryKubectl("", "get", "node", "node", "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
		if err == nil && out != "True" {
			err = errors.New("the node is not ready")
		}
		return err
	})
	return c
}

func (c *Cluster) debian(path string) string { return filepath.Join(c.Tools.Debian, path) }

func (c *Cluster) write(name, content string) string {
	c.t.Helper()
	file := c.file(name)
	require.NoError(c.t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(c.t, os.WriteFile(file, []byte(content), 0o644))
	return file
}

func (c *Cluster) startContainerd() (socket string) {
	c.t.Helper()
	socket = c.file("containerd.sock")
	c.write("cni/bridge.conflist", `{"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "bridge", "bridge": "cni0", "isDefaultGateway": true, "ipMasq": false,
		"ipam": {"type": "host-local", "dataDir": "`+c.file("cni-state")+`", "ranges": [[{"subnet": "10.244.0.0/16"}]]}}]}`)
	config := c.write("containerd.toml", fmt.Sprintf(`version = 2
root = %q
state = %q
[grpc]
address = %q
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = %q
# Without it no pod starts where root may not lower its score.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = %q
conf_dir = %q
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = %q
[plugins."io.containerd.internal.v1.opt"]
path = %q
`, c.file("images"), c.file("state"), socket, PauseImage, c.debian("usr/lib/cni"), c.file("cni"), c.debian("usr/sbin/runc"), c.file("opt")))
	path := "PATH=" + c.debian("usr/bin") + ":" + os.Getenv("PATH") // for its shim
	c.start("containerd", exec.Command(c.debian("usr/bin/containerd"), "--config", config), []string{path})
	c.await("containerd", func() error {
		out, err := exec.Command(c.debian("usr/bin/ctr"), "--address", socket, "version").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	// The shims outlive containerd, and the containers' mounts would outlive the test.
	c.t.Cleanup(func() { unmountBelow(c.dir) })
	return socket
}

func (c *Cluster) startKubelet(containerd string) {
	c.t.Helper()
	c.pki.issue("kubelet", pkix.Name{CommonName: "system:node:node", Organization: []string{"system:nodes"}}, c.address)
	config := c.write("kubelet.yaml", fmt.Sprintf(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix://%s
address: %s
authentication: {anonymous: {enabled: false}, webhook: {enabled: false}, x509: {clientCAFile: %s}}
authorization: {mode: AlwaysAllow}
tlsCertFile: %s
tlsPrivateKeyFile: %s
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
# How soon a changed Secret shows in a pod, instead of after a minute.
syncFrequency: 5s
evictionHard: {memory.available: 0%%, nodefs.available: 0%%, imagefs.available: 0%%, nodefs.inodesFree: 0%%}
imageGCHighThresholdPercent: 100
resolvConf: %s
podLogsDir: %s
`, containerd, c.address, c.file("ca.crt"), c.file("kubelet.crt"), c.file("kubelet.key"),
		c.write("resolv.conf", "nameserver 127.0.0.1\n"), c.file("logs")))
	c.run("kubelet", nil, "--config="+config, "--kubeconfig="+c.kubeconfig, "--root-dir="+c.file("kubelet"),
		"--hostname-override=node", "--node-ip="+c.address.String())
}

func (c *Cluster) startProxy() {
	c.t.Helper()
	config := c.write("proxy.yaml", fmt.Sprintf(`apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: %s}
mode: nftables
clusterCIDR: 10.244.0.0/16
healthzBindAddress: 127.0.0.1:10256
# Pods of one bridge would answer each other past the node, which translates.
nftables: {masqueradeAll: true}
conntrack: {maxPerCore: 0, min: 0}
`, c.kubeconfig))
	c.run("kube-proxy", []string{
		"PATH=" + c.debian("usr/sbin") + ":" + os.Getenv("PATH"),
		"LD_LIBRARY_PATH=" + strings.Join(c.libraries(), ":"),
	}, "--config="+config, "--hostname-override=node")
	c.await("kube-proxy", func() error { return get(http.DefaultClient, "http://127.0.0.1:10256/healthz") })
}

// libraries are the folders with the libraries of the unpacked programs.
func (c *Cluster) libraries() []string {
	c.t.Helper()
	dirs, err := filepath.Glob(c.debian("usr/lib/*-linux-gnu"))
	require.NoError(c.t, err)
	return dirs
}

// Resolve lets every program of the namespaces, but no pod, find a Service by a name.
func (c *Cluster) Resolve(name, address string) {
	c.t.Helper()
	hosts, err := os.OpenFile(hostsFile, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(c.t, err)
	defer hosts.Close()
	_, err = fmt.Fprintln(hosts, address, name)
	require.NoError(c.t, err)
}

// Ctr runs containerd's own client on the node.
func (c *Cluster) Ctr(args ...string) string {
	c.t.Helper()
	all := append([]string{"--address", c.file("containerd.sock"), "--namespace", "k8s.io"}, args...)
	out, err := exec.Command(c.debian("usr/bin/ctr"), all...).CombinedOutput()
	require.NoError(c.t, err, "ctr %q: %s", args, out)
	return string(out)
}

// unmountBelow unmounts everything below dir, the innermost first.
func unmountBelow(dir string) {
	content, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return
	}
	lines := strings.Split(string(content), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if fields := strings.Fields(lines[i]); len(fields) > 1 && strings.HasPrefix(fields[1], dir+"/") {
			_ = exec.Command("umount", "--lazy", fields[1]).Run() // what is left ends with the namespace
		}
	}
}
