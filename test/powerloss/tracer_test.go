package powerloss

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// call is one system call of the traced program.
type call struct {
	pid  int // of the thread
	nr   uint64
	args [6]uint64
	// result is set when the call has ended; negative: an errno.
	result int64
}

// observer is told of every system call, one at a time, in the order in which
// they begin and end. What begin returns, not 0, the call fails with, without
// being made. end may return true to have the program killed then and there.
type observer interface {
	begin(c *call) unix.Errno
	end(c *call) (kill bool)
}

// traced is a program to be run under an observer.
type traced struct {
	path string
	args []string
	env  []string
	out  *os.File // standard output and error
}

// killed is the status that run returns for a program which a signal ended.
const killed = -1

// run runs the program to its end and returns its exit status.
func (p traced) run(o observer) (status int, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		// The kernel takes the orders of the thread that began the tracing only.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		status, err = p.follow(o)
	}()
	<-done
	if err != nil {
		err = fmt.Errorf("trace %s: %w", p.path, err)
	}
	return status, err
}

func (p traced) follow(o observer) (int, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	pid, err := syscall.ForkExec(p.path, append([]string{p.path}, p.args...), &syscall.ProcAttr{
		Env: p.env, Files: []uintptr{null.Fd(), p.out.Fd(), p.out.Fd()},
		Sys: &syscall.SysProcAttr{Ptrace: true},
	})
	if err != nil {
		return 0, fmt.Errorf("start it under ptrace, which this machine or container may forbid (kernel.yama.ptrace_scope, seccomp: add SYS_PTRACE): %w", err)
	}
	status := killed
	t := &tracer{root: pid, observer: o, calls: make(map[int]*call)}
	for {
		// Of this thread's children only: the test's others are not ours to reap.
		var ws unix.WaitStatus
		tid, err := unix.Wait4(-1, &ws, unix.WALL|unix.WNOTHREAD, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ECHILD):
			return status, t.err
		case err != nil:
			return status, err
		}
		switch {
		case ws.Exited() || ws.Signaled():
			delete(t.calls, tid)
			if tid == pid && ws.Exited() {
				status = ws.ExitStatus()
			}
		case ws.Stopped():
			t.stopped(tid, ws)
		}
	}
}

// tracer is the state of following one program.
type tracer struct {
	root     int // process id
	observer observer
	began    bool          // the options are set
	calls    map[int]*call // by thread: those that have begun
	seen     map[int]bool
	err      error
}

const traceOptions = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_EXITKILL

// stopped answers a stop of a thread and has it go on.
func (t *tracer) stopped(tid int, ws unix.WaitStatus) {
	pass := 0 // the signal that the thread gets
	switch signal := ws.StopSignal(); {
	case !t.began: // the program's first instruction
		t.began = true
		t.note(unix.PtraceSetOptions(tid, traceOptions))
		t.seen = map[int]bool{tid: true}
	case signal == unix.SIGTRAP|0x80:
		t.atCall(tid)
	case signal == unix.SIGTRAP && ws.TrapCause() > 0: // a thread was made
	case signal == unix.SIGSTOP && !t.seen[tid]: // a new thread's first stop
		t.seen[tid] = true
	default:
		pass = int(signal)
	}
	// A thread that was killed meanwhile has gone by itself.
	if err := unix.PtraceSyscall(tid, pass); !errors.Is(err, unix.ESRCH) {
		t.note(err)
	}
}

// atCall tells the observer of a call that begins or ends.
func (t *tracer) atCall(tid int) {
	info, err := syscallInfo(tid)
	if errors.Is(err, unix.ESRCH) {
		return
	}
	if err != nil {
		t.note(fmt.Errorf("ask what system call it makes (Linux 5.3 or later): %w", err))
		return
	}
	switch c := t.calls[tid]; {
	case info.op == unix.PTRACE_SYSCALL_INFO_ENTRY:
		c := &call{pid: tid, nr: info.data[0], args: [6]uint64(info.data[1:7])}
		t.calls[tid] = c
		if errno := t.observer.begin(c); errno != 0 {
			c.result = -int64(errno)
			t.note(skipCall(tid))
		}
	case info.op == unix.PTRACE_SYSCALL_INFO_EXIT && c != nil:
		delete(t.calls, tid)
		if c.result < 0 {
			t.note(setResult(tid, c.result))
			return
		}
		c.result = int64(info.data[0])
		if t.observer.end(c) {
			t.note(unix.Kill(t.root, unix.SIGKILL))
		}
	}
}

// note keeps the first error and ends the program at it.
func (t *tracer) note(err error) {
	if err != nil && t.err == nil {
		t.err = err
		unix.Kill(t.root, unix.SIGKILL)
	}
}

// callInfo is the kernel's struct ptrace_syscall_info: data is number and
// arguments of a call that begins, the result of one that ends.
type callInfo struct {
	op   uint8
	_    [3]uint8
	arch uint32
	_    [2]uint64 // instruction and stack pointer
	data [8]uint64
}

func syscallInfo(tid int) (info callInfo, err error) {
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(tid), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno != 0 {
		return info, errno
	}
	return info, nil
}

// memory reads the traced program's.
func (c *call) memory(at, size uint64) ([]byte, error) {
	b := make([]byte, size)
	if size == 0 {
		return b, nil
	}
	n, err := unix.ProcessVMReadv(c.pid, []unix.Iovec{{Base: &b[0], Len: size}}, []unix.RemoteIovec{{Base: uintptr(at), Len: int(size)}}, 0)
	return b[:max(n, 0)], err
}

// text reads a string that ends with a zero byte.
func (c *call) text(at uint64) (string, error) {
	var text []byte
	for {
		// A page at most, so that what lies behind it need not be there.
		b, err := c.memory(at, 4096-at%4096)
		if err != nil {
			return "", err
		}
		for n := range b {
			if b[n] == 0 {
				return string(append(text, b[:n]...)), nil
			}
		}
		text, at = append(text, b...), at+uint64(len(b))
	}
}
