package tools

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
)

// A Module is a Go module of which files are read and none is built: Kubernetes'
// OpenAPI, the CRDs of others.
type Module struct {
	Path, Version string
	Sum           string // as go.sum has it: h1:…
}

// The modules that the chart's tests read.
var (
	// Kubernetes of the oldest minor that the chart admits, and of the newest that
	// it is tried on.
	KubernetesOldest = Module{"k8s.io/kubernetes", "v1.30.14", "h1:MrlKXh9uhLIJpyxOeXhcndzRVSvwiV9iJ8NgH8nqPsg="}
	KubernetesNewest = Module{"k8s.io/kubernetes", KubernetesVersion, "h1:A2VDEiObzkYqFTKhSsn0ZEb0RlLEXpHWj93gi2HqEwE="}

	PrometheusOperator = Module{"github.com/prometheus-operator/prometheus-operator", "v0.85.0", "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s="}
	CertManager        = Module{"github.com/cert-manager/cert-manager", "v1.21.2", "h1:UWgoYM+KLNtRlqmoWOKjKBOBUPVHeepQ6/ac3ERJW68="}
)

// Download returns the folder of m in Go's module cache; it is fetched if it is
// not there.
func (m Module) Download(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", m.Path+"@"+m.Version)
	cmd.Dir = os.TempDir() // outside of any module: this is a dependency of none
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var got struct{ Dir, Sum, Error string }
	if err := errors.Join(err, json.Unmarshal(out, &got)); err != nil {
		return "", fmt.Errorf("downloading %s@%s: %w\n%s%s", m.Path, m.Version, err, got.Error, stderr.String())
	}
	if got.Sum != m.Sum {
		return "", fmt.Errorf("%s@%s has sum %s, but %s is expected", m.Path, m.Version, got.Sum, m.Sum)
	}
	return got.Dir, nil
}
