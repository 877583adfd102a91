package e2e

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/testenv"
)

func (r *service) signalHangup(t testing.TB) {
	t.Helper()
	require.NoError(t, r.cmd.Process.Signal(syscall.SIGHUP))
}

func itoa(n int) string { return fmt.Sprint(n) }

// newSite is an installation whose registry holds one 0.0.0.
func newSite(t *testing.T, archive []byte) (*specman, *testenv.Registry, *publisher) {
	t.Helper()
	registry := testenv.Distribution(t, testenv.Options{})
	p := newPublisher(t, registry)
	p.push("0.0.0", archive)
	return newSpecman(t, raced, map[string]string{"source.repository": registry.Repo(manifestRepository), "source.plainHTTP": "true"}), registry, p
}

// SIGTERM while answers are under way and a sync is running: the answers end
// whole, new connections are refused, the status is 0.
func TestTermination(t *testing.T) {
	t.Parallel()
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<20) // 16 MiB
	s, _, _ := newSite(t, targz(t, map[string]string{"large.bin": string(large), "small.yaml": "small"}))
	r := s.start()
	s.sync()

	for _, http2 := range []bool{false, true} {
		client := newClient(t, s.dir, http2)
		var bodies []io.ReadCloser
		for range 3 {
			resp, err := client.Get(r.url + "/large.bin")
			require.NoError(t, err)
			defer resp.Body.Close()
			_, err = io.ReadFull(resp.Body, make([]byte, 1<<20)) // it is under way
			require.NoError(t, err)
			bodies = append(bodies, resp.Body)
		}
		mark := r.log.mark()
		require.NoError(t, r.cmd.Process.Signal(syscall.SIGTERM))
		r.waitFor(t, mark, "Ending")
		eventually(t, func() error {
			if _, err := fetch(newClient(t, s.dir, http2), r.url+"/small.yaml", nil); err == nil {
				return fmt.Errorf("a new connection is still taken")
			}
			return nil
		})
		for _, body := range bodies {
			rest, err := io.ReadAll(body)
			require.NoError(t, err)
			assert.True(t, bytes.Equal(large[1<<20:], rest), "%d bytes", len(rest))
		}
		assert.Zero(t, r.status(t), "%s", r.log.tail())
		r = s.start()
	}
	assert.Zero(t, r.terminate(t))
}

// SIGTERM in the middle of a download leaves nothing behind.
func TestTerminationWhileSyncing(t *testing.T) {
	t.Parallel()
	r := newRig(t, raced, &bulk{files: 500, size: 12 << 10})
	r.start()
	r.sync()
	r.publish()
	mark := r.running.log.mark()
	r.running.signalHangup(t)
	r.running.waitFor(t, mark, "Downloading")
	assert.Zero(t, r.running.terminate(t), "%s", r.running.log.tail())
	left, err := os.ReadDir(filepath.Join(r.dir, "staging"))
	require.NoError(t, err)
	assert.Empty(t, left)
	for _, line := range r.running.log.since(mark) {
		assert.NotContains(t, line, "level=error")
	}
}

// SIGHUP polls now, whatever the interval.
func TestHangupPollsNow(t *testing.T) {
	t.Parallel()
	s, _, p := newSite(t, scar(t, "one"))
	s.start()
	s.sync()
	p.push("0.0.0", scar(t, "two"))
	s.running.signalHangup(t)
	s.waitMetric("specman_view_swaps_total", 2)
	assert.Equal(t, "from two", string(s.get(newClient(t, s.dir, true), "/roar/all.yaml").body))
}

// Two processes on one store: the second waits for the first to end, then gives
// up and says who has it; one that starts while the first ends takes over.
func TestTwoServicesOnOneStore(t *testing.T) {
	t.Parallel()
	s, _, _ := newSite(t, scar(t, "one"))
	first := s.start()
	s.sync()
	holder := fmt.Sprintf("pid %d", first.cmd.Process.Pid)

	// A command that does not find the service's socket would have to take the store itself.
	blind := newSpecman(t, s.build, s.keys)
	blind.keys["control.socket"] = filepath.Join(t.TempDir(), "no.sock")
	r := blind.run("sync")
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.stderr, holder)
	assert.Contains(t, r.stderr, "in use by another process")

	second := blind.launch()
	assert.Equal(t, 1, second.status(t))
	assert.Contains(t, second.log.String(), holder)
	assert.Contains(t, second.log.String(), "in use by another process")
	assert.Equal(t, "from one", string(s.get(newClient(t, s.dir, true), "/roar/all.yaml").body))

	third := s.launch()
	time.Sleep(500 * time.Millisecond) // it waits by now, or will find the store free
	require.Zero(t, first.terminate(t))
	found := third.log.wait(t, third, func(log string) []string { return servingLine.FindStringSubmatch(log) })
	third.url, third.ops = found[1], found[2]
	assert.Equal(t, "from one", string(s.get(newClient(t, s.dir, true), "/roar/all.yaml").body))
}

