package e2e

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience is how long anything may take that is a matter of moments on a quiet
// machine. Nothing is asserted of speed.
const patience = 60 * time.Second

// specman is one installation: a program, a store and its settings. Start runs
// the service on it, as often as a test likes.
type specman struct {
	t     testing.TB
	build *build
	dir   string            // of the store
	keys  map[string]string // of the configuration, given as flags
	env   []string          // beside PATH
	umask string            // "" is the test's own
	uid   uint32            // 0 is the test's own
	// running is the service, nil before the first start.
	running *service
}

// newSpecman makes an installation that listens on free ports of 127.0.0.1, and
// polls only when it is asked to.
func newSpecman(t testing.TB, b *build, keys map[string]string) *specman {
	t.Helper()
	b.program(t)
	dir := filepath.Join(openTempDir(t), "store")
	s := &specman{t: t, build: b, dir: dir, keys: map[string]string{
		"store.dir": dir, "store.minFree": "1Mi",
		"http.listen": "127.0.0.1:0", "ops.listen": "127.0.0.1:0",
		"source.interval": "1h",
	}}
	maps.Copy(s.keys, keys)
	return s
}

// openTempDir is a temporary folder that other uids may enter, which
// t.TempDir is not. Its path is short enough for a socket.
func openTempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "e2e-")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	return dir
}

// flags are the settings on the command line; an empty one is left out.
func (s *specman) flags() []string {
	var flags []string
	for _, key := range slices.Sorted(maps.Keys(s.keys)) {
		if s.keys[key] != "" {
			flags = append(flags, "--"+key+"="+s.keys[key])
		}
	}
	return flags
}

// command is `specman args…` with the installation's settings; what args say
// comes later, and counts.
func (s *specman) command(ctx context.Context, args ...string) *exec.Cmd {
	line := slices.Concat([]string{s.build.program(s.t), args[0]}, s.flags(), args[1:])
	if s.umask != "" {
		line = append([]string{"sh", "-c", "umask " + s.umask + `; exec "$@"`, "sh"}, line...)
	}
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "DOCKER_CONFIG=/nonexistent"}, s.env...)
	// A test binary that dies, for instance of its timeout, runs no cleanup.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if s.uid != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: s.uid, Gid: s.uid}
	}
	return cmd
}

// result is what a command came to.
type result struct {
	status         int // -1: ended by a signal
	stdout, stderr string
}

// run runs a command to its end.
func (s *specman) run(args ...string) result {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	cmd := s.command(ctx, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	require.NoError(s.t, ctx.Err(), "specman %s does not end:\n%s", args, &stderr)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(s.t, err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// must runs a command that has to succeed, and returns its standard output.
func (s *specman) must(args ...string) string {
	s.t.Helper()
	r := s.run(args...)
	require.Zero(s.t, r.status, "specman %s: %s%s", args, r.stdout, r.stderr)
	return r.stdout
}

// service is one run of `specman serve`.
type service struct {
	cmd    *exec.Cmd
	log    *logBuffer
	exited chan struct{} // closed when it has ended
	url    string        // of the tree
	ops    string        // of metrics and API
}

var servingLine = regexp.MustCompile(`msg="?Serving"? address="(https://[^"]+)" ops="(http://[^"]+)"`)

// start runs the service and returns when it listens.
func (s *specman) start() *service {
	s.t.Helper()
	r := s.launch()
	found := r.log.wait(s.t, r, func(log string) []string { return servingLine.FindStringSubmatch(log) })
	r.url, r.ops = found[1], found[2]
	return r
}

// launch runs the service and does not wait for anything. It ends with the test.
func (s *specman) launch() *service {
	s.t.Helper()
	r := &service{cmd: s.command(context.Background(), "serve"), log: &logBuffer{grew: make(chan struct{})}, exited: make(chan struct{})}
	r.cmd.Stderr, r.cmd.Stdout = r.log, r.log
	require.NoError(s.t, r.cmd.Start())
	go func() {
		_ = r.cmd.Wait() // the state says how it ended
		close(r.exited)
	}()
	s.running = r
	s.t.Cleanup(func() {
		r.kill()
		if s.t.Failed() {
			s.t.Logf("log of specman (%d):\n%s", r.cmd.Process.Pid, r.log.tail())
		}
	})
	return r
}

// kill ends the service as a power cut would, and waits for its end.
func (r *service) kill() {
	_ = r.cmd.Process.Kill() // it may have ended by itself
	<-r.exited
}

// terminate asks the service to end, and returns its exit status.
func (r *service) terminate(t testing.TB) int {
	t.Helper()
	require.NoError(t, r.cmd.Process.Signal(syscall.SIGTERM))
	return r.status(t)
}

// status waits for the end and returns the exit status.
func (r *service) status(t testing.TB) int {
	t.Helper()
	select {
	case <-r.exited:
	case <-time.After(patience):
		require.FailNow(t, "the service does not end", "%s", r.log.tail())
	}
	return r.cmd.ProcessState.ExitCode()
}

// sync has the service poll now, and returns when that sync has ended.
func (s *specman) sync() { s.t.Helper(); s.must("sync") }

// logBuffer is what a service has logged so far.
type logBuffer struct {
	mu   sync.Mutex
	text []byte
	grew chan struct{} // closed, and replaced, at each write
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = append(b.text, p...)
	close(b.grew)
	b.grew = make(chan struct{})
	return len(p), nil
}

func (b *logBuffer) snapshot() (text string, grew <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.text), b.grew
}

func (b *logBuffer) String() string {
	text, _ := b.snapshot()
	return text
}

func (b *logBuffer) tail() string {
	text := b.String()
	return text[max(0, len(text)-16<<10):]
}

// mark is the end of the log now; since returns the lines after it.
func (b *logBuffer) mark() int { return len(b.String()) }

func (b *logBuffer) since(mark int) []string {
	text := strings.TrimSuffix(b.String()[mark:], "\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// wait returns what find finds in the log, as soon as that is not nil.
func (b *logBuffer) wait(t testing.TB, r *service, find func(log string) []string) []string {
	t.Helper()
	timeout := time.After(patience)
	for {
		text, grew := b.snapshot()
		if found := find(text); found != nil {
			return found
		}
		select {
		case <-grew:
		case <-r.exited:
			text = b.String()
			if found := find(text); found != nil {
				return found
			}
			require.FailNow(t, "the service has ended", "status %d:\n%s", r.cmd.ProcessState.ExitCode(), text)
		case <-timeout:
			require.FailNow(t, "the log does not say it", "%s", text)
		}
	}
}

// waitFor returns when the log holds text after mark.
func (r *service) waitFor(t testing.TB, mark int, text string) {
	t.Helper()
	r.log.wait(t, r, func(log string) []string {
		if strings.Contains(log[mark:], text) {
			return []string{text}
		}
		return nil
	})
}

// eventually tries until check returns nil.
func eventually(t testing.TB, check func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			require.NoError(t, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
