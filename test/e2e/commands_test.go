package e2e

import (
	"encoding/json"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/testenv"
)

// Exit status: 0 done, 1 failed, 2 wrong usage or configuration; without a service
// the commands read the store, or take it themselves.
func TestCommandsWithoutService(t *testing.T) {
	t.Parallel()
	registry := testenv.Distribution(t, testenv.Options{})
	gate := newGateway(t, registry)
	p := newPublisher(t, registry)
	p.push("4.5.13", scar(t, "4.5.13", "4.5.13"))
	s := newSpecman(t, raced, map[string]string{"source.repository": gate.repository(), "source.plainHTTP": "true"})

	expect := func(status int, stdout, stderr string, args ...string) result {
		t.Helper()
		r := s.run(args...)
		assert.Equal(t, status, r.status, "specman %s: %s%s", args, r.stdout, r.stderr)
		assert.Contains(t, r.stdout, stdout, "specman %s", args)
		assert.Contains(t, r.stderr, stderr, "specman %s", args)
		return r
	}
	// Before there is a store.
	expect(1, "", "there is no store at "+s.dir, "status")
	expect(1, "", "there is no store at "+s.dir, "releases")
	// Wrong usage and wrong configuration, with what would be right.
	expect(2, "", "--force", "sync", "--forced")
	expect(2, "", "did you mean sync?", "synk")
	expect(2, "", "source.interval", "sync", "--source.interval=60")
	expect(2, "", "log.level", "serve", "--log.level=loud", "--http.listen=nowhere")
	expect(2, "", "http.listen", "serve", "--log.level=loud", "--http.listen=nowhere")

	expect(0, "4.5.13", "", "sync", "--if-empty")
	gate.take()
	expect(0, "", "", "sync", "--if-empty")
	assert.Empty(t, gate.take(), "a whole view is held: nobody is asked")

	// A stopped service's store can be read: what it would serve, and status 1.
	expect(1, "would serve v-", "", "status")
	var st status
	r := expect(1, "", "", "status", "-o", "json")
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &st))
	assert.False(t, st.Running)
	assert.Equal(t, []string{"4.5.13"}, st.order())
	expect(0, "4.5.13", "", "releases")
	expect(0, "", "", "verify")
	expect(0, "", "", "gc", "--dry-run")
	expect(1, "", "", "rollback") // there is no view before the only one
	expect(1, "", "", "unpin")    // nothing is pinned

	// A failed sync keeps what is held, and says where and why.
	p.push("4.6.0", []byte("no archive"))
	expect(1, "4.5.13", "stage unpack", "sync")
	expect(0, "4.5.13", "", "sync") // it is remembered
	expect(1, "4.5.13", "stage unpack", "sync", "--force")
	gate.close()
	expect(1, "4.5.13", "stage list", "sync")
	gate.open()

	// The store is changed under its lock, and what was done holds over a start.
	p.push("4.6.0", scar(t, "4.6.0", "4.6.0"))
	expect(0, "4.6.0", "", "sync")
	expect(0, "", "", "rollback")
	s.start()
	client := newClient(t, s.dir, true)
	assert.Equal(t, "from 4.5.13", string(s.get(client, "/roar/all.yaml").body))
	assert.EqualValues(t, 1, s.metrics()["specman_pinned"])
	require.Zero(t, s.running.terminate(t))

	delete(s.keys, "source.repository")
	expect(1, "", "no source is configured", "sync")
}

