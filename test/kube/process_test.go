//go:build kube

package kube_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A process is Specman's as the node's kernel sees it.
type process struct {
	status map[string]string // /proc/PID/status
	mounts []mount
}

type mount struct{ target, options string }

func findProcess(t *testing.T, program string) process {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*")
	require.NoError(t, err)
	for _, dir := range all {
		name, err := os.ReadFile(filepath.Join(dir, "comm"))
		if err != nil || strings.TrimSpace(string(name)) != program {
			continue
		}
		p := process{status: map[string]string{}}
		status, err := os.ReadFile(filepath.Join(dir, "status"))
		require.NoError(t, err)
		for line := range strings.Lines(string(status)) {
			key, value, _ := strings.Cut(line, ":")
			p.status[key] = strings.Join(strings.Fields(value), " ")
		}
		mounts, err := os.ReadFile(filepath.Join(dir, "mounts"))
		require.NoError(t, err)
		for line := range strings.Lines(string(mounts)) {
			fields := strings.Fields(line)
			p.mounts = append(p.mounts, mount{fields[1], "," + fields[3] + ","})
		}
		return p
	}
	require.FailNow(t, "no process is called "+program)
	return process{}
}

// writable are the places that are no part of the kernel and can be written to.
func (p process) writable() []string {
	var all []string
	for _, m := range p.mounts {
		kernels := m.target == "/proc" || strings.HasPrefix(m.target, "/proc/") || strings.HasPrefix(m.target, "/dev") || strings.HasPrefix(m.target, "/sys")
		if !kernels && strings.Contains(m.options, ",rw,") {
			all = append(all, m.target)
		}
	}
	return all
}
