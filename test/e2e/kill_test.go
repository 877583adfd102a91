package e2e

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/testenv"
)

// rig is a service whose source has one tag that moves from version to version of
// a tree, with a gateway in between. Nothing out of use is kept, so that garbage
// is collected all the time.
type rig struct {
	*specman
	gate   *gateway
	tree   *bulk
	pushed *publisher
	newest int // version in the registry
}

// newRig pushes version 0 and starts nothing.
func newRig(t *testing.T, b *build, tree *bulk) *rig {
	t.Helper()
	registry := testenv.Distribution(t, testenv.Options{})
	g := newGateway(t, registry)
	r := &rig{gate: g, tree: tree, pushed: newPublisher(t, registry)}
	r.pushed.push("0.0.0", tree.archive(t, "0"))
	r.specman = newSpecman(t, b, map[string]string{
		"source.repository": g.repository(), "source.plainHTTP": "true",
		"store.keep": "0", "store.grace": "0s", "source.maxBackoff": "1s",
	})
	return r
}

// publish makes the tag the next version.
func (r *rig) publish() {
	r.newest++
	r.tree.made.Clear() // a thousand versions are too many to remember
	r.pushed.push("0.0.0", r.tree.archive(r.t, fmt.Sprint(r.newest)))
}

// served returns the version of everything that is served. All is read; it has to
// be whole, of one version, and all that the version has.
func (r *rig) served(client *http.Client) string {
	r.t.Helper()
	version := ""
	for n := range r.tree.files {
		path := r.tree.path(n)
		a := r.get(client, "/"+path)
		v, err := r.tree.check(path, a.body)
		require.NoError(r.t, err)
		if version == "" {
			version = v
		}
		require.Equal(r.t, version, v, "two versions in one view: %s", path)
	}
	return version
}

// assertNothingUnfinished says that the start has cleaned up after the end before:
// staging is empty, and nothing half written lies anywhere else.
func (r *rig) assertNothingUnfinished() {
	r.t.Helper()
	for _, pattern := range []string{".state*", "trees/.*", "trees/*/.*"} {
		found, err := filepath.Glob(filepath.Join(r.dir, pattern))
		require.NoError(r.t, err)
		require.Empty(r.t, found)
	}
	eventually(r.t, func() error { // what is being deleted now lies there for moments
		left, err := os.ReadDir(filepath.Join(r.dir, "staging"))
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("staging holds %v", left)
		}
		return err
	})
}

// moments are where kills fall: at a random time within so long after the log
// says something. A sync of the tree below takes longer than all of them together
// on a busy machine, shorter on an idle one.
var moments = []struct {
	after  string
	within time.Duration
}{
	{"Syncing with OCI repo", 30 * time.Millisecond},
	{"Downloading", 100 * time.Millisecond},
	{"Persisting", 20 * time.Millisecond},
	{"Persisting", 100 * time.Millisecond},
	{"Persisting", 400 * time.Millisecond},
}

// However a process ends, the next one serves a whole view at once, without the
// registry, and the next sync brings the newest.
func TestKills(t *testing.T) {
	t.Parallel()
	kills := 25
	if torture {
		kills = 1000
	}
	r := newRig(t, static, &bulk{files: 500, size: 12 << 10})
	r.start()
	r.sync()

	readers := r.readAllTheTime(2)
	left := map[string]int{}
	var waits []time.Duration
	for n := range kills {
		r.publish()
		mark := r.running.log.mark()
		require.NoError(t, r.running.cmd.Process.Signal(syscall.SIGHUP))
		// A time of a sync is chosen by what it has just said, and some chance.
		m := moments[n%len(moments)]
		r.running.waitFor(t, mark, m.after)
		time.Sleep(time.Duration(rand.Int64N(int64(m.within))))
		r.running.kill()
		left[r.left()]++

		r.gate.close()
		began := time.Now()
		r.start()
		client := newClient(t, r.dir, n%2 == 0)
		path := r.tree.path(n % r.tree.files)
		a := r.get(client, "/"+path)
		waits = append(waits, time.Since(began))
		old, err := r.tree.check(path, a.body)
		require.NoError(t, err)
		require.Equal(t, old, r.served(client), "kill %d, within %s after %q", n, m.within, m.after)
		r.assertNothingUnfinished()
		readers.moveTo(r.running.url, client)

		r.gate.open()
		r.sync()
		require.Equal(t, fmt.Sprint(r.newest), r.served(client), "kill %d, within %s after %q", n, m.within, m.after)
		client.CloseIdleConnections()
	}
	readers.stop(t)
	assert.Zero(t, r.running.terminate(t))
	var sum, most time.Duration
	for _, w := range waits {
		sum, most = sum+w, max(most, w)
	}
	t.Logf("%d kills; %d whole answers meanwhile; from a start to the first answer %s on average, %s at most; what the kills left:",
		kills, readers.whole.Load(), sum/time.Duration(len(waits)), most)
	for _, what := range slices.Sorted(maps.Keys(left)) {
		t.Logf("%4d × %s", left[what], what)
	}
}

