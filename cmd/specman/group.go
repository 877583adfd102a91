package main

import (
	"context"
	"io"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/specman/specman/internal/config"
	"github.com/specman/specman/internal/ops"
	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/importer"
	"github.com/specman/specman/internal/sync/poller"
)

// sources are the pollers of all configured sources, which a changed
// configuration replaces. Its methods are safe for concurrent use.
type sources struct {
	store   *store.Store
	metrics syncMetrics
	log     *slog.Logger

	mu     sync.Mutex
	cfg    *config.Config // in use; not changed, but replaced
	polled []polled
	gone   []string      // names of sources whose pollers are to end
	next   chan struct{} // closed when pollers have been replaced
}

// polled is a source that is polled.
type polled struct {
	plan   plan
	poller *poller.Poller
}

// newSources makes the pollers of a configuration. Without reg nothing is counted.
func newSources(cfg *config.Config, st *store.Store, reg prometheus.Registerer, log *slog.Logger) (*sources, error) {
	g := &sources{cfg: cfg, store: st, metrics: newSyncMetrics(reg, cfg), log: log, next: make(chan struct{})}
	var err error
	g.polled, err = g.pollersOf(cfg)
	return g, err
}

// pollersOf makes the pollers of a configuration, but for those in use of which it
// changes nothing. To be called under mu.
func (g *sources) pollersOf(cfg *config.Config) (all []polled, err error) {
	for _, next := range plansOf(cfg) {
		n := slices.IndexFunc(g.polled, func(p polled) bool { return reflect.DeepEqual(p.plan, next) })
		if n >= 0 {
			all = append(all, g.polled[n])
			continue
		}
		p, err := next.poller(g.store, g.metrics, g.log)
		if err != nil {
			return nil, err
		}
		all = append(all, polled{next, p})
	}
	return all, nil
}

// run polls until ctx ends, always with the latest pollers.
func (g *sources) run(ctx context.Context) {
	running := make(polling)
	defer running.end(nil)
	for ctx.Err() == nil {
		pollers, gone, next := g.latest()
		// Two pollers of a source would be in each other's way.
		ended := running.end(pollers)
		g.forget(gone)
		if len(pollers) == 0 {
			g.log.Info("No source.repository is configured: serving what is held or imported")
		}
		for _, p := range pollers {
			running.start(ctx, p, ended)
		}
		select {
		case <-ctx.Done():
		case <-next:
		}
	}
}

// polling are the pollers that run, each with what ends it and waits for that.
type polling map[*poller.Poller]func()

// start runs a poller, if it does not run yet. It begins with what one of those that
// have ended knows of the same repository.
func (running polling) start(ctx context.Context, p *poller.Poller, ended []*poller.Poller) {
	if running[p] != nil {
		return
	}
	for _, old := range ended {
		if old.Name == p.Name && old.Repository == p.Repository {
			p.Inherit(old)
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.Run(ctx)
	}()
	running[p] = func() { cancel(); <-done }
}

// end ends all pollers but those that stay, and returns them.
func (running polling) end(staying []*poller.Poller) (ended []*poller.Poller) {
	var ending sync.WaitGroup
	for p, stop := range running {
		if !slices.Contains(staying, p) {
			ending.Go(stop)
			ended = append(ended, p)
			delete(running, p)
		}
	}
	ending.Wait()
	return ended
}

// latest returns the pollers that are to run, the names of sources that are to be
// forgotten once theirs have ended, and what is closed when there are others.
func (g *sources) latest() (pollers []*poller.Poller, gone []string, next <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	gone, g.gone = g.gone, nil
	return g.allLocked(), gone, g.next
}

// forget removes the series of sources that are gone, and not back meanwhile.
func (g *sources) forget(names []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.metrics.remove(slices.DeleteFunc(names, func(name string) bool {
		return slices.ContainsFunc(g.polled, func(p polled) bool { return p.poller.Name == name })
	}))
}

// replace makes run go on with the pollers of another configuration. Those of which it
// changes nothing go on as they were; the others begin with a sync.
func (g *sources) replace(cfg *config.Config) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	pollers, err := g.pollersOf(cfg)
	if err != nil {
		return err
	}
	names := sourceNames(cfg)
	for _, p := range g.polled {
		if !slices.Contains(names, p.poller.Name) {
			g.gone = append(g.gone, p.poller.Name)
		}
		if !slices.ContainsFunc(pollers, func(next polled) bool { return next.poller == p.poller }) {
			p.poller.Abandon()
		}
	}
	g.cfg, g.polled = cfg, pollers
	close(g.next)
	g.next = make(chan struct{})
	return nil
}

func (g *sources) all() []*poller.Poller {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.allLocked()
}

func (g *sources) allLocked() (all []*poller.Poller) {
	for _, p := range g.polled {
		all = append(all, p.poller)
	}
	return all
}

// unpolled are the configured sources that have no repository.
func (g *sources) unpolled() (names []string) {
	for _, s := range g.config().Sources {
		if s.Repository == "" {
			names = append(names, s.Name)
		}
	}
	return names
}

// pollersForOps are the pollers as the ops server wants them.
func (g *sources) pollersForOps() []ops.Poller {
	var all []ops.Poller
	for _, p := range g.all() {
		all = append(all, p)
	}
	return all
}

// importInto imports under the limits and rules that are in use now.
func (g *sources) importInto(ctx context.Context, body io.Reader, r ops.ImportRequest) (importer.Result, error) {
	return importInto(ctx, g.store, g.config(), g.log, body, r)
}

// config is the configuration in use.
func (g *sources) config() *config.Config {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cfg
}

// Trigger has all sources polled now.
func (g *sources) Trigger() {
	for _, p := range g.all() {
		p.Trigger()
	}
}

// TriggerRepair has the sources polled soon, because a client has met damage.
func (g *sources) TriggerRepair() {
	for _, p := range g.all() {
		p.TriggerRepair()
	}
}

// Status returns what is known of each source, the top of the view first.
func (g *sources) Status() []poller.Status {
	var all []poller.Status
	for _, p := range g.all() {
		all = append(all, p.Status())
	}
	return all
}

// whyNothing says, for a client of the tree, why nothing is served yet. It
// names no host and no credential.
func (g *sources) whyNothing() string {
	var why []string
	for _, s := range g.Status() {
		switch {
		case len(s.Failures) > 0:
			why = append(why, s.Failures[len(s.Failures)-1].Summary())
		case slices.ContainsFunc(s.Followed, poller.Followed.Refused):
			why = append(why, "what was pushed is refused")
		case s.Syncing:
			why = append(why, "the first sync is under way")
		}
	}
	if len(why) == 0 {
		return "nothing was fetched or imported yet"
	}
	return strings.Join(why, "; ") + "; `specman status` says more"
}
