package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/specman/specman/internal/config"
	"github.com/specman/specman/internal/logging"
	"github.com/specman/specman/internal/store"
)

// configPollInterval is how often the configuration file is looked at. Watching
// it would miss the symlink swap of a Kubernetes volume on some file systems.
const configPollInterval = 2 * time.Second

// reloadMetrics tell whether the configuration that is in use is the one on disk.
type reloadMetrics struct {
	successful prometheus.Gauge
	at         prometheus.Gauge
}

func newReloadMetrics(reg prometheus.Registerer) reloadMetrics {
	f := promauto.With(reg)
	m := reloadMetrics{
		successful: f.NewGauge(prometheus.GaugeOpts{Name: "specman_config_last_reload_successful", Help: "1 if the last reading of the configuration succeeded."}),
		at:         f.NewGauge(prometheus.GaugeOpts{Name: "specman_config_last_reload_success_timestamp_seconds", Help: "When the configuration in use was read."}),
	}
	m.succeeded()
	return m
}

func (m reloadMetrics) succeeded() {
	m.successful.Set(1)
	m.at.SetToCurrentTime()
}

// watchConfig applies a changed configuration file until ctx ends, the default one also
// where it comes only then. A bad one is reported once and the old one stays in use, and
// so it does where the file has gone: that must not end the polling.
func (s *service) watchConfig(ctx context.Context, group *sources, st *store.Store) {
	path := cmp.Or(s.app.loaded.File, s.app.defaultFile)
	last := fileSum(path)
	tick := time.NewTicker(configPollInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		sum := fileSum(path)
		if sum == last {
			continue
		}
		last = sum
		loaded, err := s.app.loadConfig()
		if err == nil && loaded.File == "" {
			err = fmt.Errorf("%s has gone; a restart would go on without it", path)
		}
		if err == nil {
			err = s.apply(loaded, group, st)
		}
		if err != nil {
			s.reloads.successful.Set(0)
			s.badConfig.Store(&err)
			s.log.Error("The changed configuration is wrong; the old one stays in use", "error", err)
			continue
		}
		s.reloads.succeeded()
		s.badConfig.Store(nil)
	}
}

// apply puts into use what can change while the service runs: the sources, the
// limits and rules for releases, the store's retention, the log's level. For
// the rest a restart is asked for.
func (s *service) apply(loaded *config.Loaded, group *sources, st *store.Store) error {
	next := &loaded.Config
	level, err := logging.ParseLevel(next.Log.Level)
	if err != nil {
		return err
	}
	if !slices.Equal(sourceNames(next), sourceNames(s.cfg)) {
		group.metrics.add(sourceNames(next))
	}
	if err := group.replace(next); err != nil {
		return err
	}
	if err := st.Configure(storeOptions(next, s.log)); err != nil {
		s.log.Error("What the changed configuration leads to cannot be served yet; what was served still is, and the next sync tries again", "error", err)
	}
	s.app.logLevel.Set(level)
	for _, warning := range loaded.Warnings {
		s.log.Warn(warning)
	}
	if keys := needRestart(s.cfg, next); len(keys) > 0 {
		s.log.Warn("Some changes of the configuration need a restart", "keys", strings.Join(keys, ","))
	}
	s.log.Info("The changed configuration is in use", "file", loaded.File)
	// What needs a restart goes on being compared with what is in use.
	running := *s.cfg
	running.Sources, running.Gate, running.Log.Level = next.Sources, next.Gate, next.Log.Level
	s.cfg = &running
	return nil
}

// needRestart names the parts of the configuration that differ and are only
// read at the start.
func needRestart(old, next *config.Config) []string {
	before := readAtStart(old)
	maps.DeleteFunc(before, func(part string, value any) bool { return reflect.DeepEqual(value, readAtStart(next)[part]) })
	return slices.Sorted(maps.Keys(before))
}

// readAtStart are the parts of a configuration that apply leaves as they were.
func readAtStart(c *config.Config) map[string]any {
	return map[string]any{
		"store.dir": c.Store.Dir, "http": c.HTTP, "ops": c.Ops, "control.socket": c.Control,
		"log.format": c.Log.Format, "log.access": c.Log.Access,
	}
}

// fileSum is what a file holds, as a sum; the same for every file that cannot
// be read.
func fileSum(path string) [sha256.Size]byte {
	data, err := os.ReadFile(path)
	if err != nil {
		return [sha256.Size]byte{}
	}
	return sha256.Sum256(data)
}
