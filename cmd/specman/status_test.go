package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/ops"
	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/testenv"
)

// before asserts that texts come in this order in a text.
func before(t *testing.T, text string, order ...string) {
	t.Helper()
	rest := text
	for _, said := range order {
		_, after, found := strings.Cut(rest, said)
		assert.True(t, found, "%q comes next in\n%s", said, text)
		if found {
			rest = after
		}
	}
}

func TestStatusOfARunningService(t *testing.T) {
	s := newSite(t)
	s.push(exampleTree(t), "4.5.11")
	s.push(writeTree(t, map[string]string{"roar/notes.txt": "newer\n", "evil": "-> /etc/passwd"}), "4.5.13")
	service := startService(t, s.flags()...)
	service.ready()

	got := runWith(t, nil, append(s.flags(), "sync")...)
	require.Equal(t, 0, got.status, got.stderr)
	got = runWith(t, nil, append(s.flags(), "status")...)
	assert.Equal(t, 0, got.status, got.stderr)
	before(t, got.stdout,
		"! 1 entries of the archive of 4.5.13 are not served", "specman inspect",
		"serving v-", " since ", "4.5.13 on top, sha256:", "of 2 releases",
		"WHY", "4.5.13", "4.5.11",
		"source default: oci-layout:", "last attempt", "last success", "next attempt",
		"store "+s.folder, "replica ")

	require.NoError(t, os.WriteFile(filepath.Join(s.layout, "index.json"), []byte("{"), 0o644))
	got = runWith(t, nil, append(s.flags(), "sync")...)
	assert.Equal(t, 1, got.status)
	got = runWith(t, nil, append(s.flags(), "status")...)
	assert.Equal(t, 0, got.status, "the service runs, and serves")
	before(t, got.stdout, "serving v-", ": error", "last success", "failures      1 in a row", "failed at stage list: ")

	got = runWith(t, nil, append(s.flags(), "status", "-o", "json")...)
	var st ops.Status
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &st))
	assert.True(t, st.Running)
	assert.NotEmpty(t, st.Sources[0].Failures)
	assert.True(t, st.Sources[0].LastSuccess.Before(st.Sources[0].LastAttempt))
	status, page := service.get("/")
	assert.Equal(t, http.StatusOK, status)
	assert.Contains(t, page, "failed at stage list")
}

func TestStatusWithTheServiceStopped(t *testing.T) {
	s := newSite(t)
	s.push(exampleTree(t), "4.5.13")
	got := runWith(t, nil, append(s.flags(), "status")...)
	assert.Equal(t, 1, got.status)
	assert.Empty(t, got.stderr)
	before(t, got.stdout, "! the service does not run: nothing listens at "+s.folder+"/control.sock", "specman serve", "would serve v-", "4.5.13 on top")

	got = runWith(t, nil, append(s.flags(), "status", "-o", "json")...)
	assert.Equal(t, 1, got.status)
	var st ops.Status
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &st))
	assert.False(t, st.Running)
	assert.False(t, st.Ready)
	assert.Equal(t, "4.5.13", st.Served.Releases[0].Tag)

	t.Run("without a store", func(t *testing.T) {
		got := runWith(t, nil, "--store.dir="+filepath.Join(t.TempDir(), "none"), "status")
		assert.Equal(t, 1, got.status)
		assert.Empty(t, got.stdout)
		before(t, got.stderr, "the service does not run", "there is no store at", "specman serve")
	})
	t.Run("with an empty one", func(t *testing.T) {
		got := runWith(t, nil, "--store.dir="+t.TempDir(), "status")
		assert.Equal(t, 1, got.status)
		assert.Contains(t, got.stdout, "nothing is served")
	})
}

