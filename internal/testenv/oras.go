package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// Oras runs the real oras in dir, fails the test if it fails, and returns its
// standard output. It sees no configuration and no login of the person who runs
// the test. Where oras is to use a registry that asks for something, see
// [Registry.Oras].
func Oras(t testing.TB, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program(t, "oras"), args...)
	cmd.Dir = dir
	home := t.TempDir()
	cmd.Env = []string{"HOME=" + home, "DOCKER_CONFIG=" + home, "PATH=" + os.Getenv("PATH")}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("oras %q: %v\n%s", args, err, errorText(err))
	}
	return string(out)
}

// Oras runs oras in dir against this registry, with what its connection needs
// behind the arguments: plain HTTP or the CA, the client's certificate, the login.
// For example
//
//	r.Oras(dir, "push", r.Repo("a/b")+":0.0.0", "manifests.tgz")
func (r *Registry) Oras(dir string, args ...string) string {
	r.t.Helper()
	if r.CAFile == "" {
		args = append(args, "--plain-http")
	} else {
		args = append(args, "--ca-file", r.CAFile)
	}
	if r.Client.CertFile != "" {
		args = append(args, "--cert-file", r.Client.CertFile, "--key-file", r.Client.KeyFile)
	}
	if r.Username != "" {
		args = append(args, "--username", r.Username, "--password", r.Password)
	}
	return Oras(r.t, dir, args...)
}

// errorText is what a command that failed said on its standard error.
func errorText(err error) string {
	if exit, ok := err.(*exec.ExitError); ok {
		return string(exit.Stderr)
	}
	return fmt.Sprint(err)
}
