package kube

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Tools are the programs that a cluster is made of and worked with.
type Tools struct {
	Kube string // all of Kubernetes, and etcd, by their names
	Helm string

	// The rest is for a node.
	Debian string // where containerd, runc, the CNI plugins and nft are unpacked
	Images []string
}

// With is the same cluster for a subtest, which its failures then belong to.
func (c *Cluster) With(t testing.TB) *Cluster {
	other := *c
	other.t = t
	return &other
}

// Kubectl runs kubectl and returns its standard output; it fails the test if kubectl
// fails.
func (c *Cluster) Kubectl(args ...string) string {
	c.t.Helper()
	out, err := c.TryKubectl("", args...)
	require.NoError(c.t, err)
	return out
}

// Apply gives manifests to kubectl.
func (c *Cluster) Apply(manifests string, args ...string) string {
	c.t.Helper()
	out, err := c.TryKubectl(manifests, append([]string{"apply", "-f", "-"}, args...)...)
	require.NoError(c.t, err)
	return out
}

// TryKubectl returns what kubectl printed and, on an error, what it said.
func (c *Cluster) TryKubectl(stdin string, args ...string) (string, error) {
	cmd := exec.Command(c.Tools.Kube, args...)
	cmd.Args[0] = "kubectl"
	return c.command(cmd, stdin)
}

// Helm runs helm and returns its standard output; it fails the test if helm fails.
func (c *Cluster) Helm(args ...string) string {
	c.t.Helper()
	out, err := c.TryHelm(args...)
	require.NoError(c.t, err)
	return out
}

// TryHelm returns what helm printed and, on an error, what it said.
func (c *Cluster) TryHelm(args ...string) (string, error) {
	return c.command(exec.Command(c.Tools.Helm, args...), "")
}

// command runs a client of the cluster.
func (c *Cluster) command(cmd *exec.Cmd, stdin string) (string, error) {
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = []string{"KUBECONFIG=" + c.kubeconfig, "HOME=" + c.dir, "PATH=" + os.Getenv("PATH")}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w\n%s", filepath.Base(cmd.Args[0]), strings.Join(cmd.Args[1:], " "), err, stderr.String())
	}
	// Warnings are how Pod Security tells of what it would not admit.
	if warnings := stderr.String(); strings.Contains(warnings, "would violate PodSecurity") {
		return stdout.String(), fmt.Errorf("%s %s: %s", filepath.Base(cmd.Args[0]), strings.Join(cmd.Args[1:], " "), warnings)
	}
	return stdout.String(), nil
}
