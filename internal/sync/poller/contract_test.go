package poller

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/oci"
	"github.com/specman/specman/internal/sync/oci/ocitest"
)

// What a sync promises, promise by promise, where no other test of this package
// holds it.

// newRigCountingSwaps keeps the tags of each view that came to be served.
func newRigCountingSwaps(t *testing.T, change ...func(*Config)) (r *rig, swaps *[]string) {
	t.Helper()
	s, err := store.Open(context.Background(), store.Options{Dir: t.TempDir(), Keep: 3})
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	swaps = &[]string{}
	s.OnSwap(func(v *store.View) {
		var tags []string
		for _, r := range v.Releases() {
			tags = append(tags, r.Tag)
		}
		*swaps = append(*swaps, strings.Join(tags, " "))
	})
	return newRigOn(t, s, newRegistry(), change...), swaps
}

func TestOneSwapASync(t *testing.T) {
	r, swaps := newRigCountingSwaps(t)
	for _, tag := range []string{"1.0.0", "2.0.0", "3.0.0"} {
		r.registry.push(t, tag, day(1), files{"a": tag})
	}
	o := r.sync()
	assert.Equal(t, []string{"3.0.0", "2.0.0", "1.0.0"}, o.Got)
	assert.Equal(t, []string{"3.0.0", "3.0.0 2.0.0 1.0.0"}, *swaps, "the first whole release of an empty store at once, then all")
	assert.True(t, o.Swapped)

	*swaps = nil
	for _, tag := range []string{"1.0.0", "2.0.0", "4.0.0", "5.0.0"} {
		r.registry.push(t, tag, day(2), files{"a": tag + " again"})
	}
	r.registry.pushBytes(t, "5.0.0", day(2), []byte("no archive"))
	r.sync()
	assert.Equal(t, []string{"4.0.0 3.0.0 2.0.0 1.0.0"}, *swaps)

	*swaps = nil
	assert.False(t, r.sync().Swapped)
	assert.Empty(t, *swaps)
}

func TestTheFirstReleaseOfAnEmptyStoreNeedNotBeTheTop(t *testing.T) {
	r, swaps := newRigCountingSwaps(t)
	r.registry.pushBytes(t, "3.0.0", day(1), []byte("no archive"))
	r.registry.push(t, "2.0.0", day(1), files{"a": "2"})
	r.registry.push(t, "1.0.0", day(1), files{"a": "1"})
	assert.Equal(t, Failed, r.sync().Result)
	assert.Equal(t, []string{"2.0.0", "2.0.0 1.0.0"}, *swaps)
	assert.Equal(t, Refused, r.state("3.0.0"), "and so the view is incomplete")
}

func TestResultsAndTimes(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := NewMetrics(reg, []string{"default"})
	r := newRig(t, func(c *Config) { c.Metrics = m })
	r.registry.push(t, "1.0.0", day(1), files{"a": "one"})
	count := func(result Result) float64 {
		return testutil.ToFloat64(m.syncs.WithLabelValues("default", string(result)))
	}
	for _, step := range []struct {
		name    string
		before  func()
		result  Result
		stage   Stage // whose failures move
		success bool  // the last success moves
	}{
		{"something new", func() {}, Success, "", true},
		{"nothing new", func() {}, Noop, "", true},
		{"a new refusal beside something new", func() {
			r.registry.push(t, "2.0.0", day(1), files{"a": "two"})
			r.registry.pushBytes(t, "3.0.0", day(1), []byte("no archive"))
		}, Failed, StageUnpack, false},
		{"only a remembered refusal", func() {}, Noop, "", true},
		{"something new beside a remembered refusal", func() { r.registry.push(t, "2.1.0", day(1), files{"a": "two"}) }, Success, "", true},
		{"a registry that is down", func() { r.broken("tags", unavailable) }, Failed, StageList, false},
		{"and up again", func() { r.registry.failing(nil) }, Noop, "", true},
		{"a tag that a pattern had selected vanishes", func() { r.registry.remove("2.1.0") }, Noop, "", true},
	} {
		step.before()
		ended, failures := count(step.result), map[Stage]float64{}
		for _, stage := range Stages {
			failures[stage] = testutil.ToFloat64(m.failures.WithLabelValues("default", string(stage)))
		}
		success := r.poller.Status().LastSuccess
		time.Sleep(time.Millisecond)
		o := r.sync()
		assert.Equal(t, step.result, o.Result, step.name)
		assert.Equal(t, ended+1, count(step.result), step.name)
		for _, stage := range Stages {
			moved := testutil.ToFloat64(m.failures.WithLabelValues("default", string(stage))) - failures[stage]
			assert.Equal(t, stage == step.stage, moved > 0, "%s: %s", step.name, stage)
		}
		st := r.poller.Status()
		assert.Equal(t, step.success, st.LastSuccess.After(success), step.name)
		assert.InDelta(t, unix(st.LastSuccess), testutil.ToFloat64(m.lastSuccess), 1e-3, step.name)
		assert.InDelta(t, unix(o.Started), testutil.ToFloat64(m.lastAttempt), 1e-3, step.name)
		assert.Equal(t, float64(st.ConsecutiveFailures), testutil.ToFloat64(m.consecutive), step.name)
	}
	assert.Equal(t, 8.0, count(Success)+count(Noop)+count(Failed), "one for each sync that has ended")
	assert.Equal(t, []FollowState{Refused, Vanished, Current}, []FollowState{r.state("3.0.0"), r.state("2.1.0"), r.state("2.0.0")})
	assert.Equal(t, 1.0, testutil.ToFloat64(m.refused))
}