// An operator's day, beside the service, as under kubectl exec.
func TestCommandsBesideService(t *testing.T) {
	t.Parallel()
	registry := testenv.Distribution(t, testenv.Options{})
	p := newPublisher(t, registry)
	s := newSpecman(t, raced, map[string]string{"source.repository": registry.Repo(manifestRepository), "source.plainHTTP": "true"})
	p.push("4.5.11", scar(t, "4.5.11", "4.5.11"))
	s.start()
	s.sync()
	for _, tag := range []string{"4.5.13", "4.6.0"} {
		p.push(tag, scar(t, tag, tag))
		s.sync()
	}
	client := newClient(t, s.dir, true)
	assertTop := func(tag string) {
		t.Helper()
		assert.Equal(t, "from "+tag, string(s.get(client, "/roar/all.yaml").body))
	}
	fails := func(args ...string) result {
		t.Helper()
		r := s.run(args...)
		assert.Equal(t, 1, r.status, "specman %s: %s", args, r.stdout)
		assert.NotEmpty(t, r.stderr)
		return r
	}
	assertTop("4.6.0")
	assert.Contains(t, s.must("status"), "4.6.0 on top")

	// Back, and back again; nothing that is fetched meanwhile is served.
	s.must("rollback", "--dry-run")
	assertTop("4.6.0")
	s.must("rollback")
	assertTop("4.5.13")
	s.must("rollback")
	assertTop("4.5.11")
	fails("rollback")
	p.push("4.7.0", scar(t, "4.7.0", "4.7.0"))
	s.sync()
	assertTop("4.5.11")
	st := s.status()
	assert.True(t, st.says("held at", "unpin"), "%+v", st.Notices)
	assert.Contains(t, s.must("releases"), "4.7.0")
	require.Zero(t, s.running.terminate(t))
	s.start()
	assertTop("4.5.11")
	s.sync()
	assertTop("4.5.11")
	fails("pin", "4.5.11") // one is there already
	s.must("pin", "4.6.0")
	assertTop("4.6.0")
	s.must("unpin")
	assertTop("4.7.0")
	fails("unpin")
	assert.Zero(t, s.metrics()["specman_pinned"])

	// What differs, for programs.
	var diff struct{ Added, Removed, Changed []string }
	require.NoError(t, json.Unmarshal([]byte(s.must("diff", "4.6.0", "4.7.0", "-o", "json")), &diff))
	assert.Equal(t, []string{"roar/only/4.7.0.yaml"}, trimmed(diff.Added))
	assert.Equal(t, []string{"roar/only/4.6.0.yaml"}, trimmed(diff.Removed))
	assert.ElementsMatch(t, []string{"roar/all.yaml", "roar/nickfury/versions.yaml"}, trimmed(diff.Changed))
	fails("diff", "4.6.0", "9.9.9")

	// A bad release is taken out, and comes back only when it is forced to.
	s.must("forget", "4.7.0")
	assertTop("4.6.0")
	s.sync()
	assertTop("4.6.0")
	s.must("sync", "--force")
	assertTop("4.7.0")
	fails("forget", "9.9.9")

	// A file that the disk has changed is found, not served, and mended.
	damaged := ""
	require.NoError(t, filepath.WalkDir(filepath.Join(s.dir, "trees"), func(path string, _ fs.DirEntry, err error) error {
		if filepath.Base(path) == "4.7.0.yaml" {
			damaged = path
		}
		return err
	}))
	require.NoError(t, os.Chmod(damaged, 0o644))
	require.NoError(t, os.WriteFile(damaged, []byte("ONLY 4.7.0"), 0o444))
	r := fails("verify")
	assert.Contains(t, r.stdout+r.stderr, "roar/only/4.7.0.yaml")
	a, err := fetch(client, s.running.url+"/roar/only/4.7.0.yaml", nil)
	require.NoError(t, err)
	if a.status == http.StatusOK { // the service has asked the registry by itself
		assert.Equal(t, "only 4.7.0", string(a.body))
	} else {
		assert.Equal(t, http.StatusServiceUnavailable, a.status)
	}
	assert.Positive(t, s.metrics()["specman_integrity_errors_total"])
	s.must("verify", "--repair")
	assert.Equal(t, "only 4.7.0", string(s.get(client, "/roar/only/4.7.0.yaml").body))
	s.must("verify")

	// The registry is lost. What is served can be taken out, and in elsewhere.
	registry.Stop()
	want := s.tree(client)
	file := filepath.Join(t.TempDir(), "view.tgz")
	s.must("export", "-f", file)
	other := newSpecman(t, raced, nil)
	other.start()
	other.must("import", file)
	assertServed(t, other, newClient(t, other.dir, true), want)
	assert.Equal(t, []string{"0.0.0"}, other.status().order())
	require.Zero(t, other.running.terminate(t))
	require.Zero(t, s.running.terminate(t))
}

// trimmed drops a leading slash, which a list of paths may have.
func trimmed(paths []string) []string {
	out := make([]string, len(paths))
	for n, p := range paths {
		out[n] = p
		if len(p) > 0 && p[0] == '/' {
			out[n] = p[1:]
		}
	}
	return out
}

// The program's own push is taken by the program, by ORAS, and by nobody else's
// leave: what `oras pull` gets is what was packed.
func TestPush(t *testing.T) {
	for kind, start := range registries {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			registry := start(t, testenv.Options{})
			s := newSpecman(t, raced, map[string]string{"source.repository": registry.Repo(manifestRepository), "source.plainHTTP": "true"})
			html := www(t)
			ref := registry.Repo(manifestRepository) + ":0.0.0"
			s.must("push", html, ref)
			s.must("inspect", ref)
			s.start()
			s.sync()
			assertServed(t, s, newClient(t, s.dir, true), filesIn(t, html))

			packed := filepath.Join(t.TempDir(), "manifests.tgz")
			s.must("pack", html, "-f", packed)
			pulled := t.TempDir()
			registry.Oras(pulled, "pull", ref)
			want, err := os.ReadFile(packed)
			require.NoError(t, err)
			have, err := os.ReadFile(filepath.Join(pulled, "manifests.tgz"))
			require.NoError(t, err)
			assert.Equal(t, want, have)
		})
	}
}
