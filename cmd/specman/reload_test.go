package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/config"
	"github.com/specman/specman/internal/store"
)

// A change of the configuration is applied, or a restart is asked for: never neither.
func TestEveryKeyIsAppliedOrReadAtTheStart(t *testing.T) {
	below := func(key, part string) bool { return key == part || strings.HasPrefix(key, part+".") }
	applied := []string{"source", "gate", "log.level", "store.keep", "store.grace", "store.minFree", "store.scrubInterval",
		"store.maxTreeBytes", "store.maxFiles", "store.maxFileBytes"}
	for _, key := range config.Keys() {
		if below(key.Name, "webhook") {
			continue // refused
		}
		times := 0
		for part := range readAtStart(&config.Config{}) {
			if below(key.Name, part) {
				times++
			}
		}
		for _, part := range applied {
			if below(key.Name, part) {
				times++
			}
		}
		assert.Equal(t, 1, times, key.Name)
	}
}

// The default file may come late, and go: then what was in use stays, or nothing would be
// polled any more.
func TestTheDefaultFileComesAndGoes(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "config.yaml")
	st, err := store.Open(t.Context(), store.Options{Dir: filepath.Join(dir, "store")})
	require.NoError(t, err)
	defer st.Close()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s, err := newService(&app{defaultFile: file, stderr: &log})
		require.NoError(t, err)
		s.reloads = newReloadMetrics(prometheus.NewRegistry())
		group, err := newSources(s.cfg, st, nil, s.log)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			s.watchConfig(ctx, group, st)
		}()
		looked := func() {
			time.Sleep(2 * configPollInterval)
			synctest.Wait()
		}
		looked()
		assert.Empty(t, group.all())
		require.NoError(t, os.WriteFile(file, []byte("source: {repository: example.com/a}\n"), 0o600))
		looked()
		require.Len(t, group.all(), 1)
		assert.Nil(t, s.badConfig.Load())

		require.NoError(t, os.Remove(file))
		looked()
		assert.Len(t, group.all(), 1)
		require.NotNil(t, s.badConfig.Load())
		assert.ErrorContains(t, *s.badConfig.Load(), "config.yaml has gone")
		assert.Equal(t, 1, strings.Count(log.String(), "the old one stays in use"))

		require.NoError(t, os.WriteFile(file, []byte("source: {repository: example.com/b}\n"), 0o600))
		looked()
		assert.Equal(t, "example.com/b", group.all()[0].Repository)
		assert.Nil(t, s.badConfig.Load())
		cancel()
		<-ended
	})
}
