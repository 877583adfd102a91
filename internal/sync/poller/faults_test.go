package poller

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/sync/oci"
	"github.com/specman/specman/internal/sync/oci/ocitest"
)

// counts are requests by operation.
type counts = map[string]int

const (
	tags, head, manifest, blob, token = ocitest.Tags, ocitest.Head, ocitest.Manifest, ocitest.Blob, ocitest.Token
)

// fault is one way in which a registry fails, and what is then to be seen.
type fault struct {
	name  string
	site  siteOptions
	fresh bool // with the fault, 2.0.0 moves to a new digest
	begin func(s *site)
	heal  func(s *site) // nil: the registry heals

	stage   Stage
	says    string // in the reason
	cure    string // in the cure
	state   FollowState
	sync    counts        // requests of one sync; nil: none reaches the registry
	perHour int           // requests in an hour of it, at most
	slow    bool          // a sync takes its time to see it
	wait    time.Duration // that the registry asks for before the next try; 0: the first back-off
}

// backOffSyncs is how many syncs an hour of failing can hold: waits of 1, 2, 4
// and then 5 minutes, each up to a fifth shorter, and the one asked for.
const backOffSyncs = 18

func at(operation string, answer ocitest.Answer) func(*site) {
	return func(s *site) { s.registry.Break(ocitest.Fault{Operation: operation, Answer: answer}) }
}

func status(code int, headers ...string) ocitest.Answer {
	return ocitest.Status(code, "CODE", "the registry's own words", headers...)
}

func retryDate(code int, wait time.Duration) ocitest.Answer {
	return func(w http.ResponseWriter, req *http.Request, honest http.Handler) {
		// A clock of its own: only the difference counts.
		now := time.Now().Add(-7 * time.Hour).UTC()
		status(code, "Date", now.Format(http.TimeFormat), "Retry-After", now.Add(wait).Format(http.TimeFormat))(w, req, honest)
	}
}

func login(require func(r *ocitest.Registry, username, password string)) siteOptions {
	return siteOptions{
		prepare: func(r *ocitest.Registry) { require(r, "robot$palette", "old") },
		oci:     func(c *oci.Config) { c.Auth.Username, c.Auth.Password = "robot$palette", "old" },
	}
}

