//go:build kube

package kube_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/ops"
	"github.com/specman/specman/internal/testenv/kube"
)

const namespace = "hubble-system"

// A site is a cluster with the chart's namespace, which admits restricted pods only.
type site struct {
	*kube.Cluster
	t *testing.T
}

func newSite(t *testing.T, c *kube.Cluster) *site {
	t.Helper()
	s := &site{c, t}
	t.Cleanup(s.explain)
	s.Kubectl("create", "namespace", namespace)
	s.Kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted", "pod-security.kubernetes.io/warn=restricted")
	return s
}

// explain prints what a person would look at after a fault.
func (s *site) explain() {
	if !s.t.Failed() {
		return
	}
	for _, args := range [][]string{
		{"get", "all,pvc", "-o", "wide"},
		{"get", "events", "--sort-by=.lastTimestamp"},
		{"logs", "--selector", "app.kubernetes.io/name=specman", "--prefix", "--tail=40"},
	} {
		out, err := s.tryKubectl(args...)
		s.t.Logf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// step runs one step of an operator, on what the steps before left.
func (s *site) step(name string, f func(*site)) {
	s.t.Run(name, func(t *testing.T) {
		if s.t.Failed() {
			t.Skip("a step before failed")
		}
		f(&site{s.Cluster.With(t), t})
	})
}

func chart() string { return filepath.Join(given.Checkout, "deploy", "helm", "specman") }

// helm runs helm in the chart's namespace.
func (s *site) helm(args ...string) string {
	s.t.Helper()
	out, err := s.tryHelm(args...)
	require.NoError(s.t, err)
	return out
}

func (s *site) tryHelm(args ...string) (string, error) {
	return s.TryHelm(append([]string{"--namespace", namespace}, args...)...)
}

func (s *site) kubectl(args ...string) string {
	s.t.Helper()
	out, err := s.tryKubectl(args...)
	require.NoError(s.t, err)
	return out
}

func (s *site) tryKubectl(args ...string) (string, error) {
	return s.TryKubectl("", append([]string{"--namespace", namespace}, args...)...)
}

// volumes makes as many volumes as pods may claim. They are local ones, as hostPath
// knows no fsGroup.
func (s *site) volumes(node string, dirs ...string) {
	s.t.Helper()
	for _, dir := range dirs {
		s.Apply(fmt.Sprintf(`
apiVersion: v1
kind: PersistentVolume
metadata: {name: %s}
spec:
  capacity: {storage: 10Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  local: {path: %s}
  nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [%s]}]}]}}
`, filepath.Base(dir), dir, node))
	}
}

// field asks for one field of an object.
func (s *site) field(object, path string) string {
	s.t.Helper()
	return s.kubectl("get", object, "-o", "jsonpath={"+path+"}")
}

// identity changes when a pod is made anew or its container restarts.
func (s *site) identity(pod string) string {
	s.t.Helper()
	return s.field("pod/"+pod, ".metadata.uid}/{.status.containerStatuses[0].restartCount")
}

// status asks a replica as an operator does.
func (s *site) status(pod string) (ops.Status, error) {
	var st ops.Status
	out, err := s.tryKubectl("exec", pod, "--", "specman", "status", "-o", "json")
	if err != nil {
		return st, err
	}
	return st, json.Unmarshal([]byte(out), &st)
}

// awaitStatus waits until a replica's status satisfies check.
func (s *site) awaitStatus(pod, what string, check func(ops.Status) error) {
	s.t.Helper()
	s.eventually(what, func() error {
		st, err := s.status(pod)
		if err != nil {
			return err
		}
		return check(st)
	})
}

// eventually is for what the cluster does in its own time.
func (s *site) eventually(what string, ask func() error) {
	s.t.Helper()
	kube.Await(s.t, 90*time.Second, what, ask)
}

// lines are the non-empty lines of a text.
func lines(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
}
