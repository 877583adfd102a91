package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/testenv"
)

// messages are those of the history of one kind, oldest first.
func messages(events []store.Event, kind string) (all []string) {
	for _, e := range events {
		if e.Kind == kind {
			all = append(all, e.Message)
		}
	}
	return all
}

func (s *site) messages(kind string) []string {
	s.t.Helper()
	held, err := store.Read(s.folder)
	require.NoError(s.t, err)
	defer held.Close()
	return messages(held.Events, kind)
}

// Who did what when is in the history, whichever way it was asked for.
func TestWhoDidIt(t *testing.T) {
	s := newSite(t)
	s.push(exampleTree(t), "1.0.0")
	require.Len(t, s.messages("sync"), 1)
	assert.Equal(t, "sync, by specman sync, the service stopped: got 1.0.0; what is served has changed", s.messages("sync")[0])

	file := writeArchive(t, "a.tgz", testenv.TGZ(t, map[string]string{"x": "1"}))
	imports := append([]string{"import", file, "--tag=9.0.0"}, s.flags()...)
	for range 2 { // as an init container does
		got := runWith(t, nil, imports...)
		require.Equal(t, 0, got.status, got.stderr)
	}
	require.Len(t, s.messages("import"), 1, "what is held was not brought")
	assert.Regexp(t, `^imported 9\.0\.0 \(sha256:\w+\), by specman import, the service stopped$`, s.messages("import")[0])

	file = writeArchive(t, "b.tgz", testenv.TGZ(t, map[string]string{"x": "2"}))
	got := runWith(t, nil, append([]string{"import", file, "--tag=9.0.0"}, s.flags()...)...)
	require.Equal(t, 0, got.status, got.stderr)
	got = runWith(t, nil, append(s.flags(), "gc", "--store.keep=0", "--store.grace=0s")...)
	require.Equal(t, 0, got.status, got.stderr)
	assert.Equal(t, []string{"gc, by specman gc, the service stopped: removed releases: 1, trees: 1"}, s.messages("gc"), got.stdout)

	service := startService(t, s.flags()...)
	for _, args := range [][]string{{"sync", "--force"}, {"import", file, "--tag=9.0.1", "--force"}} {
		got = runWith(t, nil, append(args, s.flags()...)...)
		require.Equal(t, 0, got.status, got.stderr)
	}
	_, body := service.get("/api/v1/events")
	var events []store.Event
	require.NoError(t, json.Unmarshal([]byte(body), &events))
	assert.Equal(t, "forced sync, by the control socket: nothing changed", messages(events, "sync")[0])
	forced := messages(events, "import")[0]
	assert.True(t, strings.HasPrefix(forced, "forced import of 9.0.1 (") && strings.HasSuffix(forced, "by the control socket"), forced)
}
