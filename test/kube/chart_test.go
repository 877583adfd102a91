//go:build kube

package kube_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/testenv/kube"
	"github.com/specman/specman/internal/testenv/tools"
)

// TestChart is what the API server and the controllers decide; the pods are played.
// The steps are one operator's, each on what the one before left.
func TestChart(t *testing.T) {
	s := newSite(t, kube.StartControlPlane(t, given.Tools))
	// Each claim takes one for good: what is retained is bound to nobody else.
	s.volumes("played", "/volumes/a", "/volumes/b", "/volumes/c", "/volumes/d", "/volumes/e")
	step := s.step

	step("every set of values is taken by the real API, with the real CRDs", func(s *site) {
		s.Kubectl("apply", "--server-side", "-f", filepath.Join(given.CertManager, "deploy", "crds", "cert-manager.io_certificates.yaml"))
		s.Kubectl("apply", "--server-side", "-f", filepath.Join(given.PrometheusOperator, "example", "prometheus-operator-crd", "monitoring.coreos.com_servicemonitors.yaml"))
		s.Kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
		sets, err := filepath.Glob(filepath.Join(given.Checkout, "deploy", "helm", "testdata", "*.values.yaml"))
		require.NoError(s.t, err)
		require.NotEmpty(s.t, sets)
		for _, set := range sets {
			manifests := s.helm("template", "any", chart(), "--no-hooks", "--kube-version", tools.KubernetesVersion, "--values", set)
			_, err := s.TryKubectl(manifests, "apply", "--dry-run=server", "--validate=strict", "-f", "-")
			assert.NoError(s.t, err, set)
		}
	})

	step("Palette's own Specman is not overrun", func(s *site) {
		s.Apply(palettes)
		_, err := s.tryHelm("install", "specman", chart())
		require.ErrorContains(s.t, err, "StatefulSet specman in namespace hubble-system is not of this release")
		require.ErrorContains(s.t, err, "--set fullnameOverride=specman-oci")
		require.ErrorContains(s.t, err, "https://specman-oci-service.hubble-system.svc.cluster.local:8443")
		assert.Empty(s.t, s.helm("list", "--all", "--short"), "nothing was changed")
	})

	step("it is installed beside it", func(s *site) {
		notes := s.helm("install", "beside", chart(), "--wait", "--timeout=60s", "--set", "fullnameOverride=specman-oci")
		assert.Contains(s.t, notes, "https://specman-oci-service.hubble-system.svc.cluster.local:8443")
		assert.Contains(s.t, notes, "polls NOTHING")
		s.helm("uninstall", "beside", "--wait")
	})

	step("it takes over, as the docs say", func(s *site) {
		clusterIP := s.field("service/specman-service", ".spec.clusterIP")
		s.kubectl("delete", "statefulset", "specman", "--wait")
		s.helm("install", "specman", chart(), "--wait", "--timeout=60s", "--take-ownership", "--set", "checkOwnership=false")
		assert.Equal(s.t, clusterIP, s.field("service/specman-service", ".spec.clusterIP"), "who has resolved the name goes on")
		s.helm("uninstall", "specman", "--wait")
		s.kubectl("delete", "pvc", "--all")
	})

	step("it is installed under any release name", func(s *site) {
		s.helm("install", "whatever", chart(), "--wait", "--timeout=60s")
		assert.Equal(s.t, "Running", s.field("pod/specman-0", ".status.phase"))
		assert.Equal(s.t, "8443", s.field("service/specman-service", ".spec.ports[0].port"))
		assert.Equal(s.t, "spectro-specman", s.field("pod/specman-0", ".spec.serviceAccountName"))
		assert.Equal(s.t, "10Gi", s.field("pvc/store-specman-0", ".spec.resources.requests.storage"))
		for _, volume := range lines(s.field("pod/specman-0", "range .spec.volumes[*]}{.name}{\"\\n\"}{end")) {
			assert.NotContains(s.t, volume, "kube-api-access", "no token of the API")
		}
	})

	step("an upgrade with the same values changes neither pod nor certificate", func(s *site) {
		pod, certificate := s.identity("specman-0"), s.field("secret/specman-self-signed", ".data.tls\\.crt")
		s.helm("upgrade", "whatever", chart(), "--wait", "--timeout=60s")
		assert.Equal(s.t, pod, s.identity("specman-0"))
		assert.Equal(s.t, certificate, s.field("secret/specman-self-signed", ".data.tls\\.crt"))
	})

	step("other names make another certificate", func(s *site) {
		certificate := s.field("secret/specman-self-signed", ".data.tls\\.crt")
		s.helm("upgrade", "whatever", chart(), "--wait", "--timeout=60s", "--set", "tls.hosts={specman.example.com}")
		assert.NotEqual(s.t, certificate, s.field("secret/specman-self-signed", ".data.tls\\.crt"))
	})

	step("a failing upgrade is rolled back", func(s *site) {
		_, err := s.tryHelm("upgrade", "whatever", chart(), "--wait", "--timeout=8s", "--set", "image.tag="+kube.BrokenImage)
		require.Error(s.t, err, "the new pod never gets ready")
		s.helm("rollback", "whatever", "--wait", "--timeout=60s")
		assert.NotContains(s.t, s.field("pod/specman-0", ".spec.containers[0].image"), kube.BrokenImage)
	})

	step("more replicas come with a budget and sticky clients", func(s *site) {
		s.helm("upgrade", "whatever", chart(), "--wait", "--timeout=60s", "--set", "replicas=2")
		assert.Equal(s.t, "ClientIP", s.field("service/specman-service", ".spec.sessionAffinity"))
		assert.Equal(s.t, "1", s.field("poddisruptionbudget/specman", ".spec.maxUnavailable"))
		assert.NotEqual(s.t, s.field("pvc/store-specman-0", ".spec.volumeName"), s.field("pvc/store-specman-1", ".spec.volumeName"))
	})

	step("a larger volume goes the documented way", func(s *site) {
		larger := []string{"upgrade", "whatever", chart(), "--wait", "--timeout=60s", "--set", "replicas=2", "--set", "persistence.size=20Gi"}
		_, err := s.tryHelm(larger...)
		require.ErrorContains(s.t, err, "volumeClaimTemplates", "they are immutable")
		s.kubectl("delete", "statefulset", "specman", "--cascade=orphan")
		pod := s.identity("specman-0")
		s.helm(larger...)
		assert.Equal(s.t, "20Gi", s.field("statefulset/specman", ".spec.volumeClaimTemplates[0].spec.resources.requests.storage"))
		assert.Equal(s.t, pod, s.identity("specman-0"), "it goes on serving")
	})

	step("nothing is left but the volumes", func(s *site) {
		s.helm("uninstall", "whatever", "--wait", "--timeout=60s")
		assert.Empty(s.t, s.kubectl("get", "all,configmap,networkpolicy,pdb", "-o", "name", "--selector", "app.kubernetes.io/instance=whatever"))
		assert.Len(s.t, lines(s.kubectl("get", "pvc", "-o", "name")), 2)
	})
}

// palettes are objects of Specman's names that no Helm release of ours owns.
var palettes = fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: specman-service, namespace: %[1]s}
spec: {selector: {app: specman}, ports: [{port: 8443}]}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: spectro-specman, namespace: %[1]s}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: specman, namespace: %[1]s}
spec:
  serviceName: specman-service
  selector: {matchLabels: {app: specman}}
  template:
    metadata: {labels: {app: specman}}
    spec:
      securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
      containers:
      - name: specman
        image: palette/specman
        securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
`, namespace)
