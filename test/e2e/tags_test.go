package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/testenv"
)

// scar is the content of a release: an index that lists versions, a file that
// only this tag has, and one that every tag has.
func scar(t *testing.T, tag string, versions ...string) []byte {
	t.Helper()
	index := "versions:\n"
	for _, v := range versions {
		index += fmt.Sprintf("  - version: %q\n    filepath: \"/roar/nickfury/%s/version.yaml\"\n", v, v)
	}
	return targz(t, map[string]string{
		"roar/nickfury/versions.yaml": index,
		"roar/only/" + tag + ".yaml":  "only " + tag,
		"roar/all.yaml":               "from " + tag,
	})
}

// A site over time: several tags at the start, an upgrade, tags that move, vanish,
// hold something else or something bad, and what becomes of each.
func TestManyTags(t *testing.T) {
	for kind, start := range registries {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			registry := start(t, testenv.Options{})
			p := newPublisher(t, registry)
			p.push("4.5.11", scar(t, "4.5.11", "4.5.11"))
			p.push("4.5.13", scar(t, "4.5.13", "4.5.11", "4.5.13"))
			p.push("0.0.0", scar(t, "0.0.0", "4.5.11", "4.5.13"))
			s := newSpecman(t, raced, map[string]string{"source.repository": registry.Repo(manifestRepository), "source.plainHTTP": "true"})
			s.start()
			s.sync()
			client := newClient(t, s.dir, true)

			assertTop := func(want ...string) {
				t.Helper()
				assert.Equal(t, want, s.status().order())
				assert.Equal(t, "from "+want[0], string(s.get(client, "/roar/all.yaml").body))
				for _, tag := range want {
					a := s.get(client, "/roar/only/"+tag+".yaml")
					assert.Equal(t, "only "+tag, string(a.body))
					assert.Equal(t, tag, a.header.Get("Specman-Release"))
				}
			}
			// Right after the migration the customer's own tarball is on top: its
			// index lists 4.5.13, and it lies above a tag of that version.
			assertTop("0.0.0", "4.5.13", "4.5.11")
			view := s.get(client, "/roar/all.yaml").header.Get("Specman-View")
			assert.Equal(t, s.status().Served.View, view)

			// The next upgrade goes over both, whatever its date.
			upgrade := p.push("4.6.0", scar(t, "4.6.0", "4.5.11", "4.5.13", "4.6.0"))
			s.sync()
			assertTop("4.6.0", "0.0.0", "4.5.13", "4.5.11")
			st := s.status()
			assert.True(t, st.Sources[0].Current)
			assert.EqualValues(t, 1, s.metrics()[`specman_view_current{source="default"}`])
			assert.Equal(t, 3, st.Served.Releases[0].Served)
			assert.Equal(t, 2, st.Served.Releases[1].Covered)
			assert.NotEmpty(t, st.Served.Releases[1].Reason)
			if s.get(client, "/@"+view+"/roar/all.yaml").header.Get("Specman-View") != view {
				t.Errorf("view %s is no longer to be had", view)
			}

			// A tag that moves is a new release in the old one's place.
			moved := p.push("4.6.0", targz(t, map[string]string{
				"roar/nickfury/versions.yaml": "versions:\n  - version: 4.6.0\n", "roar/only/4.6.0.yaml": "only 4.6.0", "roar/all.yaml": "from 4.6.0, again",
			}))
			s.sync()
			assert.Equal(t, "from 4.6.0, again", string(s.get(client, "/roar/all.yaml").body))
			p.move("4.6.0", upgrade)
			before := s.metrics()
			s.sync()
			assertTop("4.6.0", "0.0.0", "4.5.13", "4.5.11")
			const downloaded = `specman_downloaded_bytes_total{source="default"}`
			assert.Equal(t, before[downloaded], s.metrics()[downloaded], "what is held is not downloaded again")

			// A chart under a version's tag is named once and passed over.
			mark := s.running.log.mark()
			chart := p.pushChart("4.6.1")
			s.sync()
			s.sync()
			assertTop("4.6.0", "0.0.0", "4.5.13", "4.5.11")
			assert.Equal(t, 1, count(s.running.log.since(mark), "Passing over 4.6.1"))
			assert.Zero(t, s.status().Sources[0].ConsecutiveFailures)
			assert.True(t, s.status().Sources[0].Current, "what holds no archive lacks nowhere")
			p.delete(chart)

			// A bad archive is refused by name, remembered, and keeps nothing else back.
			bad := p.push("4.7.0", targz(t, map[string]string{"../outside.yaml": "x"}))
			good := p.push("4.6.2", scar(t, "4.6.2", "4.6.2"))
			r := s.run("sync")
			assert.Equal(t, 1, r.status)
			assert.Contains(t, r.stderr, "../outside.yaml")
			assertTop("4.6.2", "4.6.0", "0.0.0", "4.5.13", "4.5.11")
			st = s.status()
			assert.True(t, st.says("4.7.0", "refused", "../outside.yaml"), "%+v", st.Notices)
			assert.True(t, st.Served.Incomplete)
			assert.EqualValues(t, 1, s.metrics()[`specman_releases_refused{source="default"}`])
			assert.EqualValues(t, 0, s.metrics()[`specman_view_current{source="default"}`])
			before = s.metrics()
			s.sync() // a remembered refusal is no error, and costs no download
			assert.Equal(t, before[downloaded], s.metrics()[downloaded])
			assert.True(t, s.status().says("4.7.0", "refused"))

			// It is mended under the same tag.
			p.push("4.7.0", scar(t, "4.7.0", "4.7.0"))
			s.sync()
			assertTop("4.7.0", "4.6.2", "4.6.0", "0.0.0", "4.5.13", "4.5.11")
			assert.EqualValues(t, 0, s.metrics()[`specman_releases_refused{source="default"}`])

			// What vanishes from the registry goes on being served, and is told.
			p.delete(bad)
			p.delete(good)
			p.delete(moved)
			s.sync()
			assertTop("4.7.0", "4.6.2", "4.6.0", "0.0.0", "4.5.13", "4.5.11")
			assert.True(t, s.status().says("4.6.2", "vanished"), "%+v", s.status().Notices)
			p.push("4.6.2", scar(t, "4.6.2", "4.6.2"))
			s.sync()
			assert.False(t, s.status().says("vanished"), "%+v", s.status().Notices)

			// The order does not depend on the way to it: a replica that comes late
			// serves the same, under the same id.
			late := newSpecman(t, static, s.keys)
			late.keys["store.dir"] = late.dir
			late.must("sync")
			late.start()
			want, have := s.status(), late.status()
			assert.Equal(t, want.order(), have.order())
			assert.Equal(t, want.Served.View, have.Served.View)
			a := late.get(newClient(t, late.dir, true), "/roar/all.yaml")
			assert.Equal(t, s.get(client, "/roar/all.yaml").header.Get("ETag"), a.header.Get("ETag"))

			// The registry goes; nothing else does.
			registry.Stop()
			r = s.run("sync")
			assert.Equal(t, 1, r.status)
			assertTop("4.7.0", "4.6.2", "4.6.0", "0.0.0", "4.5.13", "4.5.11")
			registry.Start()
			s.sync()
			assert.Zero(t, s.status().Sources[0].ConsecutiveFailures)
			require.Zero(t, s.running.terminate(t))
		})
	}
}

