package gate

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/store"
)

func openStore(t *testing.T) *store.Store {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Dir: filepath.Join(t.TempDir(), "store")})
	require.NoError(t, err)
	t.Cleanup(func() { st.Close() })
	return st
}

// staged is a sealed tree of files, each with its own name for content.
func staged(t *testing.T, st *store.Store, names ...string) (*store.Staging, digest.Digest) {
	t.Helper()
	layer := digest.FromString(strings.Join(names, "\n"))
	s, err := st.NewStaging(layer)
	require.NoError(t, err)
	t.Cleanup(s.Discard)
	for _, name := range names {
		for n := range len(name) {
			if name[n] == '/' {
				require.NoError(t, s.Dir(name[:n], time.Time{}))
			}
		}
		require.NoError(t, s.File(name, time.Time{}, int64(len(name)), strings.NewReader(name)))
	}
	require.NoError(t, s.Seal())
	return s, layer
}

// held is the layer of a tree that the store has.
func held(t *testing.T, st *store.Store, names ...string) digest.Digest {
	t.Helper()
	s, layer := staged(t, st, names...)
	require.NoError(t, s.Publish())
	return layer
}

func layers(l ...digest.Digest) []digest.Digest { return l }

// viewOf is a view of layers, top first.
func viewOf(layers ...digest.Digest) (view []store.Release) {
	for _, layer := range layers {
		view = append(view, store.Release{Layer: layer})
	}
	return view
}

func TestJudge(t *testing.T) {
	st := openStore(t)
	last := held(t, st, "a", "b", "c", "d/e")
	beside := held(t, st, "roar/x")
	shell := func(script string) Rules { return Rules{Command: []string{"sh", "-c", script}, Timeout: time.Minute} }
	half := Rules{MaxVanishedPercent: 50}
	for _, row := range []struct {
		name   string
		rules  Rules
		staged []string
		c      Candidate
		below  []digest.Digest // layers that lie below it in the view
		want   string          // empty: it passes
	}{
		{"no rules", Rules{}, []string{"z"}, Candidate{Last: last}, nil, ""},
		{"as much vanishes as may", half, []string{"a", "b"}, Candidate{Last: last}, nil, ""},
		{"more vanishes", half, []string{"a", "z"}, Candidate{Last: last}, nil, "3 of the 4 files of its last release would vanish, more than gate.maxVanishedPercent (50)"},
		{"a folder up", Rules{MaxVanishedPercent: 99}, []string{"www/a"}, Candidate{Last: last}, nil, "4 of the 4 files"},
		{"there is no last release", half, []string{"z"}, Candidate{}, nil, ""},
		{"the last release is not to be had", half, []string{"z"}, Candidate{Last: digest.FromString("gone")}, nil, ""},
		{"required paths of its own", Rules{RequirePaths: []string{"/d/e", "d/", "/a"}}, []string{"a", "d/e"}, Candidate{}, nil, ""},
		{"one of them beside it", Rules{RequirePaths: []string{"/a", "/roar/x"}}, []string{"a"}, Candidate{}, layers(digest.FromString("gone"), beside), ""},
		{"nowhere", Rules{RequirePaths: []string{"/a", "/roar/x", "/y"}}, []string{"a"}, Candidate{}, nil, "the view would lack what gate.requirePaths asks for: /roar/x, /y"},
		{"a command that likes it", shell(`test "$(cat "$0/d/e")" = d/e`), []string{"d/e"}, Candidate{}, nil, ""},
		{"a command that does not", shell(`echo no "$(cat "$0/a")" here >&2; exit 3`), []string{"a"}, Candidate{}, nil, "gate.command sh: exit status 3: no a here"},
		{"a command that takes too long", Rules{Command: []string{"sh", "-c", "exec sleep 60"}, Timeout: 100 * time.Millisecond}, []string{"a"}, Candidate{}, nil, "it did not end within gate.timeout (100ms)"},
		{"a command that talks", shell(`head -c 100000 /dev/zero | tr '\0' x; echo the end; exit 1`), []string{"a"}, Candidate{}, nil, "xthe end"},
	} {
		t.Run(row.name, func(t *testing.T) {
			tree, layer := staged(t, st, row.staged...)
			row.c.Tree = tree
			err := row.rules.Judge(t.Context(), st, row.c)
			if err == nil {
				required := row.rules.Required(st)
				required.Learn(layer, tree)
				err = required.Judge(viewOf(append(layers(layer), row.below...)...))
			}
			if row.want == "" {
				assert.NoError(t, err)
				return
			}
			assert.ErrorContains(t, err, row.want)
			assert.NotRegexp(t, `[: ]$`, err.Error(), "it ends with what it says")
			assert.ErrorAs(t, err, new(*RefusedError))
			assert.Less(t, len(err.Error()), maxOutput+100, "what a command says is kept in bounds")
		})
	}
}

