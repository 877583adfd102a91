// Package tools builds the programs that the tests and the Makefile run: real
// registries, the real oras, the linter, helm, a whole Kubernetes.
//
// Each is pinned by a module of its own under test/tools, so that none of their
// dependencies reaches the product's go.mod. A program is built once, into
//
//	.cache/tools/<name>-<key>/<name>
//
// where the key follows from everything that the result depends on: the module's
// go.mod, go.sum and own source, the Go version and the platform. A name that exists is whole:
// programs are built beside and renamed. Only one program is built at a time,
// whatever number of test binaries ask, since a build keeps all cores busy.
//
// The environment variable SPECMAN_TOOLS_DIR names another folder than
// .cache/tools.
package tools

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
)

// dirVariable is the environment variable that moves the cache elsewhere, for
// example to a folder that several checkouts share.
const dirVariable = "SPECMAN_TOOLS_DIR"

// A tool is one program: the main package to build, and the folder under
// test/tools whose go.mod pins it.
type tool struct {
	module  string
	pkg     string
	tags    string
	ldflags string
}

// KubernetesVersion is that of the tool "kube", as test/tools/kube/go.mod pins it.
const KubernetesVersion = "v1.37.2"

var all = map[string]tool{
	// Without the tag, zot wants the C library gpgme.
	"zot":         {module: "zot", pkg: "zotregistry.io/zot/cmd/zot", tags: "containers_image_openpgp"},
	"registry":    {module: "distribution", pkg: "github.com/distribution/distribution/v3/cmd/registry"},
	"oras":        {module: "oras", pkg: "oras.land/oras/cmd/oras"},
	"staticcheck": {module: "lint", pkg: "honnef.co/go/tools/cmd/staticcheck"},
	"helm":        {module: "helm", pkg: "helm.sh/helm/v3/cmd/helm"},
	"kubeconform": {module: "kubeconform", pkg: "github.com/yannh/kubeconform/cmd/kubeconform"},
	// Control plane, node and kubectl in one program, called by the name of a part.
	"kube": {module: "kube", pkg: "./programs", ldflags: "-X k8s.io/component-base/version.gitVersion=" + KubernetesVersion},
}

// Names returns the names of all tools, sorted.
func Names() []string {
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Build returns the absolute path of the named tool and builds it first if this
// version of it is not there yet, which takes up to some minutes on two cores. It
// may be called from any number of goroutines and processes at the same time, in
// any folder of the checkout.
func Build(ctx context.Context, name string) (string, error) {
	t, ok := all[name]
	if !ok {
		return "", fmt.Errorf("no tool is called %q; there are %s", name, strings.Join(Names(), ", "))
	}
	root, err := Checkout()
	if err != nil {
		return "", err
	}
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	moduleDir := filepath.Join(root, "test", "tools", t.module)
	key, err := t.key(moduleDir)
	if err != nil {
		return "", fmt.Errorf("finding the version of %s: %w", name, err)
	}
	program := filepath.Join(cache, name+"-"+key, name)
	if exists(program) {
		return program, nil
	}

	unlock, err := lock(cache)
	if err != nil {
		return "", err
	}
	defer unlock()
	if exists(program) { // built by another process while this one waited
		return program, nil
	}
	if err := t.build(ctx, moduleDir, program); err != nil {
		return "", fmt.Errorf("building %s: %w", name, err)
	}
	return program, nil
}

// key names what t is built from, so that two different programs never share a path.
func (t tool) key(moduleDir string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version(), runtime.GOOS, runtime.GOARCH, t.pkg, t.tags)
	for _, name := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(filepath.Join(moduleDir, name))
		if err != nil {
			return "", err
		}
		h.Write(content)
	}
	if t.ldflags != "" {
		fmt.Fprintln(h, t.ldflags)
	}
	own, err := filepath.Glob(filepath.Join(moduleDir, "*", "*.go"))
	if err != nil {
		return "", err
	}
	for _, name := range own {
		content, err := os.ReadFile(name)
		if err != nil {
			return "", err
		}
		h.Write(content)
	}
	return hex.EncodeToString(h.Sum(nil))[:12], nil
}

// build compiles t beside program and renames the result to it.
func (t tool) build(ctx context.Context, moduleDir, program string) error {
	dir := filepath.Dir(program)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	staging, err := os.MkdirTemp(dir, "building-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(staging)
	result := filepath.Join(staging, filepath.Base(program))

	// Two compilers at a time: some of their packages take a gigabyte each.
	args := []string{"build", "-p", "2", "-trimpath", "-buildvcs=false", "-ldflags", strings.TrimSpace("-s -w " + t.ldflags), "-tags", t.tags, "-o", result, t.pkg}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = moduleDir
	// What the caller sets for its own build must not change this one.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOWORK=off",
		"GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s in %s: %w\n%s", strings.Join(args, " "), moduleDir, err, out)
	}
	return os.Rename(result, program)
}

// cacheDir is the absolute path of the folder with all that was built or fetched.
func cacheDir() (string, error) {
	cache := os.Getenv(dirVariable)
	if cache == "" {
		root, err := Checkout()
		if err != nil {
			return "", err
		}
		return filepath.Join(root, ".cache", "tools"), nil
	}
	cache, err := filepath.Abs(cache)
	if err != nil {
		return "", fmt.Errorf("the folder named by %s: %w", dirVariable, err)
	}
	return cache, nil
}

// Checkout finds the project's root above the working directory: go test runs
// each package's tests in the package's own folder.
func Checkout() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if exists(filepath.Join(dir, "test", "tools", "oras", "go.mod")) {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no folder above %s holds test/tools: run this inside a checkout of the project", start)
		}
	}
}

// lock waits until no other process builds into cache. The kernel drops the lock
// of a process that dies.
func lock(cache string) (unlock func(), err error) {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, fmt.Errorf("making the tools' cache: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(cache, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("locking the tools' cache: %w", err)
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("locking the tools' cache: %w", err)
	}
	return func() { f.Close() }, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
