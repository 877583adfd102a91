package poller

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
)

// ErrEnded is returned to who waits for a sync of a poller that has ended: the
// service ends, or a changed configuration has put another in its place.
var ErrEnded = errors.New("polling has ended: the service ends, or its configuration has changed")

// watchInterval is how often, while a failed sync waits for the next try, the
// credentials are looked at for a change.
const watchInterval = 2 * time.Second

// maxNeeds bounds how many layers a poller remembers the needs of.
const maxNeeds = 100

// repairPause is how long after a sync began damage asks for another.
const repairPause = time.Minute

// Poller polls one source. Its methods are safe for concurrent use.
type Poller struct {
	Config
	log *slog.Logger

	running sync.Mutex // one sync at a time
	// Guarded by running.
	seen    seen
	needs   map[digest.Digest]need      // what layers need whose trees found the volume full
	lost    map[digest.Digest]time.Time // damaged layers that could not be fetched anew, and when to ask for them again
	mending mending                     // how the registry is asked for them
	// stumbled are the questions that ended without an answer when they were last asked, and when.
	stumbled map[question]time.Time

	wake  chan struct{} // capacity 1: there are requests
	begun atomic.Bool   // Run has begun, or never will
	ended chan struct{} // closed when Run has ended

	mu        sync.Mutex
	requests  []request
	status    Status
	backedOff bool // the wait is one after a failure

	ofView viewNotices
}

// Ask is what a sync does beyond what one does that is due.
type Ask struct {
	Force bool // remembered refusals and the gate do not hold
	Mend  bool // what is damaged, held and not followed is asked for whenever that was last in vain
	// By is who asked for it by hand, for the history; empty: nobody did.
	By string
}

func (a Ask) and(b Ask) Ask {
	return Ask{Force: a.Force || b.Force, Mend: a.Mend || b.Mend, By: askers(a.By, b.By)}
}

// request is somebody who wants a sync now, and may wait for its outcome.
type request struct {
	ask  Ask
	done chan Outcome // capacity 1
}

// New returns a poller that does nothing until Run or Once.
func New(cfg Config) *Poller {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	p := &Poller{Config: cfg, log: cfg.Logger, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	if cfg.Name != "default" {
		p.log = p.log.With("source", cfg.Name)
	}
	p.status = Status{Source: cfg.Name, Repository: cfg.Repository, LastSuccess: cfg.Store.Succeeded(cfg.whose())}
	cfg.Metrics.succeeded(cfg.Name, p.status.LastSuccess)
	return p
}

// whose names what is polled for the store's note of successes: another repository is
// another source.
func (c *Config) whose() string { return c.Name + " " + c.Repository }

// Abandon ends a poller that another one replaces. Where Run has not begun it never will,
// so that nobody waits for a sync in vain.
func (p *Poller) Abandon() {
	if !p.begun.Swap(true) {
		close(p.ended)
	}
}

// Run polls until ctx ends, once. The first sync begins at once.
func (p *Poller) Run(ctx context.Context) {
	if p.begun.Swap(true) {
		return
	}
	defer close(p.ended)
	var pace pace
	for ctx.Err() == nil {
		waiting := p.takeRequests()
		var ask Ask
		for _, r := range waiting {
			ask = ask.and(r.ask)
		}
		outcome := p.Once(ctx, ask)
		wait := pace.next(p, outcome)
		p.setNext(time.Now().Add(wait), pace.failures > 0)
		for _, r := range waiting {
			r.done <- outcome
		}
		if p.sleep(ctx, wait, pace.failures > 0, outcome.with) {
			pace.reset() // what was refused before says nothing of the new ones
		}
	}
}

// sleep returns after wait, when somebody asks for a sync, or, after a failed
// sync, when a credential or certificate is another than it was made with, which
// it reports.
func (p *Poller) sleep(ctx context.Context, wait time.Duration, failed bool, with string) (changed bool) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	var look <-chan time.Time
	if failed {
		ticker := time.NewTicker(watchInterval)
		defer ticker.Stop()
		look = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return false
		case <-p.wake:
			return false
		case <-look:
			if p.Source.Fingerprint() != with {
				p.log.Info("Credentials or certificates changed: trying again")
				return true
			}
		}
	}
}

// Trigger asks for a sync now, back-off or not. Several before the next sync
// begins are one.
func (p *Poller) Trigger() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// TriggerRepair asks for a sync because a client has met damage. Other than
// Trigger it keeps to the back-off, and to one sync a minute: what a client asks
// for, and how often, must not come out at the registry.
func (p *Poller) TriggerRepair() {
	p.mu.Lock()
	due := !p.backedOff && time.Since(p.status.LastAttempt) >= repairPause
	p.mu.Unlock()
	if due {
		p.Trigger()
	}
}

// Sync asks for a sync now and waits for it. What it returns is of a sync that
// began after the call. The error is ErrEnded or ctx's.
func (p *Poller) Sync(ctx context.Context, ask Ask) (Outcome, error) {
	r := request{ask: ask, done: make(chan Outcome, 1)}
	p.mu.Lock()
	p.requests = append(p.requests, r)
	p.mu.Unlock()
	p.Trigger()
	select {
	case outcome := <-r.done:
		return outcome, nil
	case <-p.ended:
		return Outcome{}, ErrEnded
	case <-ctx.Done():
		return Outcome{}, ctx.Err()
	}
}

func (p *Poller) takeRequests() []request {
	p.mu.Lock()
	defer p.mu.Unlock()
	requests := p.requests
	p.requests = nil
	// They are served by the sync that begins now; the wake-up was for them.
	select {
	case <-p.wake:
	default:
	}
	return requests
}
