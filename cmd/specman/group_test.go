package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/config"
	"github.com/specman/specman/internal/ops"
	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/oci"
	"github.com/specman/specman/internal/sync/poller"
	"github.com/specman/specman/internal/testenv"
)

func TestASourceThatIsTakenOutLeavesNoSeries(t *testing.T) {
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	defer st.Close()
	configured := func(names ...string) *config.Config {
		cfg := &config.Config{}
		for _, name := range names {
			cfg.Sources = append(cfg.Sources, config.Source{
				Name: name, Repository: "oci-layout:" + t.TempDir(), Select: []string{"versions"}, MaxReleases: 1,
				Interval: time.Hour, Timeout: time.Minute, MaxBackoff: time.Minute,
			})
		}
		return cfg
	}
	reg := prometheus.NewRegistry()
	g, err := newSources(configured("a", "b"), st, reg, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	series := func() int {
		n, err := testutil.GatherAndCount(reg, "specman_last_sync_success_timestamp_seconds")
		require.NoError(t, err)
		return n
	}
	assert.Equal(t, 2, series())

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { g.run(ctx); close(ended) }()
	require.NoError(t, g.replace(configured("b")))
	assert.Eventually(t, func() bool { return series() == 1 }, 30*time.Second, 5*time.Millisecond)
	cancel()
	<-ended
}

func TestAnImportIsJudgedByTheRulesInUse(t *testing.T) {
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	defer st.Close()
	cfg := &config.Config{Sources: []config.Source{{Name: "default"}}}
	g, err := newSources(cfg, st, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	importing := func(name string) error {
		_, err := g.importInto(t.Context(), bytes.NewReader(testenv.TGZ(t, map[string]string{name: "1"})), ops.ImportRequest{Tag: "1.0.0"})
		return err
	}
	require.NoError(t, importing("a"))
	next := *cfg
	next.Gate.RequirePaths = []string{"/a"}
	require.NoError(t, g.replace(&next))
	assert.ErrorContains(t, importing("b"), "gate.requirePaths")
	require.NoError(t, g.replace(cfg))
	assert.NoError(t, importing("b"))
}

// An edit of the configuration is no reason to forget what is known of a registry, nor to
// cut a download of a source that it says nothing new of.
func TestAChangedConfigurationForgetsNothing(t *testing.T) {
	layout := filepath.Join(t.TempDir(), "layout")
	repository, err := oci.Open(oci.Config{Repository: "oci-layout:" + layout})
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "manifests.tgz")
	require.NoError(t, os.WriteFile(file, testenv.TGZ(t, map[string]string{"a": "1"}), 0o600))
	_, err = repository.Push(t.Context(), oci.PushRequest{File: file, Tag: "1.0.0", Created: time.Now()})
	require.NoError(t, err)
	configured := func() *config.Config {
		return &config.Config{Sources: []config.Source{{
			Name: "default", Repository: "oci-layout:" + layout, Select: []string{"versions"}, MaxReleases: 9, Archive: "manifests.tgz",
			Interval: time.Hour, Timeout: time.Minute, MaxBackoff: time.Minute,
		}}}
	}
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	defer st.Close()
	g, err := newSources(configured(), st, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { g.run(ctx); close(ended) }()
	defer func() { cancel(); <-ended }()
	result := func(want poller.Result) func() bool {
		return func() bool { return g.Status()[0].LastResult == want }
	}
	require.Eventually(t, result(poller.Success), 30*time.Second, time.Millisecond)
	before, inUse := g.Status()[0], g.all()[0]
	require.False(t, before.LastSuccess.IsZero())
	require.NoError(t, os.Rename(filepath.Join(layout, "index.json"), filepath.Join(layout, "away")))
	require.NoError(t, os.Mkdir(filepath.Join(layout, "index.json"), 0o755)) // it is there, and cannot be read

	other := configured()
	other.Log.Level, other.Store.Keep = "debug", 7
	require.NoError(t, g.replace(other))
	assert.Same(t, inUse, g.all()[0])
	o, err := inUse.Sync(t.Context(), poller.Ask{})
	require.NoError(t, err, "it goes on")
	assert.Equal(t, poller.Failed, o.Result)

	for n, change := range []func(*config.Config){
		func(c *config.Config) { c.Sources[0].MaxReleases = 3 },
		func(c *config.Config) { c.Store.MaxFiles = 7 },
		func(c *config.Config) { c.Gate.RequirePaths = []string{"/a"} },
	} {
		next := configured()
		change(next)
		require.NoError(t, g.replace(next))
		assert.NotSame(t, inUse, g.all()[0])
		require.Eventually(t, result(poller.Failed), 30*time.Second, time.Millisecond)
		after := g.Status()[0]
		assert.Equal(t, before.LastSuccess, after.LastSuccess)
		assert.Equal(t, n+2, after.ConsecutiveFailures)
		assert.Equal(t, before.Followed[0].Registry, after.Followed[0].Registry)
	}

	elsewhere := configured()
	elsewhere.Sources[0].Repository = "oci-layout:" + t.TempDir()
	require.NoError(t, g.replace(elsewhere))
	require.Eventually(t, result(poller.Failed), 30*time.Second, time.Millisecond)
	assert.Zero(t, g.Status()[0].LastSuccess, "another repository is another source")
}
