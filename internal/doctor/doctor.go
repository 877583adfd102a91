// Package doctor finds out why a source cannot be followed, or a store not be used:
// one check after the other, along the way that a sync takes, each with what was found,
// and, where that is not well, with what to do about it.
//
// What always holds: nothing is changed, but for a file that is written into the store
// and removed again; every check ends within [Options.Timeout], or is left behind; what
// depends on a check that failed is skipped, with the reason; and no secret is told.
package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/specman/specman/internal/sync/oci"
)

// Status is how a check ended.
type Status string

// The outcomes of a check.
const (
	OK      Status = "ok"
	Warn    Status = "warn" // it works, but a person should look
	Fail    Status = "fail" // it does not work
	Skipped Status = "skip" // it could not be tried
)

// Check is one thing that was looked at. Its JSON is public: it is what `specman
// doctor -o json` prints.
type Check struct {
	Status Status `json:"status"`
	Where  string `json:"where"` // "config", "store", or the source's name
	What   string `json:"check"`
	Detail string `json:"detail"`         // what was found, in one line
	Cure   string `json:"cure,omitempty"` // what to do; of Warn and Fail
}

// String is the check in one line, for people.
func (c Check) String() string {
	line := c.Detail
	if c.Cure != "" {
		line += "; cure: " + c.Cure
	}
	return line
}

// Options say what to look at. A zero Timeout is 10 s.
type Options struct {
	Store   Store
	Sources []Source
	Timeout time.Duration // of one check
}

// Source is one source as the configuration has it.
type Source struct {
	Name        string
	Connection  oci.Config
	Select      []string
	Exclude     []string
	MaxReleases int
	Archive     string
}

// Run makes all checks and tells each as it ends. It reports whether none failed.
func Run(ctx context.Context, opts Options, tell func(Check)) (well bool) {
	if opts.Timeout == 0 {
		opts.Timeout = 10 * time.Second
	}
	well = true
	count := func(c Check) {
		well = well && c.Status != Fail
		tell(c)
	}
	onVolume := &series{ctx: ctx, timeout: opts.Timeout, where: "store", tell: count}
	found := opts.Store.check(onVolume)
	volume := nothing()
	if !onVolume.hangs { // else a check may still be writing to what it found
		volume = *found
	}
	for _, s := range opts.Sources {
		s.check(&series{ctx: ctx, timeout: opts.Timeout, where: s.Name, tell: count}, volume)
	}
	return well
}

// finding is what a check found.
type finding struct {
	status       Status
	detail, cure string
}

func ok(format string, args ...any) finding {
	return finding{status: OK, detail: fmt.Sprintf(format, args...)}
}

func warn(cure, format string, args ...any) finding {
	return finding{Warn, fmt.Sprintf(format, args...), cure}
}

func fail(cure, format string, args ...any) finding {
	return finding{Fail, fmt.Sprintf(format, args...), cure}
}

func skip(format string, args ...any) finding {
	return finding{status: Skipped, detail: fmt.Sprintf(format, args...)}
}

// series are checks along one way.
type series struct {
	ctx     context.Context // of Run
	timeout time.Duration
	where   string
	tell    func(Check)
	broken  string // the check that failed, and that the way leads over
	hangs   bool   // a check has never come back
}

// check makes a check that the ones after it need: if it fails, they are skipped.
func (s *series) check(what string, f func(ctx context.Context) finding) {
	if s.try(what, f) == Fail {
		s.broken = what
	}
}

// try makes a check that needs the ones before it, and which none after it needs.
func (s *series) try(what string, f func(ctx context.Context) finding) Status {
	if s.broken != "" {
		return s.report(what, skip("%s failed", s.broken))
	}
	return s.anyway(what, f)
}

// anyway makes a check, whatever failed before.
func (s *series) anyway(what string, f func(ctx context.Context) finding) Status {
	ctx, cancel := context.WithTimeout(s.ctx, s.timeout)
	defer cancel()
	done := make(chan finding, 1)
	go func() { done <- f(ctx) }()
	select {
	case found := <-done:
		return s.report(what, found)
	case <-ctx.Done():
	}
	select {
	case found := <-done: // it says itself what it waited for
		return s.report(what, found)
	case <-time.After(hangsAfter):
	}
	s.broken, s.hangs = what, true
	return s.report(what, fail("look at the volume and the node's kernel log: a system call waits there, as on a network volume whose server is gone",
		"it has not come back in %v", s.timeout))
}

// hangsAfter is how long a check that was told to end may take to say so.
const hangsAfter = 500 * time.Millisecond

func (s *series) report(what string, f finding) Status {
	s.tell(Check{Status: f.status, Where: s.where, What: what, Detail: f.detail, Cure: f.cure})
	return f.status
}

// holdings are what the store has room for and what it need not fetch.
type holdings struct {
	free    int64 // bytes above store.minFree; negative: unknown
	hasTree func(layer digest.Digest) bool
}

// nothing is what is known of a volume that nobody has looked at.
func nothing() holdings {
	return holdings{free: -1, hasTree: func(digest.Digest) bool { return false }}
}
