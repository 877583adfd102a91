//go:build kube

package kube_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/ops"
	"github.com/specman/specman/internal/testenv/kube"
)

// TestNode is the life of a Specman in a cluster, on a real node: the real image, run
// by the kubelet, read through the Service.
func TestNode(t *testing.T) {
	if !given.Node {
		t.Skip("a node needs root: the control plane alone was tried")
	}
	s := newSite(t, kube.StartNode(t, given.Tools))
	var volumes []string
	for _, name := range []string{"a", "b"} {
		dir := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.Mkdir(dir, 0o755)) // root's: fsGroup has to open it
		volumes = append(volumes, dir)
	}
	s.volumes("node", volumes...)
	zot := startZot(t, s)
	chartWith := func(more ...string) []string {
		return append([]string{"specman", chart(), "--timeout=90s",
			"--set", "image.registry=localhost,image.repository=specman,image.tag=v1,image.pullPolicy=Never",
			"--set", "config.source.interval=1s,config.source.maxBackoff=2s"}, more...)
	}
	values := chartWith(zot.login(t, "palette", users["palette"])...)
	upgrade := func(s *site, more ...string) {
		s.t.Helper()
		s.helm(append(append([]string{"upgrade", "--wait"}, values...), more...)...)
	}
	var tree *reader

	s.step("installed where only restricted pods are admitted", func(s *site) {
		s.helm(append([]string{"install"}, values...)...)
		s.Resolve(serviceHost, s.field("service/specman-service", ".spec.clusterIP"))
		s.awaitStatus("specman-0", "word of the empty registry", func(st ops.Status) error {
			if st.Ready || !strings.Contains(st.Reason, "nothing was pushed yet") {
				return fmt.Errorf("ready: %t, because %s", st.Ready, st.Reason)
			}
			return nil
		})
		assert.Equal(s.t, "false", s.field("pod/specman-0", ".status.containerStatuses[0].ready"))
		published := s.kubectl("get", "endpointslices", "--selector", "kubernetes.io/service-name=specman-headless", "-o", "jsonpath={.items[*].endpoints[*].conditions.ready}")
		assert.Equal(s.t, "true", published, "metrics and status of a pod that was never ready can be reached")
	})

	s.step("nobody's process, on a root that cannot be written", func(s *site) {
		p := findProcess(s.t, "specman")
		assert.Equal(s.t, "65532 65532 65532 65532", p.status["Uid"])
		assert.Equal(s.t, "65532 65532 65532 65532", p.status["Gid"])
		for _, set := range []string{"CapEff", "CapPrm", "CapBnd", "CapInh"} {
			assert.Equal(s.t, "0000000000000000", p.status[set], set)
		}
		assert.Equal(s.t, "1", p.status["NoNewPrivs"])
		assert.Equal(s.t, "2", p.status["Seccomp"], "a filter")
		assert.Contains(s.t, p.writable(), "/var/lib/specman")
		for _, target := range p.writable() {
			assert.Contains(s.t, []string{"/var/lib/specman", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}, target)
		}
	})

	s.step("a push is served over verified HTTPS", func(s *site) {
		zot.push(s.t, "4.5.13", map[string]string{"roar/nickfury/versions.yaml": "one", "roar/old": "kept"})
		s.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "pod/specman-0")
		tree = newReader(s)
		s.eventually("the tree", tree.want("/roar/nickfury/versions.yaml", "one"))
	})

	s.step("a second push takes its place", func(s *site) {
		zot.push(s.t, "4.5.14", map[string]string{"roar/nickfury/versions.yaml": "two"})
		s.eventually("the second push", tree.want("/roar/nickfury/versions.yaml", "two"))
		require.NoError(s.t, tree.want("/roar/old", "kept")())
	})

	s.step("a changed Secret is used without a restart", func(s *site) {
		before := s.identity("specman-0")
		s.helm(append([]string{"upgrade", "--wait"}, chartWith(zot.login(s.t, "palette", "wrong")...)...)...)
		s.awaitStatus("specman-0", "a refused login", func(st ops.Status) error {
			if len(st.Sources[0].Failures) == 0 {
				return errors.New("the login is not refused yet")
			}
			return nil
		})
		require.NoError(s.t, tree.want("/roar/nickfury/versions.yaml", "two")(), "it goes on serving")
		values = chartWith(zot.login(s.t, "robot$next", users["robot$next"])...)
		upgrade(s)
		s.awaitStatus("specman-0", "the new login", func(st ops.Status) error {
			if len(st.Sources[0].Failures) > 0 {
				return fmt.Errorf("still refused: %+v", st.Sources[0].Failures)
			}
			return nil
		})
		assert.Equal(s.t, before, s.identity("specman-0"))
	})

	s.step("a changed configuration too", func(s *site) {
		before := s.identity("specman-0")
		upgrade(s, "--set", "config.source.select={4.5.13}")
		s.eventually("the other selector", tree.want("/roar/nickfury/versions.yaml", "one"))
		upgrade(s)
		s.eventually("the first selector", tree.want("/roar/nickfury/versions.yaml", "two"))
		assert.Equal(s.t, before, s.identity("specman-0"))
	})

	s.step("an operator looks, rolls back, and goes on", func(s *site) {
		assert.Contains(s.t, s.kubectl("exec", "specman-0", "--", "specman", "status"), "4.5.14")
		s.kubectl("exec", "specman-0", "--", "specman", "rollback", "4.5.13")
		s.eventually("the rolled back view", tree.want("/roar/nickfury/versions.yaml", "one"))
		s.kubectl("exec", "specman-0", "--", "specman", "unpin")
		s.eventually("the newest view", tree.want("/roar/nickfury/versions.yaml", "two"))
		assert.Contains(s.t, s.kubectl("logs", "specman-0"), "Persisting 4.5.14", "the words that the guide greps for")
	})

	s.step("helm test finds nothing in the way", func(s *site) {
		out, err := s.tryHelm("test", "specman", "--timeout=60s", "--logs")
		require.NoError(s.t, err, out)
		assert.Contains(s.t, out, zotHost, "the doctor's own words")
	})

	s.step("an upgrade serves the same", func(s *site) {
		s.Ctr("images", "tag", specmanImage, "localhost/specman:v2")
		before := s.identity("specman-0")
		upgrade(s, "--set", "image.tag=v2")
		assert.NotEqual(s.t, before, s.identity("specman-0"))
		s.eventually("the tree", tree.want("/roar/nickfury/versions.yaml", "two"))
	})

	s.step("a failing upgrade is rolled back", func(s *site) {
		_, err := s.tryHelm(append(append([]string{"upgrade", "--wait"}, values...), "--timeout=15s", "--set", "image.tag=missing")...)
		require.Error(s.t, err)
		s.helm("rollback", "specman", "--wait", "--timeout=90s")
		require.NoError(s.t, tree.want("/roar/nickfury/versions.yaml", "two")())
	})

	s.step("two replicas restart and no request fails", func(s *site) {
		upgrade(s, "--set", "replicas=2")
		readers := tree.start("/roar/nickfury/versions.yaml")
		s.kubectl("rollout", "restart", "statefulset/specman")
		s.kubectl("rollout", "status", "statefulset/specman", "--timeout=180s")
		readers.end(s.t)
		first, err := s.status("specman-0")
		require.NoError(s.t, err)
		second, err := s.status("specman-1")
		require.NoError(s.t, err)
		assert.Equal(s.t, first.Served.View, second.Served.View, "both serve the same")
	})

	s.step("a killed pod comes back with its volume, registry or no registry", func(s *site) {
		upgrade(s)
		served, err := s.status("specman-0")
		require.NoError(s.t, err)
		s.Kubectl("scale", "deployment/zot", "--namespace", "registry", "--replicas=0")
		before := s.identity("specman-0")
		s.kubectl("delete", "pod", "specman-0", "--grace-period=0", "--force")
		s.eventually("another pod", func() error {
			if out, err := s.tryKubectl("get", "pod", "specman-0", "-o", "jsonpath={.metadata.uid}"); err != nil || strings.HasPrefix(before, out) {
				return fmt.Errorf("%q %w", out, err)
			}
			return nil
		})
		s.kubectl("wait", "--for=condition=Ready", "--timeout=90s", "pod/specman-0")
		s.eventually("the tree", tree.want("/roar/nickfury/versions.yaml", "two"))
		after, err := s.status("specman-0")
		require.NoError(s.t, err)
		assert.Equal(s.t, served.Served.View, after.Served.View)
	})

	s.step("uninstalled, it leaves its volumes", func(s *site) {
		s.helm("uninstall", "specman", "--wait", "--timeout=90s")
		assert.Len(s.t, lines(s.kubectl("get", "pvc", "-o", "name")), 2)
	})
}