func TestAPinIsNotCurrent(t *testing.T) {
	m := NewMetrics(prometheus.NewRegistry(), []string{"default"})
	r := newRig(t, func(c *Config) { c.Metrics = m })
	r.registry.push(t, "1.0.0", day(1), files{"a": "one"})
	r.sync()
	assert.Equal(t, 1.0, testutil.ToFloat64(m.current))
	require.NoError(t, r.store.Pin(*r.store.Served(), "pin", "pin 1.0.0"))
	r.registry.push(t, "2.0.0", day(2), files{"a": "two"})
	r.log.Reset()
	assert.Equal(t, Success, r.sync().Result, "what is new is got, and not served")
	r.serves(files{"a": "one"})
	assert.Zero(t, testutil.ToFloat64(m.current))
	assert.Contains(t, r.log.String(), `level=WARN msg="the served view is held at `)
	_, err := r.store.Unpin("")
	require.NoError(t, err)
	r.serves(files{"a": "two"})
	r.sync()
	assert.Equal(t, 1.0, testutil.ToFloat64(m.current))
}

func TestWarnLines(t *testing.T) {
	for _, n := range []int{0, 1, 4, 5, 6, 20} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			r := newRig(t)
			r.registry.push(t, "0.1.0", day(1), files{"a": "held"})
			for k := range n {
				r.registry.pushBytes(t, fmt.Sprintf("1.%d.0", k), day(1), fmt.Appendf(nil, "no archive %d", k))
			}
			r.sync()
			r.log.Reset()
			r.sync()
			var warnings []string
			for line := range strings.Lines(r.log.String()) {
				if strings.Contains(line, "level=WARN") {
					warnings = append(warnings, line)
					assert.Contains(t, line, "cure=")
				}
			}
			assert.Len(t, warnings, min(n, 5), "%s", r.log)
			assert.Len(t, r.poller.Status().Notices, n, "the status has all")
			if n > 5 {
				assert.Contains(t, warnings[4], fmt.Sprintf("%d more things", n-4))
			}
			assert.Equal(t, 2+min(n, 5), strings.Count(r.log.String(), "\n"), "nothing else is said")
		})
	}
}

func TestTheLineOfTags(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxReleases = 1 })
	one := r.registry.push(t, "9.0.0", day(1), files{"a": "one"})
	for n := range 149 {
		r.registry.point(fmt.Sprintf("%d.0.1", n%7*1000+n), one) // the registry's order is its own
	}
	r.sync()
	line := r.log.String()[strings.Index(r.log.String(), "tags["):]
	line = line[:strings.Index(line, "\n")]
	named, _, _ := strings.Cut(strings.TrimPrefix(line, "tags["), "]")
	assert.Equal(t, r.registry.tags[:100], strings.Fields(named))
	assert.Contains(t, line, "more=50")
}

