package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/specman/specman/internal/config"
	"github.com/specman/specman/internal/httpserve"
	"github.com/specman/specman/internal/ops"
	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/importer"
)

const (
	// lockWait is how long a new process waits for the old one to let go of
	// the store.
	lockWait = 30 * time.Second
	// drainTime is how long answers that are under way may take at the end. It
	// is less than the 30 s that Kubernetes gives a pod.
	drainTime = 20 * time.Second
)

// service is everything that `specman serve` runs. Commands that do a part of
// it themselves have no metrics: nobody could read them.
type service struct {
	app     *app
	cfg     *config.Config
	log     *slog.Logger
	metrics *prometheus.Registry
	reloads reloadMetrics
	// badConfig is why the configuration on disk is not the one in use; nil where it is.
	badConfig atomic.Pointer[error]
}

func newService(app *app) (*service, error) {
	loaded, err := app.config()
	if err != nil {
		return nil, err
	}
	log, err := app.logger()
	if err != nil {
		return nil, err
	}
	return &service{app: app, cfg: &loaded.Config, log: log}, nil
}

// measure makes the metrics, and those of the process itself.
func (s *service) measure() {
	s.metrics = prometheus.NewRegistry()
	s.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s.reloads = newReloadMetrics(s.metrics)
}

// storeOptions is the store's part of the configuration.
func storeOptions(cfg *config.Config, log *slog.Logger) store.Options {
	c := cfg.Store
	return store.Options{
		Dir: c.Dir, Sources: sourceNames(cfg), Keep: c.Keep, Grace: c.Grace, MinFree: c.MinFree,
		ScrubInterval: c.ScrubInterval, LockWait: lockWait, Logger: log,
	}
}

// run serves until ctx ends, or one of the servers fails. What is held is
// served before any registry is asked.
func (s *service) run(ctx context.Context) (err error) {
	limitMemory(s.cfg.HTTP.CacheBytes, s.log)
	boundHeadroom(headroom(s.cfg.HTTP.CacheBytes), startOfService)
	seedStacks()
	s.measure()
	opts := storeOptions(s.cfg, s.log)
	opts.Registerer = s.metrics
	st, err := store.Open(ctx, opts)
	if err != nil {
		return storeError(err)
	}
	defer func() { err = errors.Join(err, st.Close()) }()

	group, err := newSources(s.cfg, st, s.metrics, s.log)
	if err != nil {
		return err
	}
	variants, err := newVariants(s.cfg, st, s.log)
	if err != nil {
		return err
	}
	defer variants.close()
	web, err := httpserve.New(s.webOptions(st, group, variants))
	if err != nil {
		return err
	}
	listener, err := web.Listen(ctx)
	if err != nil {
		return err
	}
	control := ops.New(s.opsOptions(st, group, web))
	if err := control.Start(); err != nil {
		listener.Close()
		return err
	}
	s.log.Info("Serving", "address", "https://"+listener.Addr().String(), "ops", "http://"+control.Addr().String(), "view", servedID(st), "version", build().Version)

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	serve := func(f func() error) {
		running.Go(func() {
			if err := f(); err != nil {
				cancel(err)
			}
		})
	}
	serve(func() error { return web.Serve(listener) })
	serve(func() error { return control.Run(ctx) })
	running.Go(func() { st.Housekeep(ctx) })
	running.Go(func() { variants.run(ctx) })
	running.Go(func() { group.run(ctx) })
	running.Go(func() { s.watchConfig(ctx, group, st) })
	running.Go(func() { onHangup(ctx, group.Trigger) })

	<-ctx.Done()
	s.log.Info("Ending; answers under way may end", "within", drainTime)
	drain, stop := context.WithTimeout(context.Background(), drainTime)
	defer stop()
	shutdown := web.Shutdown(drain)
	running.Wait()
	st.KeepSuccesses()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	if shutdown != nil {
		s.log.Warn("Some answers were cut off", "error", shutdown)
	}
	return nil
}

func (s *service) webOptions(st *store.Store, group *sources, v *variants) httpserve.Options {
	h := s.cfg.HTTP
	return httpserve.Options{
		Views: st, Logger: s.log, Registerer: s.metrics,
		Listen: h.Listen,
		TLS: httpserve.TLSOptions{
			CertFile: h.TLS.CertFile, KeyFile: h.TLS.KeyFile, ClientCAFile: h.TLS.ClientCAFile,
			Hosts: h.TLS.Hosts, Dir: filepath.Join(st.Dir(), "tls"),
		},
		HtpasswdFile: h.Auth.HtpasswdFile, Listing: h.Listing, CacheBytes: h.CacheBytes, Variants: v.store,
		MaxConnections: h.MaxConnections, AccessLog: s.cfg.Log.Access,
		Why: group.whyNothing,
		OnDamage: func(v *store.View, e store.Entry) {
			st.ReportDamage(v, e)
			group.TriggerRepair() // a sync fetches a damaged tree anew
		},
	}
}

// notices are what a person should know of what the service was given to read.
func (s *service) notices(web *httpserve.Server) (all []ops.Notice) {
	if err := s.badConfig.Load(); err != nil {
		all = append(all, ops.Notice{
			What: fmt.Sprintf("the configuration on disk is not in use: %v", *err),
			Cure: "mend it before the next restart; `specman config` checks it",
		})
	}
	for _, err := range web.BadFiles() {
		all = append(all, ops.Notice{
			What: fmt.Sprintf("cannot use the %v", err),
			Cure: "what was in use before, if anything, is; it is read again when it changes",
		})
	}
	return all
}

func (s *service) opsOptions(st *store.Store, group *sources, web *httpserve.Server) ops.Options {
	return ops.Options{
		Store: st, Pollers: group.pollersForOps, Import: group.importInto,
		TakeBack: func(by string) ([]store.Release, error) { return importer.TakeBack(st, by, group.unpolled()...) },
		Notices:  func() []ops.Notice { return s.notices(web) },
		Logger:   s.log, Registerer: s.metrics, Gatherer: s.metrics,
		Listen: s.cfg.Ops.Listen, TokenFile: s.cfg.Ops.TokenFile, Pprof: s.cfg.Ops.Pprof, Socket: s.cfg.Control.Socket,
		Version: build().Version, Revision: build().Revision,
	}
}

// storeError adds the cure to what keeps a store from being opened.
func storeError(err error) error {
	if errors.Is(err, store.ErrLocked) {
		return withCure(err, "end that process first; beside a running service, `specman sync` and the other commands go through its control socket")
	}
	return err
}

func servedID(st *store.Store) string {
	if v := st.Acquire(); v != nil {
		defer v.Close()
		return v.ID()
	}
	return "none yet"
}

// onHangup calls f at each SIGHUP until ctx ends.
func onHangup(ctx context.Context, f func()) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			f()
		}
	}
}
