package main

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/config"
	"github.com/specman/specman/internal/ops"
	"github.com/specman/specman/internal/store"
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
