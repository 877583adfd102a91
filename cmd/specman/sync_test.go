package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/ops"
)

// Kubernetes starts an init container again until it ends with 0: the pod must not begin
// with nothing because the second try meets what the first one refused.
func TestASyncAfterWhichNothingIsHeldHasFailed(t *testing.T) {
	s := newSite(t)
	pushed := runWith(t, nil, "push", exampleTree(t), "oci-layout:"+s.layout+":1.0.0")
	require.Equal(t, 0, pushed.status, pushed.stderr)
	args := append(s.flags(), "sync", "--gate.requirePaths=/not/there")
	for range 2 {
		for _, flags := range [][]string{nil, {"--if-empty"}} {
			got := runWith(t, nil, append(args[:len(args):len(args)], flags...)...)
			assert.Equal(t, 1, got.status, got.stderr)
		}
	}
	got := runWith(t, nil, args...)
	assert.Contains(t, got.stderr, "nothing is held that could be served")
	assert.Contains(t, got.stderr, "sync --force")

	got = runWith(t, nil, append(s.flags(), "status")...)
	assert.Equal(t, 1, got.status)
	assert.Contains(t, got.stdout, "1.0.0 (sha256:")
	assert.Contains(t, got.stdout, "was refused at stage gate: ", "of a stopped service's store, too")

	got = runWith(t, nil, append(args, "--force")...)
	require.Equal(t, 0, got.status, got.stderr)
	got = runWith(t, nil, args...)
	assert.Equal(t, 0, got.status, got.stderr)
	got = runWith(t, nil, append(s.flags(), "status")...)
	assert.NotContains(t, got.stdout, "refused", "what has been got since is not")
}

func TestASyncWithoutASourceMakesNoStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	got := runWith(t, nil, "sync", "--store.dir="+dir)
	assert.Equal(t, 1, got.status, got.stderr)
	assert.Contains(t, got.stderr, "set source.repository")
	assert.NoDirExists(t, dir)
}

// A sync that SIGTERM ends says so: its failures are of what failed by itself.
func TestASyncThatIsInterruptedSaysSo(t *testing.T) {
	s := newSite(t)
	pushed := runWith(t, nil, "push", exampleTree(t), "oci-layout:"+s.layout+":1.0.0")
	require.Equal(t, 0, pushed.status, pushed.stderr)
	begun := filepath.Join(t.TempDir(), "begun")
	gate := filepath.Join(t.TempDir(), "gate")
	require.NoError(t, os.WriteFile(gate, []byte("#!/bin/sh\ntouch "+begun+"\nexec sleep 60\n"), 0o755))
	ctx, interrupt := context.WithCancel(t.Context())
	var stdout, stderr bytes.Buffer
	status := make(chan int, 1)
	go func() {
		args := append(s.flags(), "sync", "--log.level=error", "--gate.command="+gate)
		status <- run(ctx, args, nil, strings.NewReader(""), &stdout, &stderr)
	}()
	require.Eventually(t, func() bool { _, err := os.Stat(begun); return err == nil }, 10*time.Second, 5*time.Millisecond)
	interrupt()
	assert.Equal(t, 1, <-status)
	assert.Equal(t, "specman: interrupted\n", stderr.String())
	assert.Empty(t, stdout.String())
}

// It prints the same with a service and without one, and no list of it is null.
func TestASyncAsJSON(t *testing.T) {
	s := newSite(t)
	args := append(s.flags(), "sync", "-o", "json")
	got := runWith(t, nil, args...)
	assert.Equal(t, 1, got.status, "nothing was pushed yet")
	assert.NotContains(t, got.stdout, "null")
	s.push(exampleTree(t), "1.0.0")
	for _, way := range []string{"alone", "with a service"} {
		got = runWith(t, nil, args...)
		require.Equal(t, 0, got.status, got.stderr)
		assert.NotContains(t, got.stdout, "null", way)
		var result map[string]any
		require.NoError(t, json.Unmarshal([]byte(got.stdout), &result))
		assert.Equal(t, ops.Replica(), result["replica"], way)
		if way == "alone" {
			startService(t, s.flags()...).ready()
		}
	}
}