func faults() []fault {
	half := ocitest.Truncate(64 << 10)
	return []fault{
		// The way there.
		{name: "connection refused", begin: func(s *site) {
			s.line.cut(&net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED})
		}, heal: func(s *site) { s.line.cut(nil) }, stage: StageList, says: "connection refused", cure: "nothing listens there", state: Unknown},
		{name: "DNS failure", begin: func(s *site) {
			s.line.cut(&net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "registry.test", IsNotFound: true}})
		}, heal: func(s *site) { s.line.cut(nil) }, stage: StageList, says: "no such host", cure: "cluster's DNS", state: Unknown},
		{name: "a hang before the headers", begin: at(tags, ocitest.Hang()), slow: true, stage: StageList, says: "no answer in the time allowed", cure: "firewall", state: Unknown, sync: counts{tags: 1}, perHour: backOffSyncs},
		{name: "a hang in the body of the list", begin: at(tags, ocitest.Stall(5)), slow: true, stage: StageList, says: "64 KiB", cure: "source.stallTimeout", state: Unknown, sync: counts{tags: 1}, perHour: backOffSyncs},
		{name: "a list cut off", begin: at(tags, ocitest.Truncate(5)), stage: StageList, says: "EOF", state: Unknown, sync: counts{tags: 1}, perHour: backOffSyncs},

		// Whom the registry lets in.
		{name: "401 for ever", site: login((*ocitest.Registry).RequireBasic), begin: func(s *site) { s.registry.RequireBasic("robot$palette", "new") },
			heal: func(s *site) { s.registry.RequireBasic("robot$palette", "old") }, stage: StageList, says: "401", cure: "Harbor", state: Unknown, sync: counts{tags: 2}, perHour: 2 * 7},
		{name: "401 of the token server", site: login((*ocitest.Registry).RequireToken), begin: func(s *site) { s.registry.RequireToken("robot$palette", "new") },
			heal: func(s *site) { s.registry.RequireToken("robot$palette", "old") }, stage: StageList, says: "401", cure: "check source.auth.username", state: Unknown, sync: counts{tags: 1, token: 1}, perHour: 2 * 7},
		{name: "token server down", site: login((*ocitest.Registry).RequireToken), begin: func(s *site) {
			s.registry.ExpireTokens(nil)
			at(token, status(503))(s)
		}, stage: StageList, says: "503", cure: "down or restarting", state: Unknown, sync: counts{tags: 1, token: 1}, perHour: 2 * backOffSyncs},
		{name: "403", begin: at(tags, status(403)), stage: StageList, says: "403", cure: "pull rights", state: Unknown, sync: counts{tags: 1}, perHour: backOffSyncs},
		{name: "403 of a tag", begin: func(s *site) {
			at(head, status(403))(s)
			at(manifest, status(403))(s)
		}, stage: StageResolve, says: "403", cure: "pull rights", state: Unknown, sync: counts{tags: 1, head: 2}, perHour: 3 * backOffSyncs},

		// What is not there.
		{name: "404 on the repository", begin: at(tags, status(404)), stage: StageList, says: "has become empty", cure: "still served", state: Vanished, sync: counts{tags: 1}, perHour: backOffSyncs},
		{name: "an empty list", begin: at(tags, ocitest.Page("application/json", `{"tags":null}`)), stage: StageList, says: "has become empty", cure: "still served", state: Vanished, sync: counts{tags: 1}, perHour: backOffSyncs},
		{name: "404 on a listed tag", begin: func(s *site) {
			s.registry.Break(ocitest.Fault{Operation: head, Answer: only("2.0.0", status(404))})
		}, stage: StageResolve, says: "404", cure: "still served", state: Vanished, sync: counts{tags: 1, head: 2}, perHour: 3 * backOffSyncs},
		{name: "404 on a manifest", fresh: true, begin: at(manifest, status(404)), stage: StageManifest, says: "404", cure: "push it again", state: Behind, sync: counts{tags: 1, head: 2, manifest: 1}, perHour: 4 * backOffSyncs},
		{name: "404 on a blob", fresh: true, begin: at(blob, status(404)), stage: StageDownload, says: "404", cure: "push the artifact again", state: Behind, sync: counts{tags: 1, head: 2, manifest: 1, blob: 1}, perHour: 5 * backOffSyncs},

		// Not now.
		{name: "429", begin: at(tags, status(429)), stage: StageList, says: "429", cure: "source.interval", state: Unknown, sync: counts{tags: 1}, perHour: backOffSyncs},
		{name: "429 for 20 minutes", begin: at(tags, status(429, "Retry-After", "1200")), stage: StageList, says: "429", cure: "source.interval", state: Unknown, sync: counts{tags: 1}, perHour: 3, wait: 20 * time.Minute},
		{name: "429 until a date", begin: at(head, retryDate(429, 40*time.Minute)), stage: StageResolve, says: "429", cure: "source.interval", state: Unknown, sync: counts{tags: 1, head: 1}, perHour: 2 * 2, wait: 40 * time.Minute},
		{name: "429 for a day", begin: at(tags, status(429, "Retry-After", "86400")), stage: StageList, says: "429", state: Unknown, sync: counts{tags: 1}, perHour: 1, wait: time.Hour},
		{name: "503 for 10 minutes", fresh: true, begin: at(manifest, status(503, "Retry-After", "600")), stage: StageManifest, says: "503", cure: "down or restarting", state: Behind, sync: counts{tags: 1, head: 2, manifest: 1}, perHour: 4 * 6, wait: 10 * time.Minute},
		{name: "503 until a date", fresh: true, begin: at(blob, retryDate(503, 30*time.Minute)), stage: StageDownload, says: "503", cure: "down or restarting", state: Behind, sync: counts{tags: 1, head: 2, manifest: 1, blob: 1}, perHour: 5 * 2, wait: 30 * time.Minute},
		{name: "500", begin: at(tags, status(500)), stage: StageList, says: "500", cure: "down or restarting", state: Unknown, sync: counts{tags: 1}, perHour: backOffSyncs},
		{name: "500 of the tags", begin: at(head, status(500)), stage: StageResolve, says: "500", cure: "down or restarting", state: Unknown, sync: counts{tags: 1, head: 2}, perHour: 3 * backOffSyncs},
		{name: "500 of a blob", fresh: true, begin: at(blob, status(500)), stage: StageDownload, says: "500", cure: "down or restarting", state: Behind, sync: counts{tags: 1, head: 2, manifest: 1, blob: 1}, perHour: 5 * backOffSyncs},

		// What comes is not what was asked for.
		{name: "a login page", begin: at(tags, ocitest.Page("text/html", "<html>")), stage: StageList, says: "web page", cure: "login page of a proxy", state: Unknown, sync: counts{tags: 1}, perHour: backOffSyncs},
		{name: "a list without end", begin: at(tags, ocitest.Header("Link", `</v2/`+repository+`/tags/list>; rel="next"`)), stage: StageList, says: "circle", cure: "proxy", state: Unknown, sync: counts{tags: 4}, perHour: 4 * backOffSyncs},
		{name: "a next page at another origin", begin: at(tags, ocitest.Header("Link", `<https://elsewhere.test/>; rel="next"`)), stage: StageList, says: "not the same origin", cure: "external URL", state: Unknown, sync: counts{tags: 1}, perHour: backOffSyncs},
		{name: "JSON of a proxy for a manifest", fresh: true, begin: at(manifest, ocitest.Page("application/json", `{"error":"sorry"}`)), stage: StageManifest, says: "not an OCI manifest", state: Behind, sync: counts{tags: 1, head: 2, manifest: 2}, perHour: 5 * backOffSyncs},
		{name: "a manifest with another digest", fresh: true, begin: at(manifest, ocitest.Body(func(b []byte) []byte { b[0] ^= 1; return b })), stage: StageManifest, says: "digest", cure: "push the artifact again", state: Behind, sync: counts{tags: 1, head: 2, manifest: 1}, perHour: 4 * backOffSyncs},
		{name: "a blob of another length", fresh: true, begin: at(blob, ocitest.Body(func([]byte) []byte { return nil })), stage: StageDownload, says: "0 bytes", cure: "push the artifact again", state: Behind, sync: counts{tags: 1, head: 2, manifest: 1, blob: 1}, perHour: 5 * backOffSyncs},
		{name: "a blob of another digest", fresh: true, begin: at(blob, ocitest.Flip()), stage: StageDownload, says: "sha256:", cure: "push the artifact again", state: Behind, sync: counts{tags: 1, head: 2, manifest: 1, blob: 1}, perHour: 5 * backOffSyncs},

		// Blobs that come in pieces.
		{name: "a hang before a blob", fresh: true, begin: at(blob, ocitest.Hang()), slow: true, stage: StageDownload, says: "no answer in the time allowed", cure: "firewall", state: Behind, sync: counts{tags: 1, head: 2, manifest: 1, blob: 1}, perHour: 5 * backOffSyncs},
		{name: "a hang in every blob", fresh: true, begin: at(blob, ocitest.Stall(0)), slow: true, stage: StageDownload, says: "after 3 resumes", cure: "source.stallTimeout", state: Behind, sync: counts{tags: 1, head: 2, manifest: 1, blob: 4}, perHour: 8 * backOffSyncs},
		{name: "a blob that drips", fresh: true, begin: at(blob, ocitest.Drip(1<<10, time.Second)), slow: true, stage: StageDownload, says: "64 KiB", cure: "source.stallTimeout", state: Behind, sync: counts{tags: 1, head: 2, manifest: 1, blob: 4}, perHour: 8 * backOffSyncs},
		{name: "a blob that is always cut", fresh: true, begin: func(s *site) {
			at(blob, half)(s)
			at(blob, ocitest.NoRanges())(s)
		}, slow: true, stage: StageDownload, says: "broken at 65536 of", cure: "proxies", state: Behind, sync: counts{tags: 1, head: 2, manifest: 1, blob: 4}, perHour: 8 * backOffSyncs},
	}
}