func TestNamedAndPassedOver(t *testing.T) {
	chart := &oci.Manifest{ConfigMediaType: "application/vnd.cncf.helm.config.v1+json"}
	t.Run("named once, over restarts too", func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Select = selectors(t, "tags:.*") })
		r.registry.push(t, "1.0.0", day(1), files{"a": "one"})
		r.registry.put(t, "chart", chart)
		r.sync()
		assert.Equal(t, 1, strings.Count(r.log.String(), "Passing over chart"))
		again := r.configured(func(c *Config) { c.Select = selectors(t, "tags:.*") })
		assert.Equal(t, Noop, again.sync().Result)
		assert.NotContains(t, again.log.String(), "chart ")
		assert.Equal(t, PassedOver, again.state("chart"))
		assert.Empty(t, again.notices())
	})
	t.Run("named beside a pattern is a failure", func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Select = selectors(t, "tags:.*", "chart") })
		r.registry.put(t, "chart", chart)
		o := r.sync()
		require.Len(t, o.Failures, 1)
		assert.Equal(t, StageManifest, o.Failures[0].Stage)
		assert.Equal(t, Noop, r.sync().Result, "a remembered one")
		assert.Equal(t, Refused, r.state("chart"))
	})
	t.Run("what was passed over is judged anew when it moves", func(t *testing.T) {
		r := newRig(t)
		r.registry.put(t, "1.0.0", chart)
		r.sync()
		r.registry.push(t, "1.0.0", day(1), files{"a": "one"})
		assert.Equal(t, Success, r.sync().Result)
		r.serves(files{"a": "one"})
	})
}

func TestVanishedTags(t *testing.T) {
	t.Run("forget takes it out", func(t *testing.T) {
		r := newRig(t)
		r.registry.push(t, "1.0.0", day(1), files{"a": "one"})
		r.registry.push(t, "2.0.0", day(1), files{"a": "two"})
		r.sync()
		r.registry.remove("2.0.0")
		r.sync()
		_, err := r.store.Forget("2.0.0", "")
		require.NoError(t, err)
		assert.Equal(t, Noop, r.sync().Result)
		r.serves(files{"a": "one"})
		assert.Empty(t, r.state("2.0.0"))
		assert.Empty(t, r.notices())

		assert.Equal(t, Success, r.poller.Once(context.Background(), Ask{Force: true}).Result)
		r.serves(files{"a": "two"})
		assert.Equal(t, Vanished, r.state("2.0.0"), "a forced sync takes back what is still held")
		assert.Equal(t, Noop, r.sync().Result)
		r.serves(files{"a": "two"})
	})
	t.Run("it comes back", func(t *testing.T) {
		r := newRig(t)
		two := r.registry.push(t, "2.0.0", day(1), files{"a": "two"})
		r.registry.push(t, "1.0.0", day(1), files{"a": "one"})
		r.sync()
		r.registry.remove("2.0.0")
		r.sync()
		r.registry.point("2.0.0", two)
		r.registry.asked()
		assert.Equal(t, Noop, r.sync().Result)
		assert.NotContains(t, r.registry.asked(), "blob")
		assert.Equal(t, Current, r.state("2.0.0"))
	})
	t.Run("the highest match stays chosen", func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Select = selectors(t, "semver:>=1") })
		r.registry.push(t, "1.0.0", day(1), files{"a": "one"})
		r.registry.push(t, "2.0.0", day(1), files{"a": "two"})
		r.sync()
		r.registry.remove("2.0.0")
		r.sync()
		r.serves(files{"a": "two"})
		assert.Equal(t, Vanished, r.state("2.0.0"))
	})
	t.Run("named, and never there", func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Select = selectors(t, "0.0.0", "versions") })
		r.registry.push(t, "1.0.0", day(1), files{"a": "one"})
		o := r.sync()
		require.Len(t, o.Failures, 1)
		assert.Equal(t, "0.0.0", o.Failures[0].Tag)
		assert.Equal(t, StageResolve, o.Failures[0].Stage)
		r.serves(files{"a": "one"})
		assert.Equal(t, Missing, r.state("0.0.0"))
	})
	t.Run("an emptied repository", func(t *testing.T) {
		r := newRig(t)
		r.registry.push(t, "1.0.0", day(1), files{"a": "one"})
		r.sync()
		r.registry.remove("1.0.0")
		o := r.sync()
		require.Len(t, o.Failures, 1)
		assert.True(t, o.Failures[0].backsOff(), "an empty list is backed off from, as a 404 is")
		r.serves(files{"a": "one"})
	})
}

