package main

import (
	"context"
	"io"
	"log/slog"
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

	mu      sync.Mutex
	cfg     *config.Config // in use; not changed, but replaced
	pollers []*poller.Poller
	gone    []string      // names of sources whose pollers are to end
	next    chan struct{} // closed when pollers have been replaced
}

// newSources makes the pollers of a configuration. Without reg nothing is counted.
func newSources(cfg *config.Config, st *store.Store, reg prometheus.Registerer, log *slog.Logger) (*sources, error) {
	g := &sources{cfg: cfg, store: st, metrics: newSyncMetrics(reg, cfg), log: log, next: make(chan struct{})}
	pollers, err := newPollers(cfg, st, g.metrics, log)
	g.pollers = pollers
	return g, err
}

// run polls until ctx ends, always with the latest pollers.
func (g *sources) run(ctx context.Context) {
	for ctx.Err() == nil {
		g.forgetGone()
		g.mu.Lock()
		pollers, next := g.pollers, g.next
		g.mu.Unlock()
		if len(pollers) == 0 {
			g.log.Info("No source.repository is configured: serving what is held or imported")
		}
		turn, stop := context.WithCancel(ctx)
		var running sync.WaitGroup
		for _, p := range pollers {
			running.Go(func() { p.Run(turn) })
		}
		select {
		case <-ctx.Done():
		case <-next:
		}
		stop()
		running.Wait()
	}
}

// forgetGone removes the series of sources that are gone, once nobody moves them.
func (g *sources) forgetGone() {
	g.mu.Lock()
	defer g.mu.Unlock()
	back := func(name string) bool {
		return slices.ContainsFunc(g.pollers, func(p *poller.Poller) bool { return p.Name == name })
	}
	g.metrics.remove(slices.DeleteFunc(g.gone, back))
	g.gone = nil
}

// replace makes run go on with other pollers, which begin with a sync.
func (g *sources) replace(cfg *config.Config) error {
	pollers, err := newPollers(cfg, g.store, g.metrics, g.log)
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	names := sourceNames(cfg)
	for _, p := range g.pollers {
		if !slices.Contains(names, p.Name) {
			g.gone = append(g.gone, p.Name)
		}
	}
	g.cfg, g.pollers = cfg, pollers
	close(g.next)
	g.next = make(chan struct{})
	return nil
}

func (g *sources) all() []*poller.Poller {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.pollers
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
