//go:build kube

package kube_test

import (
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"github.com/specman/specman/internal/testenv"
)

const (
	zotHost    = "zot.registry.svc"
	zotPort    = "5000"
	repository = "spectro-packs/spectro-manifests/manifest"
)

// Both users that the registry knows from the start.
var users = map[string]string{"palette": "first secret", "robot$next": "second secret"}

// A registry is a zot in the cluster, over TLS with a private CA, with logins.
type registry struct {
	ca        *testenv.CA
	clusterIP string
}

func startZot(t *testing.T, s *site) *registry {
	t.Helper()
	r := &registry{ca: testenv.NewCA(t)}
	pair := r.ca.Server(t, nil, zotHost)
	var htpasswd strings.Builder
	for user, password := range users {
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		require.NoError(t, err)
		fmt.Fprintf(&htpasswd, "%s:%s\n", user, hash)
	}
	s.Kubectl("create", "namespace", "registry")
	s.Kubectl("create", "secret", "generic", "zot", "--namespace", "registry",
		"--from-file=tls.crt="+pair.CertFile, "--from-file=tls.key="+pair.KeyFile, "--from-literal=htpasswd="+htpasswd.String(),
		`--from-literal=config.json={"distSpecVersion": "1.0.1-dev", "storage": {"rootDirectory": "/data", "gc": false, "dedupe": false}, "log": {"level": "info"},
			"http": {"address": "0.0.0.0", "port": "`+zotPort+`", "tls": {"cert": "/zot/tls.crt", "key": "/zot/tls.key"}, "auth": {"htpasswd": {"path": "/zot/htpasswd"}}}}`)
	s.Apply(fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: zot, namespace: registry}
spec: {selector: {app: zot}, ports: [{port: %[1]s}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: zot, namespace: registry}
spec:
  selector: {matchLabels: {app: zot}}
  template:
    metadata: {labels: {app: zot}}
    spec:
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 0
      containers:
      - name: zot
        image: %[2]s
        imagePullPolicy: Never
        args: [serve, /zot/config.json]
        readinessProbe: {tcpSocket: {port: %[1]s}, periodSeconds: 1}
        volumeMounts: [{name: zot, mountPath: /zot}, {name: data, mountPath: /data}]
      volumes:
      - {name: zot, secret: {secretName: zot}}
      - {name: data, emptyDir: {}}
`, zotPort, zotImage))
	s.Kubectl("rollout", "status", "deployment/zot", "--namespace", "registry", "--timeout=90s")
	r.clusterIP = s.Kubectl("get", "service", "zot", "--namespace", "registry", "-o", "jsonpath={.spec.clusterIP}")
	s.Resolve(zotHost, r.clusterIP)
	return r
}

// push packs files as the migration guide does, and pushes them with the real oras.
func (r *registry) push(t *testing.T, tag string, files map[string]string) {
	t.Helper()
	www, dir := t.TempDir(), t.TempDir()
	for path, content := range files {
		file := filepath.Join(www, path)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(content), 0o644))
	}
	out, err := exec.Command("tar", "-C", www, "-czf", filepath.Join(dir, "manifests.tgz"), ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	testenv.Oras(t, dir, "push", "--image-spec", "v1.0", "--ca-file", r.ca.File, "--username", "palette", "--password", users["palette"],
		zotHost+":"+zotPort+"/"+repository+":"+tag, "manifests.tgz")
}

// login is Palette's block with this user, in Palette's encodings.
func (r *registry) login(t *testing.T, user, password string) []string {
	t.Helper()
	ca, err := os.ReadFile(r.ca.File)
	require.NoError(t, err)
	encode := base64.StdEncoding.EncodeToString
	return []string{
		"--set", "ociPackRegistry.endpoint=https://" + zotHost + ":" + zotPort, "--set", "ociPackRegistry.baseContentPath=spectro-packs",
		"--set", "ociPackRegistry.caCert=" + encode(ca),
		"--set", "ociPackRegistry.username=" + user, "--set", "ociPackRegistry.password=" + encode([]byte(password)),
		"--set", "hostAliases[0].ip=" + r.clusterIP, "--set", "hostAliases[0].hostnames={" + zotHost + "}",
	}
}