// 0.0.0 by real index files: right after the migration on top, under the next
// upgrade after it.
func TestRanksByIndex(t *testing.T) {
	index := func(versions ...string) string {
		text := "versions:\n"
		for _, v := range versions {
			text += "- version: \"" + v + "\"\n  filepath: /roar/nickfury/" + v + "/version.yaml\n"
		}
		return text
	}
	const at = "roar/nickfury/versions.yaml"
	r := newRig(t)
	// Mirrors keep the vendor's dates: 4.6.0 is older than the 0.0.0 that it lies above.
	r.registry.push(t, "0.0.0", day(20), files{"a": "0.0.0", "mine": "0.0.0", at: index("4.4.0", "4.5.11", "4.5.13")})
	r.registry.push(t, "4.5.13", day(2), files{"a": "4.5.13", "vendor": "4.5.13", at: index("4.4.0", "4.5.11", "4.5.13")})
	r.registry.push(t, "4.5.11", day(1), files{"a": "4.5.11", "old": "4.5.11", at: index("4.5.11")})
	r.sync()
	r.serves(files{"a": "0.0.0", "mine": "0.0.0", "vendor": "4.5.13", "old": "4.5.11"})
	assert.Equal(t, "0.0.0: its index lists 4.5.13", r.poller.Status().Followed[0].Rank)
	assert.Empty(t, r.notices())

	r.registry.push(t, "4.6.0", day(3), files{"a": "4.6.0", at: index("4.4.0", "4.5.11", "4.5.13", "4.6.0")})
	r.sync()
	r.serves(files{"a": "4.6.0", "mine": "0.0.0", "vendor": "4.5.13", "old": "4.5.11"})

	// The upgraded tarball, with its newest index in a patch index, goes on top again.
	r.registry.push(t, "0.0.0", day(21), files{"a": "0.0.0 again", at: index("4.5.13") + "- version: \"4.6\"\n  patchVersionsFilepath: /roar/nickfury/4.6/versions.yaml\n", "roar/nickfury/4.6/versions.yaml": index("4.6.0", "4.6.3")})
	r.sync()
	r.serves(files{"a": "0.0.0 again", "mine": "", "vendor": "4.5.13"})
	assert.Equal(t, "0.0.0: its index lists 4.6.3", r.poller.Status().Followed[0].Rank)

	t.Run("another replica, another order of arrival, the same view", func(t *testing.T) {
		want := r.store.Served().ID
		slices.Reverse(r.registry.tags)
		other := newRigOn(t, newRig(t).store, r.registry)
		for _, tag := range []string{"4.5.11", "0.0.0"} {
			one := newRigOn(t, other.store, r.registry, func(c *Config) { c.Select = selectors(t, tag) })
			one.sync()
		}
		other.sync()
		assert.Equal(t, want, other.store.Served().ID)
	})
}

// With exact selectors only, a list that is forbidden is a warning: HEAD decides.
func TestAForbiddenList(t *testing.T) {
	forbidden := &oci.Error{Kind: oci.Forbidden, Status: 403, Cure: "give it the right to list", Err: errors.New("no")}
	for _, row := range []struct {
		name     string
		selected []string
		result   Result
	}{
		{"exact selectors only", []string{"0.0.0"}, Success},
		{"a pattern among them", []string{"0.0.0", "versions"}, Failed},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.Select = selectors(t, row.selected...) })
			r.registry.push(t, "0.0.0", day(1), files{"a": "mine"})
			r.broken("tags", forbidden)
			o := r.sync()
			assert.Equal(t, row.result, o.Result)
			if row.result == Failed {
				assert.Equal(t, StageList, o.Failures[0].Stage)
				return
			}
			r.serves(files{"a": "mine"})
			assert.True(t, r.poller.Status().Current)
			r.log.Reset()
			assert.Equal(t, Noop, r.sync().Result)
			assert.Contains(t, r.log.String(), "level=WARN")
			assert.Contains(t, r.log.String(), "give it the right to list")
			assert.NotContains(t, r.log.String(), "level=ERROR")
			r.registry.remove("0.0.0")
			assert.Equal(t, Failed, r.sync().Result, "HEAD says that it is gone")
			r.serves(files{"a": "mine"})
		})
	}
}

