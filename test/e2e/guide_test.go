package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/testenv"
)

var registries = map[string]func(testing.TB, testenv.Options) *testenv.Registry{
	"zot":          testenv.Zot,
	"distribution": testenv.Distribution,
}

// trust is how Specman comes to believe a registry.
var trust = map[string]func(*testenv.Registry) map[string]string{
	"plain HTTP": func(*testenv.Registry) map[string]string {
		return map[string]string{"source.plainHTTP": "true"}
	},
	"TLS with a CA": func(r *testenv.Registry) map[string]string {
		return map[string]string{"source.tls.caFile": r.CAFile}
	},
	"TLS not verified": func(*testenv.Registry) map[string]string {
		return map[string]string{"source.tls.insecureSkipVerify": "true"}
	},
}

// The migration guide with Specman in the middle: tar, oras push, watch the log,
// read the tree; push again, and see the new one at the next poll.
func TestGuide(t *testing.T) {
	for kind, start := range registries {
		for how, keys := range trust {
			for _, login := range []bool{false, true} {
				name := fmt.Sprintf("%s/%s/login %t", kind, how, login)
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					var options testenv.Options
					if how != "plain HTTP" {
						options.CA = testenv.NewCA(t)
					}
					if login {
						options.Username, options.Password = "robot$palette", "pass$word"
					}
					registry := start(t, options)
					s := newSpecman(t, raced, map[string]string{
						"source.repository": registry.Repo(manifestRepository), "source.interval": "200ms",
					})
					maps.Copy(s.keys, keys(registry))
					if login {
						s.keys["source.auth.username"], s.keys["source.auth.password"] = options.Username, options.Password
					}
					followGuide(t, registry, s)
				})
			}
		}
	}
}

func followGuide(t *testing.T, registry *testenv.Registry, s *specman) {
	ref := registry.Repo(manifestRepository) + ":0.0.0"
	html := www(t)
	tarWWW(t, html)
	registry.Oras(html, "push", ref, "manifests.tgz")

	r := s.start()
	r.waitFor(t, 0, "Persisting 0.0.0")
	assertGuideLog(t, r.log.String(), "[0.0.0]")
	client := newClient(t, s.dir, true)
	s.waitMetric("specman_view_swaps_total", 1)
	assertServed(t, s, client, filesIn(t, html))
	askAsPalette(t, s, client, html)

	// What ORAS 1.0 makes, of a changed tree, at the next poll.
	versions := filepath.Join(html, "roar", "nickfury", "versions.yaml")
	content, err := os.ReadFile(versions)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(versions, append(content, "# pushed again\n"...), 0o600))
	require.NoError(t, os.Remove(filepath.Join(html, "roar", "packs", "cni-calico-3.28.2.tar.gz")))
	tarWWW(t, html)
	registry.Oras(html, "push", "--image-spec", "v1.0", ref, "manifests.tgz")
	s.waitMetric("specman_view_swaps_total", 2)
	assertServed(t, s, client, filesIn(t, html))

	// A folder, which ORAS packs by itself, is served under its name.
	require.NoError(t, os.Remove(filepath.Join(html, "manifests.tgz")))
	registry.Oras(filepath.Dir(html), "push", ref, "html")
	s.waitMetric("specman_view_swaps_total", 3)
	under := map[string]string{}
	for path, body := range filesIn(t, html) {
		under["/html"+path] = body
	}
	assertServed(t, s, client, under)

	require.Zero(t, r.terminate(t), "%s", r.log)
	registry.Stop()
	s.start() // nothing but the disk is left
	assertServed(t, s, newClient(t, s.dir, false), under)
	require.Zero(t, s.running.terminate(t))
}

// assertGuideLog compares the first sync's lines with the guide's: time, level
// and words, in that order, with nothing before them on the line.
func assertGuideLog(t *testing.T, log, tags string) {
	t.Helper()
	want := []string{
		"Syncing with OCI repo", "tags" + tags, "Downloading 0.0.0",
		"filename: manifests.tgz, isDir: false", "Persisting 0.0.0",
	}
	const moment = `time="\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ" level=info msg="`
	var said []string
	for line := range strings.Lines(log) {
		words := regexp.MustCompile(`^` + moment + `([^"]*)"( [a-zA-Z]+=.*)?\n$`).FindStringSubmatch(line)
		if words != nil && slices.Contains(want, words[1]) {
			said = append(said, words[1])
		}
		if len(said) == len(want) {
			break
		}
	}
	assert.Equal(t, want, said, "%s", log)
}

