package tools

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The module that kubectl's tables are made with is small and in every build of the
// tool "kube".
func TestModuleIsDownloadedByItsSum(t *testing.T) {
	small := Module{"sigs.k8s.io/yaml", "v1.6.0", "h1:G8fkbMSAFqgEFgh4b1wmtzDnioxFCUgTZhlbj5P9QYs="}
	dir, err := small.Download(t.Context())
	require.NoError(t, err)
	assert.FileExists(t, filepath.Join(dir, "yaml.go"))

	small.Sum = "h1:ofAnother="
	_, err = small.Download(t.Context())
	require.ErrorContains(t, err, "ofAnother")

	small.Version = "v0.0.0-none"
	_, err = small.Download(t.Context())
	require.ErrorContains(t, err, "v0.0.0-none")
}

// What the chart is tried on and what it is built from must not drift apart.
func TestKubernetesIsOneVersion(t *testing.T) {
	content, err := os.ReadFile(filepath.Join("..", "..", "..", "test", "tools", "kube", "go.mod"))
	require.NoError(t, err)
	assert.Contains(t, string(content), "\tk8s.io/kubernetes "+KubernetesVersion+"\n")
}