// Registries that differ from the specification are followed all the same, and
// an idle poll stays one list and one request a tag.
func TestOddRegistries(t *testing.T) {
	byHead, byGet := counts{tags: 1, head: 2}, counts{tags: 1, manifest: 2}
	for _, row := range []struct {
		name   string
		faults []ocitest.Fault
		idle   counts
	}{
		{"no Docker-Content-Digest", []ocitest.Fault{{Operation: head, Answer: ocitest.NoDigest()}, {Operation: manifest, Answer: ocitest.NoDigest()}}, byGet},
		{"HEAD refused", []ocitest.Fault{{Operation: head, Answer: status(405)}}, byGet},
		{"everything chunked", []ocitest.Fault{{Answer: ocitest.Chunked()}}, byHead},
		{"blobs without ranges", []ocitest.Fault{{Operation: blob, Answer: ocitest.NoRanges()}}, byHead},
		{"a tag list in pages", []ocitest.Fault{{Operation: tags, Answer: pages}}, counts{tags: 2, head: 2}},
	} {
		t.Run(row.name, func(t *testing.T) {
			atSite(t, func(s *site) {
				for _, f := range row.faults {
					s.registry.Break(f)
				}
				s.run()
				s.serves(files{"a": "two", "b": "one"})
				outcome, requests := s.sync()
				assert.Equal(t, Noop, outcome.Result)
				assert.Equal(t, row.idle, requests)
				s.push("2.0.0", day(3), files{"a": "new"})
				outcome, _ = s.sync()
				assert.Equal(t, Success, outcome.Result)
				s.serves(files{"a": "new", "b": "one"})
			})
		})
	}
	t.Run("HEAD that is wrong", func(t *testing.T) {
		atSite(t, func(s *site) {
			at(head, ocitest.WrongDigest())(s)
			s.run()
			s.serves(files{"a": "two", "b": "one"})
			time.Sleep(10 * time.Minute)
			outcome, requests := s.sync()
			assert.Equal(t, Noop, outcome.Result)
			assert.Equal(t, byGet, requests, "it is not asked again")
			assert.True(t, s.poller.Status().Current)
		})
	})
	t.Run("a manifest that is none, where HEAD is refused", func(t *testing.T) {
		atSite(t, func(s *site) {
			at(head, status(405))(s)
			s.registry.PutManifest("3.0.0", "application/vnd.oci.image.manifest.v1+json", []byte(`{"fsLayers":[]}`))
			s.run()
			s.serves(files{"a": "two", "b": "one"})
			outcome, _ := s.sync()
			assert.Equal(t, Noop, outcome.Result)
			assert.Equal(t, Refused, s.state("3.0.0"))
		})
	})
	t.Run("a tag that moves between HEAD and GET", func(t *testing.T) {
		atSite(t, func(s *site) {
			s.run()
			s.push("2.0.0", day(3), files{"a": "head"})
			s.registry.Break(ocitest.Fault{Operation: manifest, Times: 1, Answer: func(w http.ResponseWriter, req *http.Request, honest http.Handler) {
				s.push("2.0.0", day(4), files{"a": "get"})
				honest.ServeHTTP(w, req)
			}})
			outcome, requests := s.sync()
			assert.Equal(t, Success, outcome.Result)
			assert.Equal(t, counts{tags: 1, head: 2, manifest: 1, blob: 1}, requests)
			s.serves(files{"a": "get"})
			outcome, _ = s.sync()
			assert.Equal(t, Noop, outcome.Result)
		})
	})
	t.Run("a tag that was deleted", func(t *testing.T) {
		atSite(t, func(s *site) {
			s.run()
			s.registry.DeleteTag("2.0.0")
			outcome, requests := s.sync()
			assert.Equal(t, Noop, outcome.Result)
			assert.Equal(t, counts{tags: 1, head: 1}, requests)
			assert.Equal(t, Vanished, s.state("2.0.0"))
			s.serves(files{"a": "two", "b": "one"})
		})
	})
}

// pages sends the tags one by one.
func pages(w http.ResponseWriter, req *http.Request, _ http.Handler) {
	w.Header().Set("Content-Type", "application/json")
	if req.URL.Query().Get("last") == "" {
		w.Header().Set("Link", fmt.Sprintf(`<http://%s%s?last=1.0.0>; rel="next"`, req.Host, req.URL.Path))
		_, _ = w.Write([]byte(`{"tags":["1.0.0"]}`))
		return
	}
	_, _ = w.Write([]byte(`{"tags":["2.0.0"]}`))
}
