package tools

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// Debian returns a folder in which these Debian packages are unpacked, without what
// they depend on and without installing anything. They are downloaded once, in the
// version that the machine's own Debian has; root is not needed.
func Debian(ctx context.Context, name string, packages ...string) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	release, err := os.ReadFile("/etc/debian_version")
	if err != nil {
		return "", fmt.Errorf("%s is taken from Debian's packages: %w", name, err)
	}
	sum := sha256.Sum256([]byte(string(release) + runtime.GOARCH + strings.Join(packages, " ")))
	dir := filepath.Join(cache, "debian-"+name+"-"+hex.EncodeToString(sum[:])[:12])
	if exists(dir) {
		return dir, nil
	}
	unlock, err := lock(cache)
	if err != nil {
		return "", err
	}
	defer unlock()
	if exists(dir) { // unpacked by another process while this one waited
		return dir, nil
	}
	staging, err := os.MkdirTemp(cache, "unpacking-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(staging)
	if err := unpack(ctx, staging, packages); err != nil {
		return "", fmt.Errorf("getting Debian's %s: %w", strings.Join(packages, ", "), err)
	}
	return dir, os.Rename(filepath.Join(staging, "root"), dir)
}

func unpack(ctx context.Context, staging string, packages []string) error {
	downloads := filepath.Join(staging, "downloads")
	root := filepath.Join(staging, "root")
	for _, dir := range []string{downloads, root} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	// APT::Sandbox: as root, apt would fetch as a user who may not write here.
	download := append([]string{"-q", "-o", "APT::Sandbox::User=root", "download"}, packages...)
	if err := in(ctx, downloads, "apt-get", download...); err != nil {
		// On a fresh machine, and on one that was long unused, the lists are missing or old.
		if updateErr := in(ctx, downloads, "apt-get", "-q", "update"); updateErr != nil {
			return fmt.Errorf("%w\nand the lists of packages cannot be renewed: %w", err, updateErr)
		}
		if err := in(ctx, downloads, "apt-get", download...); err != nil {
			return err
		}
	}
	files, err := filepath.Glob(filepath.Join(downloads, "*.deb"))
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := in(ctx, root, "dpkg", "-x", file, root); err != nil {
			return err
		}
	}
	return os.Chmod(root, 0o755)
}

func in(ctx context.Context, dir, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, out)
	}
	return nil
}
