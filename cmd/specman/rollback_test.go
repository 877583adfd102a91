package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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
