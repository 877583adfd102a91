package ops

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/poller"
)

// textOf returns what a person reads on a page, and the tags it is made of.
func textOf(t *testing.T, page string) (text string, tags map[string]bool) {
	t.Helper()
	var b strings.Builder
	tags = make(map[string]bool)
	z := html.NewTokenizer(strings.NewReader(page))
	inStyle := false
	for {
		switch z.Next() {
		case html.ErrorToken:
			require.True(t, errors.Is(z.Err(), io.EOF))
			return strings.Join(strings.Fields(b.String()), " "), tags
		case html.StartTagToken:
			name, _ := z.TagName()
			tags[string(name)] = true
			inStyle = string(name) == "style"
		case html.EndTagToken:
			inStyle = false
		case html.TextToken:
			if !inStyle {
				b.Write(z.Text())
				b.WriteByte(' ')
			}
		}
	}
}

func TestPageBeginsWithWhatAPersonShouldKnow(t *testing.T) {
	r := newRig(t)
	top := r.hold("4.5.13", files{"a": "1"})
	r.follow(top)
	r.source.status = poller.Status{
		Repository: "registry.test/manifest", LastResult: poller.Failed, ConsecutiveFailures: 3,
		LastAttempt: time.Now().Add(-3 * time.Minute), LastSuccess: time.Now().Add(-5 * time.Hour), NextAttempt: time.Now().Add(10*time.Minute + 30*time.Second),
		Failures: []*poller.Failure{{Stage: poller.StageDownload, Tag: "4.6.0", Reason: "cut short", Cure: "look at the proxy"}},
		Notices:  []poller.Notice{{What: "0.0.0 has vanished", Cure: "push it again"}},
	}
	w := r.get("/")
	text, _ := textOf(t, w.Body.String())
	position := -1
	for _, said := range []string{
		"failed for 4.6.0 at stage download: cut short", "look at the proxy", "0.0.0 has vanished", "push it again",
		r.store.Served().ID, "4.5.13", top.Manifest.String(), "it is version 4.5.13",
		"registry.test/manifest", "3 minutes ago", "5 hours ago", "in 10 minutes", "Failures in a row",
		"What happened",
	} {
		at := strings.Index(text, said)
		assert.Greater(t, at, position, "%q comes next in: %s", said, text)
		position = max(at, position)
	}
	assert.NotContains(t, text, "Everything that is followed is served")

	r.source.set(func(s *source) { s.status = poller.Status{LastResult: poller.Noop, Current: true} })
	text, _ = textOf(t, r.get("/").Body.String())
	assert.Contains(t, text, "Everything that is followed is served")
}

func TestPageBeforeTheFirstView(t *testing.T) {
	r := newRig(t)
	text, _ := textOf(t, r.get("/").Body.String())
	assert.Contains(t, text, "Nothing is served yet: the first sync of source default has not ended yet")
}

// What comes from a registry or an archive is text on the page, and the page
// loads and runs nothing.
func TestPageIsInert(t *testing.T) {
	const evil = `<script>alert(1)</script><img src=x onerror=alert(1)>"'>`
	r := newRig(t)
	r.follow(r.hold("4.5.13", files{"a": "1"}, func(r *store.Release) { r.Tag = evil }))
	require.NoError(t, r.store.Note("failure", evil, evil))
	r.source.status = poller.Status{
		Repository: evil, LastResult: poller.Failed, LeftOut: []string{evil},
		Failures: []*poller.Failure{{Stage: poller.StageList, Tag: evil, Reason: evil, Cure: evil}},
		Notices:  []poller.Notice{{What: evil, Cure: evil}},
		Followed: []poller.Followed{{Tag: evil, State: poller.Missing, Rank: evil, Registry: evil}},
	}
	w := r.get("/")
	require.Equal(t, 200, w.Code)
	_, tags := textOf(t, w.Body.String())
	assert.False(t, tags["script"] || tags["img"], "%v", tags)

	_, rest, _ := strings.Cut(w.Body.String(), "<style>")
	style, _, _ := strings.Cut(rest, "</style>")
	sum := sha256.Sum256([]byte(style))
	policy := w.Header().Get("Content-Security-Policy")
	assert.Contains(t, policy, "default-src 'none'")
	assert.Contains(t, policy, "style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'", "the style on the page is the one that is allowed")
	assert.NotContains(t, policy, "unsafe")
	assert.NotContains(t, w.Body.String(), " style=", "which the policy forbids")
}
