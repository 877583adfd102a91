package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// used is what a command took.
type used struct {
	wall   time.Duration
	cpu    time.Duration // its own and its children's
	peak   int64         // KiB of resident memory at most, of the command's own process
	stdout []byte
}

// timed runs a command. Memory is asked of its process every few milliseconds:
// getrusage's maximum begins with that of the process that forked it.
func (b *bench) timed(args ...string) (u used, err error) {
	cmd := exec.CommandContext(b.ctx, args[0], args[1:]...)
	cmd.Env = b.environment()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return u, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			u.wall = time.Since(start)
			if err != nil {
				return u, fmt.Errorf("%s: %w\n%s%s", args, err, stdout.Bytes(), stderr.Bytes())
			}
			u.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
			u.stdout = stdout.Bytes()
			return u, nil
		case <-tick.C:
			if peak, err := statusKiB(cmd.Process.Pid, "VmHWM"); err == nil { // else it is just ending
				u.peak = max(u.peak, peak)
			}
		}
	}
}

// settle writes out what earlier runs have left, so that nobody's flush pays for it.
func (b *bench) settle() error {
	dir, err := os.Open(b.dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	return unix.Syncfs(int(dir.Fd()))
}

// diskUsage is what `du` counts below a folder: a file with several names once.
func diskUsage(dir string) (bytes int64, err error) {
	seen := make(map[uint64]bool)
	err = filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if stat := info.Sys().(*syscall.Stat_t); !seen[stat.Ino] {
			seen[stat.Ino] = true
			bytes += stat.Blocks * 512
		}
		return nil
	})
	return bytes, err
}