// assertServed compares all that is served with what there should be.
func assertServed(t *testing.T, s *specman, client *http.Client, want map[string]string) {
	t.Helper()
	have := s.tree(client)
	delete(have, "/manifests.tgz") // the second run of the guide's tar packs the first one's archive
	if !assert.Equal(t, slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(have))) {
		return
	}
	for path := range want {
		assert.Equal(t, want[path], have[path], path)
	}
}

var rootAbsolutePath = regexp.MustCompile(`"(/[^"]+)"`)

// askAsPalette asks as Palette does, with an empty user and password: first for
// the index, then for every path that what it reads names.
func askAsPalette(t *testing.T, s *specman, client *http.Client, html string) {
	t.Helper()
	todo := []string{"/roar/nickfury/versions.yaml"}
	asked := map[string]bool{}
	for len(todo) > 0 {
		path := todo[0]
		todo = todo[1:]
		if asked[path] {
			continue
		}
		asked[path] = true
		a, err := fetch(client, s.running.url+path, http.Header{"Authorization": {"Basic Og=="}})
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, a.status, path)
		file := filepath.Join(html, path)
		if strings.HasSuffix(path, "/") {
			file = filepath.Join(file, "index.html")
		}
		want, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.Equal(t, string(want), string(a.body), path)
		if strings.HasSuffix(path, ".yaml") {
			for _, found := range rootAbsolutePath.FindAllSubmatch(a.body, -1) {
				todo = append(todo, string(found[1]))
			}
		}
	}
	assert.Contains(t, asked, "/roar/nickfury/4.5/4.5.13/version.yaml")
	assert.Greater(t, len(asked), 15)
}

// An idle poll is one list and one HEAD per followed tag, by the program's own
// count and by what arrives at the registry.
func TestIdlePolls(t *testing.T) {
	for kind, start := range registries {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			registry := start(t, testenv.Options{})
			gate := newGateway(t, registry)
			p := newPublisher(t, registry)
			tree := &bulk{files: 4, size: 100}
			p.push("0.0.0", tree.archive(t, "1"))
			p.push("4.5.13", tree.archive(t, "2"))
			s := newSpecman(t, raced, map[string]string{"source.repository": gate.repository(), "source.plainHTTP": "true"})
			s.start()
			s.sync()
			before := s.metrics()
			mark := s.running.log.mark()
			gate.take()

			const polls = 5
			for range polls {
				s.sync()
				const repo = "/v2/" + manifestRepository
				assert.ElementsMatch(t, []string{
					"GET " + repo + "/tags/list", "HEAD " + repo + "/manifests/0.0.0", "HEAD " + repo + "/manifests/4.5.13",
				}, gate.take())
			}
			after := s.metrics()
			delta := map[string]float64{}
			for name, value := range after {
				if strings.HasPrefix(name, "specman_registry_requests_total") && value != before[name] {
					delta[name] = value - before[name]
				}
			}
			assert.Equal(t, map[string]float64{
				`specman_registry_requests_total{code="200",operation="tags",source="default"}`: polls,
				`specman_registry_requests_total{code="200",operation="head",source="default"}`: 2 * polls,
			}, delta)
			const downloaded = `specman_downloaded_bytes_total{source="default"}`
			assert.Equal(t, before[downloaded], after[downloaded])
			assert.NotZero(t, after[downloaded])
			const noop = `specman_syncs_total{result="noop",source="default"}`
			assert.EqualValues(t, polls, after[noop]-before[noop])

			// Nothing but the first two lines, and what stands: nothing does here,
			// but that somebody asked.
			for _, line := range s.running.log.since(mark) {
				assert.Regexp(t, `msg="(Syncing with OCI repo|tags\[.*\]|A sync was asked for)"`, line)
			}
		})
	}
}