// A configuration that the kubelet swaps is in use within 10 s, without a restart
// and without a gap; a bad one is reported, and the old one stays.
func TestConfigurationReload(t *testing.T) {
	t.Parallel()
	s, registry, p := newSite(t, scar(t, "0.0.0"))
	p.push("other", scar(t, "other"))
	volume := t.TempDir()
	mount(t, volume, "1", configText(registry, "0.0.0"))
	s.keys["source.repository"], s.keys["source.plainHTTP"], s.keys["source.interval"] = "", "", ""
	s.keys["config"] = filepath.Join(volume, "config.yaml")
	s.start()
	s.sync()
	client := newClient(t, s.dir, true)
	assert.Equal(t, "from 0.0.0", string(s.get(client, "/roar/all.yaml").body))

	served := func(want string) {
		t.Helper()
		eventually(t, func() error {
			if body := string(s.get(client, "/roar/all.yaml").body); body != want {
				return fmt.Errorf("it is still %q", body)
			}
			return nil
		})
	}
	mark := s.running.log.mark()
	mount(t, volume, "2", configText(registry, "other"))
	s.running.waitFor(t, mark, "configuration is in use")
	served("from other")
	assert.EqualValues(t, 1, s.metrics()["specman_config_last_reload_successful"])

	for n, bad := range []string{
		configText(registry, "other") + "storr: {}\n",
		configText(registry, "other") + "http: {listen: 7}\n  x",
		strings.Replace(configText(registry, "other"), "other", "semver:>>1", 1),
	} {
		mark = s.running.log.mark()
		mount(t, volume, fmt.Sprintf("bad%d", n), bad)
		s.running.waitFor(t, mark, "the old one stays in use")
		assert.Zero(t, s.metrics()["specman_config_last_reload_successful"])
		require.NotEmpty(t, s.status().Notices)
		assert.Contains(t, s.status().Notices[0].What, "the configuration on disk is not in use: ")
		mark = s.running.log.mark()
		s.running.signalHangup(t)
		s.running.waitFor(t, mark, "tags[") // polled as before
		served("from other")
	}
	mark = s.running.log.mark()
	mount(t, volume, "3", configText(registry, "0.0.0"))
	s.running.waitFor(t, mark, "configuration is in use")
	served("from 0.0.0")
	assert.EqualValues(t, 1, s.metrics()["specman_config_last_reload_successful"])
	for _, n := range s.status().Notices {
		assert.NotContains(t, n.What, "configuration on disk")
	}
	assert.Zero(t, s.running.terminate(t))
}

func configText(registry *testenv.Registry, selects string) string {
	return fmt.Sprintf("source:\n  repository: %s\n  plainHTTP: true\n  interval: 1h\n  select: [%q]\n", registry.Repo(manifestRepository), selects)
}

// mount makes a volume hold a configuration as the kubelet does: config.yaml is a
// link through ..data, which is a link that is replaced in one step.
func mount(t *testing.T, volume, version, text string) {
	t.Helper()
	require.NoError(t, os.Mkdir(filepath.Join(volume, ".."+version), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(volume, ".."+version, "config.yaml"), []byte(text), 0o600))
	require.NoError(t, os.Symlink(".."+version, filepath.Join(volume, "..data_tmp")))
	require.NoError(t, os.Rename(filepath.Join(volume, "..data_tmp"), filepath.Join(volume, "..data")))
	if _, err := os.Lstat(filepath.Join(volume, "config.yaml")); err != nil {
		require.NoError(t, os.Symlink(filepath.Join("..data", "config.yaml"), filepath.Join(volume, "config.yaml")))
	}
}

// A credential in a file that changes ends the back-off at once.
func TestChangedCredentialIsTriedAtOnce(t *testing.T) {
	t.Parallel()
	registry := testenv.Zot(t, testenv.Options{Username: "ada", Password: "right"})
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "manifests.tgz"), scar(t, "0.0.0"), 0o600))
	registry.Oras(dir, "push", registry.Repo(manifestRepository)+":0.0.0", "manifests.tgz")
	password := filepath.Join(dir, "password")
	require.NoError(t, os.WriteFile(password, []byte("wrong\n"), 0o600))
	s := newSpecman(t, raced, map[string]string{
		"source.repository": registry.Repo(manifestRepository), "source.plainHTTP": "true",
		"source.auth.username": "ada", "source.auth.passwordFile": password,
	})
	s.start()
	s.running.waitFor(t, 0, "401")
	require.NoError(t, os.WriteFile(password, []byte("right\n"), 0o600))
	s.waitMetric("specman_view_swaps_total", 1)
	assert.NotContains(t, s.running.log.String(), "wrong")
}
