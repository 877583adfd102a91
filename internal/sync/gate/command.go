package gate

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"
)

// maxOutput is how much of the command's output is kept for the reason.
const maxOutput = 4 << 10

// Startable returns why the command cannot be started, as far as that shows beforehand.
func (r *Rules) Startable() error {
	if len(r.Command) == 0 {
		return nil
	}
	if _, err := exec.LookPath(r.Command[0]); err != nil {
		return r.cannotStart(err)
	}
	return nil
}

func (r *Rules) cannotStart(err error) error {
	return fmt.Errorf("gate.command %s cannot be started: %w", r.Command[0], err)
}

// command has the site's own program judge the tree. One that cannot be started has
// judged nothing: then the error is no refusal.
func (r *Rules) command(ctx context.Context, folder string) error {
	bounded, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	args := append(r.Command[1:len(r.Command):len(r.Command)], folder)
	cmd := exec.CommandContext(bounded, r.Command[0], args...)
	// What the program has started ends with it, in time or not, but for what has made a
	// session of its own.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	end := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel = end
	cmd.WaitDelay = time.Second // a child that keeps the pipe open must not hold the release
	var out lastOutput
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if cmd.Process != nil {
		_ = end()
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if cmd.Process == nil && err != nil {
		return r.cannotStart(err)
	}
	switch {
	case cmd.ProcessState.Success():
		err = nil // also where what it started kept the pipe open, past the limit maybe
	case errors.Is(bounded.Err(), context.DeadlineExceeded):
		err = fmt.Errorf("it did not end within gate.timeout (%s)", r.Timeout)
	}
	if err != nil {
		err = fmt.Errorf("gate.command %s: %w", r.Command[0], err)
		if said := strings.TrimSpace(plain(out)); said != "" {
			err = fmt.Errorf("%w: %s", err, said)
		}
		return &RefusedError{err}
	}
	return nil
}

var escapeSequence = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\x1b\[[0-?]*[ -/]*[@-~]`) }) // ECMA-48, 5.4

// plain is output without what a terminal would obey: colours, and whatever names
// and contents of the tree the command repeats.
func plain(output []byte) string {
	output = escapeSequence().ReplaceAll(output, nil)
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(string(output), "�"))
}

// lastOutput keeps the last maxOutput bytes of what is written.
type lastOutput []byte

func (o *lastOutput) Write(p []byte) (int, error) {
	kept := append(*o, p[max(0, len(p)-maxOutput):]...)
	*o = append((*o)[:0], kept[max(0, len(kept)-maxOutput):]...)
	return len(p), nil
}
