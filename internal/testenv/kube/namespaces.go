package kube

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// entered marks the process that runs inside the namespaces.
const entered = "SPECMAN_KUBE_ENTERED"

// Entered says whether this process is the one that [Enter] started.
func Entered() bool { return os.Getenv(entered) != "" }

// Enter runs this program again, with the same arguments, in a network, mount, PID,
// UTS and IPC namespace of its own, and returns its exit status. What the kubelet
// changes of the whole machine is put back afterwards.
func Enter(env ...string) (int, error) {
	defer rememberSettings()()
	defer rememberCgroups()()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = nil, os.Stdout, os.Stderr
	cmd.Env = append(append(os.Environ(), env...), entered+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
	}
	err := cmd.Run()
	if exit, ok := err.(*exec.ExitError); ok {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// machineSettings are those that no namespace keeps apart and that a kubelet sets.
var machineSettings = []string{"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes"}

func rememberSettings() (restore func()) {
	before := map[string][]byte{}
	for _, name := range machineSettings {
		if content, err := os.ReadFile(filepath.Join("/proc/sys", name)); err == nil {
			before[name] = content
		}
	}
	return func() {
		for name, content := range before {
			if err := os.WriteFile(filepath.Join("/proc/sys", name), content, 0); err != nil {
				fmt.Fprintln(os.Stderr, "putting back", name+":", err)
			}
		}
	}
}

// NodeAddress is the node's, inside the namespaces only.
const NodeAddress = "10.10.0.1"

// rememberCgroups returns what removes the groups that containerd leaves: they belong
// to no namespace, and are empty once all processes have ended.
func rememberCgroups() (remove func()) {
	const pattern = "/sys/fs/cgroup/*/k8s.io"
	before, _ := filepath.Glob(pattern) // the pattern is a good one
	return func() {
		after, _ := filepath.Glob(pattern)
		for _, dir := range after {
			if slices.Contains(before, dir) {
				continue
			}
			var groups []string
			_ = filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
				if err == nil && entry.IsDir() {
					groups = append(groups, path)
				}
				return nil
			})
			for _, group := range slices.Backward(groups) {
				_ = os.Remove(group) // what still has processes stays
			}
		}
	}
}

// hostsFile is mounted over /etc/hosts; see [Cluster.Resolve].
const hostsFile = "/run/hosts"

// Furnish makes the new namespaces fit for a node: mounts and a network of their own.
func Furnish() error {
	for _, m := range []struct {
		source, target, kind string
		flags                uintptr
	}{
		{"none", "/", "", syscall.MS_REC | syscall.MS_PRIVATE}, // nothing mounted from here on shows outside
		{"proc", "/proc", "proc", 0},
		{"run", "/run", "tmpfs", 0},     // sockets of containerd and its shims
		{"log", "/var/log", "tmpfs", 0}, // /var/log/containers has no setting
		{hostsFile, "/etc/hosts", "", syscall.MS_BIND},
	} {
		if m.source == hostsFile {
			if err := os.WriteFile(hostsFile, []byte("127.0.0.1 localhost\n"), 0o644); err != nil {
				return err
			}
		}
		if err := syscall.Mount(m.source, m.target, m.kind, m.flags, ""); err != nil {
			return fmt.Errorf("mounting %s: %w", m.target, err)
		}
	}
	// The kubelet shares volumes with containers by mount propagation.
	if err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_SHARED, ""); err != nil {
		return fmt.Errorf("sharing mounts: %w", err)
	}
	if err := syscall.Sethostname([]byte("node")); err != nil {
		return err
	}
	for _, command := range []string{
		"ip link set lo up",
		// A network that leads nowhere, so that the node has an address and a route.
		"ip link add node0 type veth peer name nowhere",
		"ip link set nowhere up",
		"ip link set node0 up",
		"ip address add " + NodeAddress + "/24 dev node0",
		"ip route add default dev node0",
	} {
		args := strings.Fields(command)
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", command, err, out)
		}
	}
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0)
}
