package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/testenv"
)

// While the tag goes back and forth two hundred times, four clients read pairs of
// files that say which version they are of, and revalidate what they have in every
// way that HTTP knows.
func TestSoak(t *testing.T) {
	t.Parallel()
	swaps := 200
	if torture {
		swaps = 2000
	}
	registry := testenv.Distribution(t, testenv.Options{})
	p := newPublisher(t, registry)
	tree := &bulk{files: 16, size: 4 << 10}
	var versions []ocispec.Descriptor
	for n := range 2 {
		versions = append(versions, p.push("0.0.0", tree.archive(t, fmt.Sprint(n))))
	}
	s := newSpecman(t, raced, map[string]string{
		"source.repository": registry.Repo(manifestRepository), "source.plainHTTP": "true", "source.interval": "100ms",
	})
	s.start()
	s.sync()

	var quit atomic.Bool
	var reading sync.WaitGroup
	clients := make([]*reader, 4)
	read := func(n int) {
		c := &reader{specman: s, tree: tree, client: newClient(t, s.dir, n%2 == 0), kept: map[string]kept{}}
		clients[n] = c
		reading.Go(func() {
			random := rand.New(rand.NewPCG(uint64(n), 2))
			for c.err == nil && !quit.Load() {
				c.err = c.read(random)
			}
		})
	}
	// What a service at work has open, once: the same clients, before the first swap.
	for n := range clients {
		read(n)
	}
	time.Sleep(time.Second)
	quit.Store(true)
	reading.Wait()
	before := s.resources()
	quit.Store(false)
	for n := range clients {
		clients[n].client.CloseIdleConnections()
		read(n)
	}
	start := s.metrics()["specman_view_swaps_total"]
	for n := range swaps {
		// Only content with no other swap in the second before it, and a second
		// after it, has a date to revalidate by.
		quiet := n%50 == 0
		if quiet {
			time.Sleep(2 * time.Second)
		}
		p.move("0.0.0", versions[n%2])
		s.waitMetric("specman_view_swaps_total", start+float64(n+1))
		if quiet {
			time.Sleep(3 * time.Second)
		}
	}
	quit.Store(true)
	reading.Wait()
	var total reader
	for n, c := range clients {
		assert.NoError(t, c.err, "client %d", n)
		total.whole += c.whole
		total.pairs += c.pairs
		total.notModified += c.notModified
		total.changed += c.changed
		total.byDate += c.byDate
	}
	t.Logf("%d swaps: %d whole answers, %d pairs, %d times 304, %d of them by date alone, %d times content that had changed",
		swaps, total.whole, total.pairs, total.notModified, total.byDate, total.changed)
	assert.Positive(t, total.pairs)
	assert.Positive(t, total.byDate)
	assert.Greater(t, total.notModified, total.byDate)
	assert.Positive(t, total.changed)

	for name, value := range s.metrics() {
		if strings.HasPrefix(name, "specman_http_requests_total") && strings.Contains(name, `code="5`) {
			assert.Zero(t, value, name)
		}
		if strings.HasPrefix(name, "specman_sync_failures_total") || name == "specman_integrity_errors_total" {
			assert.Zero(t, value, name)
		}
	}
	assert.NotContains(t, s.running.log.String(), "level=error")
	eventually(t, func() error {
		now := s.resources()
		if now.files > before.files+5 || now.goroutines > before.goroutines+10 {
			return fmt.Errorf("a leak: %+v before the swaps, %+v after them", before, now)
		}
		return nil
	})
	assert.Zero(t, s.running.terminate(t), "status 66 is a data race: %s", s.running.log.tail())
}

type resources struct{ files, goroutines int }

// resources is what the service has open now.
func (s *specman) resources() resources {
	s.t.Helper()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.running.cmd.Process.Pid))
	require.NoError(s.t, err)
	return resources{len(open), int(s.metrics()["go_goroutines"])}
}

// reader is one client with its own cache.
type reader struct {
	*specman
	client *http.Client
	tree   *bulk
	kept   map[string]kept

	whole, pairs, notModified, byDate, changed int

	err error
}

// kept is what a client has of a path, and what it may revalidate that by.
type kept struct {
	body           []byte
	etag, modified string
}

// read makes one round: a pair under one view, and a path as it is now, by ETag, by
// date alone, or by both.
func (c *reader) read(random *rand.Rand) error {
	path := c.tree.path(random.IntN(c.tree.files))
	a, version, err := c.get("/"+path, path, nil)
	if err != nil {
		return err
	}
	view := a.header.Get("Specman-View")
	for range 2 {
		path := c.tree.path(random.IntN(c.tree.files))
		b, v, err := c.get("/@"+view+"/"+path, path, nil)
		if err != nil {
			return err
		}
		if v != version || b.header.Get("Specman-View") != view {
			return fmt.Errorf("view %s holds versions %s and %s (%s)", view, version, v, b.header.Get("Specman-View"))
		}
	}
	c.pairs++
	return c.revalidate(random, path)
}

// revalidate checks that a 304 was right: what the client has is what an
// unconditional request in the same view gets.
func (c *reader) revalidate(random *rand.Rand, path string) error {
	have, ok := c.kept[path]
	header := http.Header{}
	switch how := random.IntN(4); {
	case !ok, how == 3: // asked for anew: it may have a date by now
	case how == 0 && have.modified != "":
		header.Set("If-Modified-Since", have.modified)
	case how == 1 && have.modified != "":
		header.Set("If-Modified-Since", have.modified)
		header.Set("If-None-Match", have.etag)
	default:
		header.Set("If-None-Match", have.etag)
	}
	a, _, err := c.get("/"+path, path, header)
	if err != nil {
		return err
	}
	if a.status == http.StatusNotModified {
		c.notModified++
		if header.Get("If-None-Match") == "" {
			c.byDate++
		}
		under := "/@" + a.header.Get("Specman-View")
		now, _, err := c.get(under+"/"+path, path, nil)
		if err != nil {
			return err
		}
		if string(now.body) != string(have.body) {
			return fmt.Errorf("304 for %s with %v, but view %s has other content", path, header, under)
		}
		return nil
	}
	if ok && string(have.body) != string(a.body) {
		c.changed++
	}
	c.kept[path] = kept{a.body, a.header.Get("ETag"), a.header.Get("Last-Modified")}
	return nil
}

// get reads a path, whole and of one version.
func (c *reader) get(target, path string, header http.Header) (answer, string, error) {
	a, err := fetch(c.client, c.running.url+target, header)
	switch {
	case err != nil:
		return a, "", err
	case a.status == http.StatusNotModified && len(header) > 0:
		return a, "", nil
	case a.status != http.StatusOK:
		return a, "", fmt.Errorf("GET %s: %d %s", target, a.status, a.body)
	}
	c.whole++
	version, err := c.tree.check(path, a.body)
	return a, version, err
}