// A command that cannot be started has judged nothing.
func TestJudgeCannotBeStarted(t *testing.T) {
	st := openStore(t)
	tree, _ := staged(t, st, "a")
	rules := Rules{Command: []string{"/none"}, Timeout: time.Minute}
	err := rules.Judge(t.Context(), st, Candidate{Tree: tree})
	assert.ErrorContains(t, err, "gate.command /none cannot be started: ")
	assert.NotErrorAs(t, err, new(*RefusedError))
}

// What a command has started ends with it: at its limit, and when it is done.
func TestNothingOfTheCommandIsLeft(t *testing.T) {
	st := openStore(t)
	tree, _ := staged(t, st, "a")
	for name, end := range map[string]string{"at its limit": "wait", "when it is done": "exit 0"} {
		pids := filepath.Join(t.TempDir(), "pid")
		rules := Rules{Command: []string{"sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $! >" + pids + "; " + end}, Timeout: 200 * time.Millisecond}
		rules.Judge(t.Context(), st, Candidate{Tree: tree})
		text, err := os.ReadFile(pids)
		require.NoError(t, err)
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		require.NoError(t, err)
		assert.Eventually(t, func() bool {
			state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			return err != nil || strings.Contains(string(state), ") Z ")
		}, 5*time.Second, 5*time.Millisecond, name)
	}
}

// The end of the process is no judgement.
func TestJudgeIsCutOff(t *testing.T) {
	st := openStore(t)
	tree, _ := staged(t, st, "a")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	rules := Rules{Command: []string{"false"}, Timeout: time.Minute}
	err := rules.Judge(ctx, st, Candidate{Tree: tree})
	assert.ErrorIs(t, err, context.Canceled)
	assert.NotErrorAs(t, err, new(*RefusedError))
}

// What a command has started may keep its pipe open: that is no judgement.
func TestACommandThatLeavesAChild(t *testing.T) {
	st := openStore(t)
	tree, _ := staged(t, st, "a")
	rules := Rules{Command: []string{"sh", "-c", "sleep 60 & exit 0"}, Timeout: time.Minute}
	assert.NoError(t, rules.Judge(t.Context(), st, Candidate{Tree: tree}))
	rules.Command[2] = "sleep 60 & echo no; exit 3"
	assert.ErrorContains(t, rules.Judge(t.Context(), st, Candidate{Tree: tree}), "exit status 3: no")
}

func TestTheLastOutputIsKept(t *testing.T) {
	var o lastOutput
	var all []byte
	for n := range 300 {
		line := fmt.Appendf(nil, "%0*d\n", n*31%200+1, n)
		all = append(all, line...)
		_, err := o.Write(line)
		require.NoError(t, err)
		assert.Equal(t, string(all[max(0, len(all)-maxOutput):]), string(o))
	}
	_, err := o.Write(bytes.Repeat([]byte("x"), 3*maxOutput))
	require.NoError(t, err)
	assert.Len(t, o, maxOutput)
	assert.Less(t, cap(o), 8*maxOutput, "no more than that is kept")
}

func TestWhatTheCommandSaysIsPlain(t *testing.T) {
	assert.Equal(t, "red: a\tb\nsecond line � é", plain([]byte("\x1b[1;31mred\x1b[0m: a\tb\r\nsecond\x1b line\x07 \xff é\x00")))
	assert.Equal(t, "]0;a title", plain([]byte("\x1b]0;a title\x07")))
	assert.Equal(t, "31m", plain([]byte("\u009b31m")), "no control of eight bits either")
}