// only breaks what is asked of one reference.
func only(reference string, answer ocitest.Answer) ocitest.Answer {
	return func(w http.ResponseWriter, req *http.Request, honest http.Handler) {
		if strings.HasSuffix(req.URL.Path, "/"+reference) {
			answer(w, req, honest)
			return
		}
		honest.ServeHTTP(w, req)
	}
}

// Whatever the registry does, the held view is served, the status says what is
// wrong, few requests are made, and the end of the fault is found.
func TestFaults(t *testing.T) {
	for _, row := range faults() {
		t.Run(row.name, func(t *testing.T) {
			atSite(t, func(s *site) {
				s.run()
				held := s.store.Served()
				require.NotNil(t, held)
				row.break_(s)
				success := s.poller.Status().LastSuccess

				outcome, requests := s.sync()
				assert.Equal(t, Failed, outcome.Result)
				require.NotEmpty(t, outcome.Failures)
				f := outcome.Failures[0]
				assert.Equal(t, row.stage, f.Stage)
				assert.Contains(t, f.Reason, row.says)
				assert.NotEmpty(t, f.Cure)
				assert.Contains(t, f.Cure, row.cure)
				assert.NotContains(t, f.Reason+f.Cure, "\n")
				assert.Equal(t, row.state, s.state("2.0.0"))
				if row.sync == nil {
					row.sync = counts{}
				}
				assert.Equal(t, row.sync, requests)

				st := s.poller.Status()
				assert.Equal(t, outcome.Failures, st.Failures)
				assert.Equal(t, success, st.LastSuccess)
				assert.False(t, st.Current)
				assert.Zero(t, s.metric("view_current"))
				assert.GreaterOrEqual(t, s.metric("consecutive_sync_failures"), 1.0)
				row.expectWait(t, st.NextAttempt.Sub(st.LastAttempt), outcome.Ended.Sub(outcome.Started))

				s.registry.Forget()
				time.Sleep(time.Hour - time.Second) // not at the very moment of a try
				assert.LessOrEqual(t, len(s.registry.Requests()), row.perHour)
				assert.Equal(t, held.ID, s.store.Served().ID)
				s.serves(files{"a": "two", "b": "one"})

				row.end(s)
				time.Sleep(max(0, time.Until(s.poller.Status().NextAttempt)) + 10*time.Minute)
				st = s.poller.Status()
				assert.NotEqual(t, Failed, st.LastResult, "%+v", st.Failures)
				assert.True(t, st.Current)
				assert.Zero(t, st.ConsecutiveFailures)
				assert.LessOrEqual(t, st.NextAttempt.Sub(st.LastAttempt), 66*time.Second, "the interval again")
				if row.fresh {
					s.serves(files{"a": "new", "b": "one"})
				}
			}, row.site)
		})
	}
}

