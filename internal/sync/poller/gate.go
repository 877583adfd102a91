package poller

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/specman/specman/internal/store"
)

// Gate is what a release must pass beside being whole.
type Gate struct {
	// MaxVanishedPercent refuses a release by which more than that per cent of
	// the files of the tag's last release would disappear; 0: off.
	MaxVanishedPercent int
	// RequirePaths are paths that the resulting view must hold.
	RequirePaths []string
	// Command is run with the staged tree's path as its last argument.
	Command []string
	// Timeout bounds Command.
	Timeout time.Duration
}

// maxGateOutput is how much of the command's output is kept for the reason.
const maxGateOutput = 4 << 10

// gate returns why a sealed tree may not become part of the view.
func (s *pass) gate(ctx context.Context, f *follow, staged *store.Staging) error {
	if s.force {
		return nil
	}
	if err := s.gateVanished(f, staged); err != nil {
		return err
	}
	if err := s.gateRequired(f, staged); err != nil {
		return err
	}
	return s.gateCommand(ctx, staged.Folder())
}

func (s *pass) gateVanished(f *follow, staged *store.Staging) error {
	if s.Gate.MaxVanishedPercent == 0 || f.release == nil {
		return nil
	}
	last, err := s.Store.AcquireTree(f.release.Layer)
	if err != nil {
		return nil // nothing to compare with: it is damaged, and about to be replaced
	}
	defer last.Close()
	var total, gone int
	for name, e := range last.All() {
		if e.Kind != store.File {
			continue
		}
		total++
		if !staged.Has(name) {
			gone++
		}
	}
	if gone*100 > s.Gate.MaxVanishedPercent*total {
		return fmt.Errorf("%d of the %d files of its last release would vanish, more than gate.maxVanishedPercent (%d) allows: was the archive made in another folder?",
			gone, total, s.Gate.MaxVanishedPercent)
	}
	return nil
}

// gateRequired asks for each path in the staged tree, or else in what the other
// followed releases contribute.
func (s *pass) gateRequired(f *follow, staged *store.Staging) error {
	var missing []string
	for _, p := range s.Gate.RequirePaths {
		name := strings.Trim(p, "/")
		if !staged.Has(name) && !s.othersHave(f, name) {
			missing = append(missing, p)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("the view would lack what gate.requirePaths asks for: %s", strings.Join(missing, ", "))
	}
	return nil
}

func (s *pass) othersHave(but *follow, name string) bool {
	for _, f := range s.follows {
		if f == but || f.release == nil {
			continue
		}
		if v, err := s.Store.AcquireTree(f.release.Layer); err == nil {
			_, ok := v.Lookup(name)
			v.Close()
			if ok {
				return true
			}
		}
	}
	return false
}

func (s *pass) gateCommand(ctx context.Context, folder string) error {
	if len(s.Gate.Command) == 0 {
		return nil
	}
	whole := ctx
	ctx, cancel := context.WithTimeout(ctx, s.Gate.Timeout)
	defer cancel()
	args := append(s.Gate.Command[1:len(s.Gate.Command):len(s.Gate.Command)], folder)
	cmd := exec.CommandContext(ctx, s.Gate.Command[0], args...)
	cmd.WaitDelay = time.Second // a child that keeps the pipe open must not hold the sync
	out, err := cmd.CombinedOutput()
	if len(out) > maxGateOutput {
		out = out[len(out)-maxGateOutput:]
	}
	if whole.Err() != nil {
		return whole.Err()
	}
	if ctx.Err() == context.DeadlineExceeded {
		err = fmt.Errorf("it did not end within gate.timeout (%s)", s.Gate.Timeout)
	}
	if err != nil {
		return fmt.Errorf("gate.command %s: %w: %s", s.Gate.Command[0], err, strings.TrimSpace(string(out)))
	}
	return nil
}

// openIn opens a file of a view by its path.
func openIn(v *store.View, name string) (io.ReadCloser, error) {
	e, ok := v.Lookup(name)
	if !ok || e.Kind != store.File {
		return nil, fmt.Errorf("open %q: %w", name, fs.ErrNotExist)
	}
	f, err := v.Open(e)
	if err != nil {
		return nil, err
	}
	return (*os.File)(f), nil
}