// left tells from what lies in the store how far a sync had come.
func (r *rig) left() string {
	var what []string
	count := func(pattern string) int {
		found, err := filepath.Glob(filepath.Join(r.dir, pattern))
		require.NoError(r.t, err)
		return len(found)
	}
	what = append(what, fmt.Sprintf("%d trees", count("trees/*")))
	switch files := count("staging/tree-*/files/*/*/*"); {
	case count("staging/tree-*/index") > 0:
		what = append(what, "a tree to be flushed")
	case files > 0:
		what = append(what, "some files of a tree")
	case count("staging/tree-*") > 0:
		what = append(what, "the beginning of a tree")
	}
	if count("staging/gone-*") > 0 {
		what = append(what, "a tree that is going")
	}
	if count("staging/*state*") > 0 {
		what = append(what, "a state that is being written")
	}
	if count("variants/.*") > 0 {
		what = append(what, "a variant that is being written")
	}
	return strings.Join(what, ", ")
}

// A crowd reads all the time, of whatever process serves now.
type crowd struct {
	target  atomic.Pointer[target]
	quit    chan struct{}
	running sync.WaitGroup
	whole   atomic.Int64
	wrong   chan error
}

type target struct {
	url    string
	client *http.Client
}

// readAllTheTime starts readers. An answer that breaks off with its process is
// none; one that ends has to be 200 and whole, and two that are asked for under
// one view's name of one version.
func (r *rig) readAllTheTime(readers int) *crowd {
	c := &crowd{quit: make(chan struct{}), wrong: make(chan error, readers)}
	c.moveTo(r.running.url, newClient(r.t, r.dir, true))
	for n := range readers {
		c.running.Go(func() {
			random := rand.New(rand.NewPCG(uint64(n), 1))
			for {
				select {
				case <-c.quit:
					return
				case <-time.After(5 * time.Millisecond):
				}
				if err := c.readPair(r.tree, random); err != nil {
					c.wrong <- err
					return
				}
			}
		})
	}
	return c
}

func (c *crowd) moveTo(url string, client *http.Client) { c.target.Store(&target{url, client}) }

func (c *crowd) readPair(tree *bulk, random *rand.Rand) error {
	at := c.target.Load()
	read := func(under, path string) (string, answer, error) {
		a, err := fetch(at.client, at.url+under+"/"+path, nil)
		if err != nil {
			return "", a, nil // its process was killed
		}
		if a.status == http.StatusNotFound && under != "" {
			return "", a, nil // the view is out of use, and nothing of it is kept
		}
		if a.status != http.StatusOK {
			return "", a, fmt.Errorf("GET %s/%s: %d %s", under, path, a.status, a.body)
		}
		c.whole.Add(1)
		version, err := tree.check(path, a.body)
		return version, a, err
	}
	first, a, err := read("", tree.path(random.IntN(tree.files)))
	if err != nil || first == "" {
		return err
	}
	view := a.header.Get("Specman-View")
	second, b, err := read("/@"+view, tree.path(random.IntN(tree.files)))
	if err != nil {
		return err
	}
	if second != "" && (second != first || b.header.Get("Specman-View") != view) {
		return fmt.Errorf("view %s holds version %s, and %s with view %s", view, first, second, b.header.Get("Specman-View"))
	}
	return nil
}

// stop ends the readers and says what they found.
func (c *crowd) stop(t testing.TB) {
	t.Helper()
	close(c.quit)
	c.running.Wait()
	select {
	case err := <-c.wrong:
		assert.NoError(t, err)
	default:
	}
}
