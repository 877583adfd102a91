package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a server that runs until stop.
type process struct {
	cmd    *exec.Cmd
	log    string
	exited chan struct{}
}

// start runs a server. Its output goes to a file, whose end is in the error if
// the server ends by itself.
func (b *bench) start(name string, args ...string) (*process, error) {
	log, err := os.Create(b.path(name + ".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = b.environment()
	// Nothing outlives this program, not even if it is killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{cmd: cmd, log: log.Name(), exited: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended says nothing: it is ended from here
		close(p.exited)
	}()
	return p, nil
}

// environment is all that programs see of the caller's.
func (b *bench) environment() []string {
	return []string{"PATH=" + os.Getenv("PATH") + ":/usr/sbin", "HOME=" + b.dir, "DOCKER_CONFIG=" + b.dir, "TMPDIR=" + b.dir}
}

// stop ends the server, at once if it does not end in good time.
func (p *process) stop() {
	if p == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
	select {
	case <-p.exited:
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
}

// ended says why a server ended that should not have.
func (p *process) ended() error {
	select {
	case <-p.exited:
		log, _ := os.ReadFile(p.log) // it only explains
		return fmt.Errorf("%s has ended:\n%s", p.cmd.Path, log[max(0, len(log)-4<<10):])
	default:
		return nil
	}
}

// waitFor asks until answer is true, for a minute at most.
func (b *bench) waitFor(p *process, what string, answer func() bool) error {
	for deadline := time.Now().Add(time.Minute); !answer(); time.Sleep(10 * time.Millisecond) {
		if err := b.ctx.Err(); err != nil {
			return err
		}
		if err := p.ended(); err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: not within a minute", what)
		}
	}
	return nil
}

func listens(address string) bool {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// freeAddress is an address on 127.0.0.1 that nobody listens at.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// cpu is the processor time that the process and its children have used. It is
// read from schedstat, in nanoseconds; getrusage knows only children that have
// ended, and stat counts in hundredths of a second.
func (p *process) cpu() (time.Duration, error) {
	return cpuOf(p.cmd.Process.Pid)
}

func cpuOf(pid int) (total time.Duration, err error) {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return 0, err
	}
	for _, task := range tasks {
		dir := fmt.Sprintf("/proc/%d/task/%s/", pid, task.Name())
		stat, err := os.ReadFile(dir + "schedstat")
		if os.IsNotExist(err) {
			continue // a thread that has just ended
		}
		if err != nil {
			return 0, fmt.Errorf("read the processor time of a server: %w", err)
		}
		first, _, _ := strings.Cut(string(stat), " ")
		ran, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read %sschedstat: %w", dir, err)
		}
		total += time.Duration(ran)
		children, _ := os.ReadFile(dir + "children") // a kernel without it: nginx's worker is then missed
		for _, child := range strings.Fields(string(children)) {
			childPID, err := strconv.Atoi(child)
			if err != nil {
				return 0, fmt.Errorf("read %schildren: %w", dir, err)
			}
			used, err := cpuOf(childPID)
			if err != nil {
				return 0, err
			}
			total += used
		}
	}
	return total, nil
}

// statusKiB reads a field in kB of /proc/PID/status, in KiB: VmRSS, VmHWM.
func statusKiB(pid int, field string) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, after, ok := strings.Cut(string(status), "\n"+field+":")
	if !ok {
		return 0, fmt.Errorf("process %d has no %s: it is ending", pid, field)
	}
	return strconv.ParseInt(strings.Fields(after)[0], 10, 64)
}
