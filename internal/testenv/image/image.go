// Package image builds the project's own container image, by its Dockerfile and
// deploy/image.sh, on a machine that may not reach any registry: the base of the
// build stage is made of busybox and this machine's Go.
//
// It takes buildah and root; nothing of it stays but what the caller asked for.
package image

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/specman/specman/internal/testenv/tools"
)

// A Builder holds the build stage's base, so that several images can be built.
type Builder struct {
	dir string
	env []string
}

const base = "localhost/specman-build-base"

// NewBuilder makes the base in dir, which is buildah's storage from then on. Call
// [Builder.Close] before dir is removed.
func NewBuilder(ctx context.Context, dir string) (*Builder, error) {
	b := &Builder{dir: dir}
	storage := filepath.Join(dir, "storage.conf")
	config := fmt.Sprintf("[storage]\ndriver = \"vfs\"\ngraphroot = %q\nrunroot = %q\n", filepath.Join(dir, "graph"), filepath.Join(dir, "run"))
	if err := os.WriteFile(storage, []byte(config), 0o600); err != nil {
		return nil, err
	}
	// chroot: a build needs no more of a container than its files.
	b.env = append(os.Environ(), "CONTAINERS_STORAGE_CONF="+storage, "BUILDAH_ISOLATION=chroot")

	root := filepath.Join(dir, "base")
	if err := makeBase(ctx, root); err != nil {
		return nil, fmt.Errorf("making the base of the build stage: %w", err)
	}
	container, err := b.run(ctx, "", nil, "buildah", "from", "scratch")
	if err != nil {
		return nil, err
	}
	for _, args := range [][]string{
		{"copy", container, root, "/"},
		{"config", "--env", "PATH=/usr/local/go/bin:/bin", "--env", "GOTOOLCHAIN=local", "--env", "GOMODCACHE=/modules", "--env", "GOCACHE=/cache", container},
		{"commit", "--rm", container, base},
	} {
		if _, err := b.run(ctx, "", nil, "buildah", args...); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// makeBase lays out what the Dockerfile needs of its build image, but for Go itself,
// which is mounted.
func makeBase(ctx context.Context, root string) error {
	busybox, err := tools.Debian(ctx, "busybox", "busybox-static")
	if err != nil {
		return err
	}
	program, err := os.ReadFile(filepath.Join(busybox, "bin", "busybox"))
	if err != nil {
		return err
	}
	for _, dir := range []string{"bin", "etc/ssl/certs", "usr/local/go", "modules", "cache"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return err
		}
	}
	if err := os.Mkdir(filepath.Join(root, "tmp"), 0o777); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "bin", "busybox"), program, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"sh", "mkdir", "cp", "chmod", "find", "touch"} {
		if err := os.Symlink("busybox", filepath.Join(root, "bin", name)); err != nil {
			return err
		}
	}
	certificates, err := os.ReadFile("/etc/ssl/certs/ca-certificates.crt")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, "etc/ssl/certs/ca-certificates.crt"), certificates, 0o644)
}

// Build builds the image for a platform ("linux/arm64"), as `make image` does, and
// writes it to an OCI archive, in which it is called name. What Go compiled before is
// used, and no layer that buildah made before.
func (b *Builder) Build(ctx context.Context, name, version, platform, archive string) error {
	root, err := tools.Checkout()
	if err != nil {
		return err
	}
	mounts, err := b.mounts(ctx, root)
	if err != nil {
		return err
	}
	env := []string{
		"IMAGE=" + name, "VERSION=" + version, "PLATFORM=" + platform,
		"BUILD_IMAGE=" + base, "GOPROXY=off", // all modules are here already
	}
	if _, err := b.run(ctx, root, env, filepath.Join("deploy", "image.sh"), mounts...); err != nil {
		return err
	}
	_, err = b.run(ctx, "", nil, "buildah", "push", name, "oci-archive:"+archive+":"+name)
	return err
}

// mounts are this machine's Go, the modules that it has, and the cache of what it
// compiled.
func (b *Builder) mounts(ctx context.Context, root string) ([]string, error) {
	if _, err := b.run(ctx, root, nil, "go", "mod", "download"); err != nil {
		return nil, err
	}
	out, err := b.run(ctx, root, nil, "go", "env", "GOROOT", "GOMODCACHE", "GOCACHE")
	if err != nil {
		return nil, err
	}
	dirs := strings.Fields(out)
	return []string{
		"--volume", dirs[0] + ":/usr/local/go:ro",
		"--volume", dirs[1] + ":/modules",
		"--volume", dirs[2] + ":/cache",
	}, nil
}

// Run runs a command in a container of the image and returns what it printed.
func (b *Builder) Run(ctx context.Context, name string, args ...string) (string, error) {
	container, err := b.run(ctx, "", nil, "buildah", "from", "--pull-never", name)
	if err != nil {
		return "", err
	}
	out, err := b.run(ctx, "", nil, "buildah", append([]string{"run", container, "--"}, args...)...)
	if _, rmErr := b.run(ctx, "", nil, "buildah", "rm", container); err == nil {
		err = rmErr
	}
	return out, err
}

// Close removes the images, so that the folder can be removed by anybody.
func (b *Builder) Close() error {
	_, err := b.run(context.Background(), "", nil, "buildah", "rmi", "--all", "--force")
	return err
}

// run returns the standard output of a command, without its last line break.
func (b *Builder) run(ctx context.Context, dir string, env []string, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = append(b.env[:len(b.env):len(b.env)], env...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s%s", program, strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return strings.TrimSpace(stdout.String()), nil
}
