package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/store"
)

// Nothing is served while no service runs, whatever a command has settled.
func TestAMoveWithTheServiceStopped(t *testing.T) {
	s := newSite(t)
	s.push(exampleTree(t), "1.0.0")
	s.push(writeTree(t, map[string]string{"roar/notes.txt": "newer\n"}), "2.0.0")
	move := func(args ...string) string {
		t.Helper()
		got := runWith(t, nil, append(args, s.flags()...)...)
		require.Equal(t, 0, got.status, got.stderr)
		return got.stdout
	}
	assert.NotContains(t, move("rollback", "--dry-run"), "once the service runs")
	for _, command := range []string{"rollback", "unpin"} {
		stdout := move(command)
		assert.Regexp(t, `^\S+ would serve v-\w+\nonce the service runs: it does not now\n`, stdout, command)
	}
	startService(t, s.flags()...).ready()
	for _, command := range []string{"rollback", "unpin"} {
		stdout := move(command)
		assert.Regexp(t, `^\S+ serves v-\w+\n  `, stdout, command)
	}
}

// What somebody may want to go back to is not called held where it is not to be had.
func TestReleasesSaysWhatIsLostOrForgotten(t *testing.T) {
	s := newSite(t)
	for _, tag := range []string{"1.0.0", "2.0.0"} {
		s.push(writeTree(t, map[string]string{"a": tag}), tag)
	}
	forget := append([]string{"forget", "1.0.0"}, s.flags()...)
	require.Equal(t, 0, runWith(t, nil, forget...).status)
	again := runWith(t, nil, forget...)
	assert.Equal(t, 1, again.status)
	assert.Contains(t, again.stderr, "it is forgotten already; `specman sync --force` takes it back")
	releases := func() string { return runWith(t, nil, append([]string{"releases"}, s.flags()...)...).stdout }
	assert.Contains(t, releases(), "1.0.0  held, forgotten\n")

	held, err := store.Read(s.folder)
	require.NoError(t, err)
	defer held.Close()
	for _, r := range held.Releases {
		if r.Tag == "1.0.0" {
			require.NoError(t, os.RemoveAll(filepath.Join(s.folder, "trees", strings.Replace(r.Layer.String(), ":", "-", 1))))
		}
	}
	assert.Contains(t, releases(), "1.0.0  lost, forgotten\n")
}