// What releases and diff say does not depend on whether the service runs.
func TestReleasesAndDiffOnlineAndOffline(t *testing.T) {
	s := newSite(t)
	s.push(writeTree(t, map[string]string{"same": "1", "gone": "1", "changed": "1"}), "4.5.11")
	s.push(writeTree(t, map[string]string{"same": "1", "new": "1", "changed": "2"}), "4.5.13")
	offline := func(args ...string) ran { t.Helper(); return runWith(t, nil, append(s.flags(), args...)...) }
	var answers []ran
	commands := [][]string{
		{"releases", "-o", "json"}, {"diff", "4.5.11", "4.5.13"}, {"diff", "4.5.11", "4.5.13", "-o", "json"}, {"diff", "-o", "json"}, {"diff", "4.5.11", "9.9.9"},
	}
	for _, args := range commands {
		answers = append(answers, offline(args...))
	}
	service := startService(t, s.flags()...)
	for n, args := range commands {
		online := offline(args...)
		assert.Equal(t, answers[n].status, online.status, args)
		assert.Equal(t, answers[n].stdout, online.stdout, args)
		assert.Equal(t, answers[n].stderr, online.stderr, args)
	}
	text := offline("releases")
	before(t, text.stdout, "4.5.13  served, on top", "why ", "manifest  sha256:", "layer     sha256:", "created", "fetched", "3 files", "served    3 files",
		"4.5.11  served, 2 from the top", "served    1 file; 2 covered, 1 of them by other content")
	service.stop()

	assert.Equal(t, "- gone\n~ changed\n+ new\n", answers[1].stdout)
	assert.Contains(t, answers[1].stderr, "1 added, 1 removed, 1 changed")
	var d map[string]any
	require.NoError(t, json.Unmarshal([]byte(answers[2].stdout), &d))
	assert.Equal(t, []any{"new"}, d["added"])
	assert.Equal(t, []any{"gone"}, d["removed"])
	assert.Equal(t, []any{"changed"}, d["changed"])
	require.NoError(t, json.Unmarshal([]byte(answers[3].stdout), &d))
	assert.Equal(t, []any{}, d["added"])
	assert.Equal(t, 1, answers[4].status)
	before(t, answers[4].stderr, `"9.9.9"`, "not held", "specman releases")
	var releases []map[string]any
	require.NoError(t, json.Unmarshal([]byte(answers[0].stdout), &releases))
	require.Len(t, releases, 2)
	for _, key := range []string{"tag", "digest", "layer", "rank", "reason", "created", "fetched", "files", "bytes", "served", "covered", "coveredByOtherContent", "pinned"} {
		assert.Contains(t, releases[0], key)
	}
}

func TestDiffTakesTwoOrNone(t *testing.T) {
	got := runWith(t, nil, "diff", "4.5.13")
	assert.Equal(t, 2, got.status)
	assert.Contains(t, got.stderr, "takes two releases or views, or none")
}

func TestNothingIsHeld(t *testing.T) {
	got := runWith(t, nil, "--store.dir="+t.TempDir(), "releases")
	assert.Equal(t, 0, got.status)
	assert.Equal(t, "nothing is held yet\n", got.stdout)
	got = runWith(t, nil, "--store.dir="+t.TempDir(), "releases", "-o", "json")
	assert.Equal(t, "[]\n", got.stdout)
}

// Whoever looks before he lets a release in must not be shown something else by it.
func TestNamesThatAreNoPlainTextAreQuoted(t *testing.T) {
	folder := "--store.dir=" + filepath.Join(t.TempDir(), "store")
	for tag, content := range map[string]map[string]string{
		"1.0.0": {"roar/ä b.yaml": "1"},
		"2.0.0": {"a\n- roar/x.yaml": "1", "\x1b[2J": "1", `"b"`: "1", "roar/ä b.yaml": "2"},
	} {
		got := runReading(t, bytes.NewReader(testenv.TGZ(t, content)), nil, "import", "-", "--tag="+tag, folder)
		require.Equal(t, 0, got.status, got.stderr)
	}
	const added = "+ \"\\x1b[2J\"\n" + "+ \"\\\"b\\\"\"\n" + "+ \"a\\n- roar/x.yaml\"\n"
	got := runWith(t, nil, "diff", "1.0.0", "2.0.0", folder)
	require.Equal(t, 0, got.status, got.stderr)
	assert.Equal(t, "~ roar/ä b.yaml\n"+added, got.stdout)

	got = runWith(t, nil, "pin", "1.0.0", "--alone", folder)
	require.Equal(t, 0, got.status, got.stderr)
	assert.Contains(t, got.stdout, strings.ReplaceAll(added, "+ ", "- "))
}

// The history tells who did what, the service running or not.
func TestTheHistoryNamesACommandThatFoundNoService(t *testing.T) {
	folder := t.TempDir()
	for _, tag := range []string{"1.0.0", "2.0.0"} {
		got := runReading(t, bytes.NewReader(testenv.TGZ(t, map[string]string{tag: "1"})), nil, "import", "-", "--tag="+tag, "--store.dir="+folder)
		require.Equal(t, 0, got.status, got.stderr)
	}
	for _, args := range [][]string{{"pin"}, {"unpin"}, {"forget", "2.0.0"}} {
		got := runWith(t, nil, append(args, "--store.dir="+folder)...)
		require.Equal(t, 0, got.status, got.stderr)
		held, err := store.Read(folder)
		require.NoError(t, err)
		held.Close()
		assert.True(t, slices.ContainsFunc(held.Events, func(e store.Event) bool {
			return e.Kind == args[0] && strings.Contains(e.Message, "by specman "+args[0]+", the service stopped")
		}), args)
	}
}