func (row *fault) break_(s *site) {
	if row.fresh {
		s.push("2.0.0", day(3), files{"a": "new", "large": noise(256 << 10)})
	}
	row.begin(s)
}

func (row *fault) end(s *site) {
	if row.heal != nil {
		row.heal(s)
	}
	s.registry.Heal()
}

// expectWait asserts when the next try is due, after a sync that took a while.
func (row *fault) expectWait(t *testing.T, wait, took time.Duration) {
	t.Helper()
	want := max(row.wait, time.Minute)
	assert.GreaterOrEqual(t, wait-took, want*8/10)
	if row.wait > 0 {
		assert.GreaterOrEqual(t, wait-took, row.wait, "what the registry asks for is honoured in full")
	}
	assert.LessOrEqual(t, wait-took, want+time.Second)
}

// With nothing to serve yet, tries are 1, 2, 4 … seconds apart, unless the
// registry asks for more; and when the fault ends the first tree is there.
func TestFaultsAtTheFirstStart(t *testing.T) {
	for _, row := range faults() {
		t.Run(row.name, func(t *testing.T) {
			atSite(t, func(s *site) {
				s.push("1.0.0", day(1), files{"a": "one", "b": noise(256 << 10)})
				s.push("2.0.0", day(2), files{"a": "new", "c": noise(257 << 10)})
				row.begin(s)
				begin := time.Now()
				s.run()
				if row.state == Vanished && row.stage == StageResolve {
					s.serves(files{"a": "one"}) // what is whole is served at once
					return
				}
				time.Sleep(16 * time.Second)
				assert.Nil(t, s.store.Served())
				switch starts := s.starts(); {
				case row.wait > 0:
					assert.Len(t, starts, 1, "what the registry asks for comes before haste")
				case row.slow:
					assert.LessOrEqual(t, len(starts), 3, "the first ones take their time")
				case s.poller.Status().Failures[0].quiet:
					assert.Len(t, starts, 1, "nothing was pushed yet: that is no failure to be hasty for")
				default:
					require.GreaterOrEqual(t, len(starts), 5)
					for n, want := range []time.Duration{0, 1, 3, 7, 15} {
						assert.InDelta(t, want*time.Second, starts[n].Sub(begin), 0.2*float64(want*time.Second), "try %d", n)
					}
				}
				time.Sleep(45 * time.Minute)
				assert.NotEmpty(t, s.poller.Status().Failures)
				assert.LessOrEqual(t, len(s.registry.Requests()), 12*(9+backOffSyncs), "no storm")

				row.end(s)
				time.Sleep(max(0, time.Until(s.poller.Status().NextAttempt)) + 10*time.Minute)
				s.serves(files{"a": "new", "b": noise(256 << 10)})
				assert.True(t, s.poller.Status().Current)
			}, row.site)
		})
	}
}

