package ops

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/sync/poller"
)

func TestControlSocket(t *testing.T) {
	for name, path := range map[string]string{
		"a short path":                     "c.sock",
		"one byte too many for an address": strings.Repeat("d", 200) + "/c.sock",
		"a long one":                       strings.Repeat(strings.Repeat("d", 200)+"/", 10) + "control.sock",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), path)
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
			r := newRig(t, func(o *Options) { o.Socket = path })
			r.follow(r.hold("4.5.13", files{"a": "1"}))
			r.source.outcome = poller.Outcome{Result: poller.Noop}
			client := Client{Socket: path}
			_, err := client.Status(t.Context())
			require.ErrorIs(t, err, ErrNotRunning)
			assert.Contains(t, err.Error(), path)

			t.Run("while it runs", func(t *testing.T) {
				r := *r
				r.T = t
				r.run()
				info, err := os.Lstat(path)
				require.NoError(t, err)
				assert.Equal(t, fs.ModeSocket|0o600, info.Mode())
				st, err := client.Status(t.Context())
				require.NoError(t, err)
				assert.Equal(t, "4.5.13", st.Served.Releases[0].Tag)
				result, err := client.Sync(t.Context(), true) // no token
				require.NoError(t, err)
				assert.Equal(t, poller.Noop, result.Outcomes["default"].Result)
				assert.True(t, r.source.forced)
				assert.Contains(t, r.log.String(), "the control socket")
				releases, err := client.Releases(t.Context())
				require.NoError(t, err)
				assert.Len(t, releases, 1)
				events, err := client.Events(t.Context())
				require.NoError(t, err)
				assert.NotEmpty(t, events)
				_, err = client.Diff(t.Context(), "4.5.13", "9")
				var refused *RefusedError
				require.ErrorAs(t, err, &refused)
				assert.Equal(t, http.StatusNotFound, refused.Status)
				assert.Equal(t, "specman-0", refused.Replica)
			})
			_, err = os.Lstat(path)
			assert.ErrorIs(t, err, fs.ErrNotExist, "it is taken away at the end")
			left, err := os.ReadDir(filepath.Dir(path))
			require.NoError(t, err)
			assert.Empty(t, left)
		})
	}
}

// stale leaves what a killed service leaves: a socket at which nobody listens.
func stale(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	l.SetUnlinkOnClose(false)
	require.NoError(t, l.Close())
}

func TestAStaleSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	stale(t, path)
	_, err := (&Client{Socket: path}).Status(t.Context())
	require.ErrorIs(t, err, ErrNotRunning, "it is as if it were not there")
	r := newRig(t, func(o *Options) { o.Socket = path })
	r.run()
	_, err = (&Client{Socket: path}).Status(t.Context())
	assert.NoError(t, err)
	assert.NotContains(t, r.log.String(), "WARN")
}

// Nothing about the control socket keeps the tree from being served.
func TestASocketThatCannotBeMadeIsAWarning(t *testing.T) {
	for _, c := range []struct {
		name string
		path func(t *testing.T, dir string) string
		says string
	}{
		{"no folder", func(_ *testing.T, dir string) string { return filepath.Join(dir, "none", "c") }, "no such file"},
		{"a file is there", func(t *testing.T, dir string) string {
			path := filepath.Join(dir, "c")
			require.NoError(t, os.WriteFile(path, []byte("precious"), 0o600))
			t.Cleanup(func() {
				content, err := os.ReadFile(path)
				assert.NoError(t, err)
				assert.Equal(t, "precious", string(content))
			})
			return path
		}, "no socket"},
		{"another service listens", func(t *testing.T, dir string) string {
			path := filepath.Join(dir, "c")
			l, err := net.Listen("unix", path)
			require.NoError(t, err)
			t.Cleanup(func() { l.Close() })
			return path
		}, "another process listens"},
		{"a name that nobody could dial", func(_ *testing.T, dir string) string { return filepath.Join(dir, strings.Repeat("c", 90)) }, "longer than 80 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.server.opts.Socket = c.path(t, t.TempDir())
			r.run()
			assert.Contains(t, r.log.String(), "level=WARN")
			assert.Contains(t, r.log.String(), c.says)
			resp, err := http.Get("http://" + r.server.Addr().String() + "/livez")
			require.NoError(t, err)
			resp.Body.Close()
			assert.Equal(t, http.StatusOK, resp.StatusCode)
		})
	}
}

// socketEnv has this test program ask the service at a socket, and nothing else.
const socketEnv = "SPECMAN_TEST_ASK_SOCKET"

func TestMain(m *testing.M) {
	if path := os.Getenv(socketEnv); path != "" {
		_, err := (&Client{Socket: path}).Status(context.Background())
		var cured interface{ Cure() string }
		if errors.As(err, &cured) {
			os.Stdout.WriteString(err.Error() + "\n" + cured.Cure())
			os.Exit(0)
		}
		os.Stdout.WriteString("no cure: " + err.Error())
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// As root, another user is asked for it; as another user, a socket of mode 0 is met.
func TestASocketOfAnotherUserIsExplained(t *testing.T) {
	dir, err := os.MkdirTemp("", "specman-test-*")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	path := filepath.Join(dir, "c")
	r := newRig(t, func(o *Options) { o.Socket = path })
	r.run()
	program := filepath.Join(dir, "ask")
	content, err := os.ReadFile(os.Args[0])
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(program, content, 0o755))
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Env = []string{socketEnv + "=" + path}
	if os.Getuid() == 0 {
		cmd.SysProcAttr = asUID(65532)
	} else {
		require.NoError(t, os.Chmod(path, 0))
	}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Contains(t, string(out), "is not for uid")
	assert.Contains(t, string(out), "run it as uid")
}

func TestAServiceThatDoesNotAnswer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c")
	l, err := net.Listen("unix", path) // connections queue up, nobody takes them
	require.NoError(t, err)
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = (&Client{Socket: path}).Status(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.NotErrorIs(t, err, ErrNotRunning)
	assert.Contains(t, err.Error(), "does not answer")
}
