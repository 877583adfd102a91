package gate

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// maxOutput is how much of the command's output is kept for the reason.
const maxOutput = 4 << 10

// command has the site's own program judge the tree. One that cannot be started has
// judged nothing: then the error is no refusal.
func (r *Rules) command(ctx context.Context, folder string) error {
	if len(r.Command) == 0 {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	args := append(r.Command[1:len(r.Command):len(r.Command)], folder)
	cmd := exec.CommandContext(bounded, r.Command[0], args...)
	// What the program has started ends with it, in time or not.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	end := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel = end
	cmd.WaitDelay = time.Second // a child that keeps the pipe open must not hold the release
	out, err := cmd.CombinedOutput()
	if cmd.Process != nil {
		_ = end()
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if cmd.Process == nil && err != nil {
		return fmt.Errorf("gate.command %s cannot be started: %w", r.Command[0], err)
	}
	if errors.Is(bounded.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("it did not end within gate.timeout (%s)", r.Timeout)
	}
	if err != nil {
		err = fmt.Errorf("gate.command %s: %w", r.Command[0], err)
		if said := strings.TrimSpace(string(out[max(0, len(out)-maxOutput):])); said != "" {
			err = fmt.Errorf("%w: %s", err, said)
		}
		return &RefusedError{err}
	}
	return nil
}