// One release that the registry cannot give holds back no other; a way that is
// closed altogether is found out after two.
func TestOneReleaseHoldsNothingBack(t *testing.T) {
	for name, fault := range map[string]struct {
		operation, reference string
		answer               ocitest.Answer
	}{
		"its tag hangs":        {head, "3.0.0", ocitest.Hang()},
		"its tag hangs up":     {head, "3.0.0", ocitest.HangUp()},
		"its tag is forbidden": {head, "3.0.0", status(403)},
		"its manifest hangs":   {manifest, "3.0.0", ocitest.Hang()},
		"its manifest is gone": {manifest, "3.0.0", status(404)},
	} {
		t.Run(name, func(t *testing.T) {
			atSite(t, func(s *site) {
				s.run()
				s.push("3.0.0", day(3), files{"a": "three"})
				s.push("1.0.0", day(3), files{"a": "one", "b": "new"})
				s.registry.Break(ocitest.Fault{Operation: fault.operation, Answer: only(fault.reference, fault.answer)})
				outcome, _ := s.sync()
				assert.Equal(t, Failed, outcome.Result, "something newly failed")
				assert.Equal(t, []string{"1.0.0"}, outcome.Got)
				s.serves(files{"a": "two", "b": "new"})
				assert.Equal(t, Missing, s.state("3.0.0"))
				s.registry.Heal()
				time.Sleep(10 * time.Minute)
				s.serves(files{"a": "three", "b": "new"})
			})
		})
	}
	t.Run("a way that is closed", func(t *testing.T) {
		atSite(t, func(s *site) {
			for n := range 10 {
				s.push(fmt.Sprintf("3.%d.0", n), day(3), files{"a": "three"})
			}
			s.run()
			at(head, ocitest.Hang())(s)
			_, requests := s.sync()
			assert.Equal(t, counts{tags: 1, head: 2}, requests)
		})
	})
}

// A broken download is taken up again within the same sync.
func TestABrokenDownloadResumes(t *testing.T) {
	for name, row := range map[string]struct {
		faults []ocitest.Answer
		ranges []string // of the requests for the blob
	}{
		"by range":          {[]ocitest.Answer{ocitest.Truncate(100 << 10)}, []string{"", "bytes=102400-"}},
		"from the start":    {[]ocitest.Answer{ocitest.Truncate(100 << 10), ocitest.NoRanges()}, []string{"", "bytes=102400-"}},
		"after it hung":     {[]ocitest.Answer{ocitest.Stall(100 << 10)}, []string{"", "bytes=102400-"}},
		"after it was down": {[]ocitest.Answer{ocitest.Truncate(100 << 10), nil, status(503)}, []string{"", "bytes=102400-", "bytes=102400-"}},
	} {
		t.Run(name, func(t *testing.T) {
			atSite(t, func(s *site) {
				s.run()
				s.push("2.0.0", day(3), files{"a": "new", "large": noise(256 << 10)})
				for n, answer := range row.faults {
					switch n {
					case 0:
						s.registry.Break(ocitest.Fault{Operation: blob, Times: 1, Answer: answer})
					case 1:
						if answer != nil {
							s.registry.Break(ocitest.Fault{Operation: blob, Answer: answer})
						}
					default:
						s.registry.Break(ocitest.Fault{Operation: blob, Skip: 1, Times: 1, Answer: answer})
					}
				}
				outcome, _ := s.sync()
				assert.Equal(t, Success, outcome.Result, "%v", outcome.Failures)
				var ranges []string
				for _, r := range s.registry.Requests() {
					if r.Operation == blob {
						ranges = append(ranges, r.Range)
					}
				}
				assert.Equal(t, row.ranges, ranges)
				s.serves(files{"a": "new", "large": noise(256 << 10)})
			})
		})
	}
	t.Run("128 KiB a minute, for as long as it takes", func(t *testing.T) {
		atSite(t, func(s *site) {
			s.run()
			s.push("2.0.0", day(3), files{"a": "new", "large": noise(2 << 20)})
			at(blob, ocitest.Drip(32<<10, 15*time.Second))(s)
			outcome, requests := s.sync()
			assert.Equal(t, Success, outcome.Result, "%v", outcome.Failures)
			assert.Equal(t, 1, requests[blob])
			assert.Greater(t, outcome.Ended.Sub(outcome.Started), s.poller.Timeout, "source.timeout is not for bodies")
			s.serves(files{"a": "new"})
		})
	})
}