// An exactly named tag that vanishes, or holds no archive, is a failure; what it
// had is served.
func TestNamedTagVanishes(t *testing.T) {
	t.Parallel()
	registry := testenv.Distribution(t, testenv.Options{})
	p := newPublisher(t, registry)
	first := p.push("0.0.0", scar(t, "0.0.0", "4.5.13"))
	p.push("other", scar(t, "other"))
	s := newSpecman(t, raced, map[string]string{
		"source.repository": registry.Repo(manifestRepository), "source.plainHTTP": "true", "source.select": "0.0.0",
	})
	s.start()
	client := newClient(t, s.dir, false)
	s.sync()
	p.delete(first)
	assert.Equal(t, 1, s.run("sync").status)
	assert.Equal(t, "from 0.0.0", string(s.get(client, "/roar/all.yaml").body))
	st := s.status()
	assert.Equal(t, "vanished", st.Sources[0].Followed[0].State)
	assert.Equal(t, "resolve", st.Sources[0].Failures[0].Stage)
	assert.Equal(t, 1, st.Sources[0].ConsecutiveFailures)

	p.pushChart("0.0.0")
	assert.Equal(t, 1, s.run("sync").status)
	assert.Equal(t, "manifest", s.status().Sources[0].Failures[0].Stage)
	assert.Equal(t, "from 0.0.0", string(s.get(client, "/roar/all.yaml").body))

	p.move("0.0.0", p.push("9.9.9", scar(t, "again")))
	s.sync()
	assert.Equal(t, "from again", string(s.get(client, "/roar/all.yaml").body))
}

// Before anything was ever pushed there is nothing to serve, and nothing wrong.
func TestNothingPushedYet(t *testing.T) {
	t.Parallel()
	registry := testenv.Zot(t, testenv.Options{})
	s := newSpecman(t, raced, map[string]string{"source.repository": registry.Repo(manifestRepository), "source.plainHTTP": "true", "source.interval": "200ms"})
	s.start()
	s.running.waitFor(t, 0, "nothing was pushed yet")
	client := newClient(t, s.dir, true)
	a, err := fetch(client, s.running.url+"/roar/nickfury/versions.yaml", nil)
	require.NoError(t, err)
	assert.Equal(t, http.StatusServiceUnavailable, a.status)
	assert.Equal(t, "5", a.header.Get("Retry-After"))
	assert.NotContains(t, s.running.log.String(), "level=error")
	ready, err := fetch(&http.Client{Timeout: patience}, s.running.ops+"/readyz", nil)
	require.NoError(t, err)
	assert.Equal(t, http.StatusServiceUnavailable, ready.status)

	newPublisher(t, registry).push("0.0.0", scar(t, "0.0.0"))
	s.waitMetric("specman_view_swaps_total", 1)
	assert.Equal(t, "from 0.0.0", string(s.get(client, "/roar/all.yaml").body))
	ready, err = fetch(&http.Client{Timeout: patience}, s.running.ops+"/readyz", nil)
	require.NoError(t, err)
	assert.Equal(t, http.StatusOK, ready.status)
}

func count(lines []string, part string) int {
	n := 0
	for _, line := range lines {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}
