//go:build kube

// Package kube_test proves the chart and the image on a real Kubernetes: TestChart
// on a control plane whose pods are played, TestNode on a node that runs them. It is
// run by `make test-kube`.
//
// Not proven, since the bridge of the node enforces none: that the NetworkPolicy
// keeps anything out. Not there: CoreDNS, cert-manager's and Prometheus' own
// controllers, of which the CRDs alone take part.
package kube_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/specman/specman/internal/testenv/image"
	"github.com/specman/specman/internal/testenv/kube"
	"github.com/specman/specman/internal/testenv/tools"
)

// prepared is the file by which what needs a network is handed into the namespaces.
const prepared = "SPECMAN_KUBE_PREPARED"

// A setting is all that the tests need from outside.
type setting struct {
	Tools              kube.Tools
	Checkout           string
	Oras               string
	PrometheusOperator string
	CertManager        string
	Node               bool // there is root, so there is a node
}

var given setting

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "test/kube:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	if kube.Entered() {
		content, err := os.ReadFile(os.Getenv(prepared))
		if err != nil {
			return 0, err
		}
		if err := json.Unmarshal(content, &given); err != nil {
			return 0, err
		}
		if err := kube.Furnish(); err != nil {
			return 0, err
		}
		return m.Run(), nil
	}

	dir, err := os.MkdirTemp("", "specman-kube-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	withNode := os.Getuid() == 0 && os.Getenv("SPECMAN_KUBE") != "control-plane"
	if given, err = prepare(context.Background(), dir, withNode); err != nil {
		return 0, err
	}
	if !withNode {
		fmt.Println("without root (or by SPECMAN_KUBE): the control plane alone")
		return m.Run(), nil
	}
	fmt.Println("with root: the control plane, and a node")
	content, err := json.Marshal(given)
	if err != nil {
		return 0, err
	}
	file := filepath.Join(dir, "prepared.json")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		return 0, err
	}
	return kube.Enter(prepared + "=" + file)
}

// The images that a node is given. Both tags of Specman are the same program.
const (
	specmanImage = "localhost/specman:v1"
	zotImage     = "localhost/zot:test"
)

func prepare(ctx context.Context, dir string, withNode bool) (s setting, err error) {
	s.Node = withNode
	if s.Checkout, err = tools.Checkout(); err != nil {
		return s, err
	}
	for name, path := range map[string]*string{"kube": &s.Tools.Kube, "helm": &s.Tools.Helm, "oras": &s.Oras} {
		if *path, err = tools.Build(ctx, name); err != nil {
			return s, err
		}
	}
	if s.PrometheusOperator, err = tools.PrometheusOperator.Download(ctx); err != nil {
		return s, err
	}
	if s.CertManager, err = tools.CertManager.Download(ctx); err != nil {
		return s, err
	}
	if !withNode {
		return s, nil
	}

	s.Tools.Debian, err = tools.Debian(ctx, "node", "containerd", "runc", "containernetworking-plugins", "nftables", "libnftables1", "libnftnl11")
	if err != nil {
		return s, err
	}
	zot, err := tools.Build(ctx, "zot")
	if err != nil {
		return s, err
	}
	pause := filepath.Join(dir, "pause")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", pause, "./test/kube/pause")
	build.Dir, build.Env = s.Checkout, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return s, fmt.Errorf("building pause: %w\n%s", err, out)
	}
	for name, program := range map[string]string{kube.PauseImage: pause, zotImage: zot} {
		archive := filepath.Join(dir, filepath.Base(program)+".tar")
		if err := kube.WriteImage(archive, name, program); err != nil {
			return s, err
		}
		s.Tools.Images = append(s.Tools.Images, archive)
	}
	archive := os.Getenv("SPECMAN_KUBE_IMAGE")
	if archive != "" {
		s.Tools.Images = append(s.Tools.Images, archive)
		return s, nil
	}
	archive = filepath.Join(dir, "specman.tar")
	s.Tools.Images = append(s.Tools.Images, archive)
	return s, buildImage(ctx, dir, archive)
}

// buildImage makes the real image by the real Dockerfile.
func buildImage(ctx context.Context, dir, archive string) error {
	storage := filepath.Join(dir, "buildah")
	if err := os.Mkdir(storage, 0o700); err != nil {
		return err
	}
	b, err := image.NewBuilder(ctx, storage)
	if err != nil {
		return err
	}
	defer b.Close()
	return b.Build(ctx, specmanImage, "0.1.0", "", archive)
}
