package httpserve

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/specman/specman/internal/store"
)

func TestNothingHeldYet(t *testing.T) {
	r := start(t, openStore(t))
	for _, version := range []int{1, 2} {
		for _, path := range []string{"/", "/x", "/@1.0.0/x"} {
			got := r.ask(t, r.client(t, version), "GET", path)
			assert.Equal(t, 503, got.StatusCode)
			assert.Equal(t, "5", got.Header.Get("Retry-After"))
			assert.Equal(t, "application/problem+json", got.Header.Get("Content-Type"))
			assert.JSONEq(t, `{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"nothing was pushed yet"}`, got.body)
			assert.Empty(t, got.Header.Get("Specman-View"))
		}
		assert.Equal(t, 400, r.ask(t, r.client(t, version), "GET", "/../x").StatusCode)
		assert.Equal(t, 405, r.ask(t, r.client(t, version), "PUT", "/x").StatusCode)
	}
}

// A client that is told 404 takes the version for gone.
func TestAVersionThatCannotBeRead(t *testing.T) {
	s := openStore(t)
	follow(t, s, hold(t, s, "1.0.0", tree{"x.txt": "content\n"}))
	indexes, err := filepath.Glob(filepath.Join(s.Dir(), "trees", "*", "index"))
	require.NoError(t, err)
	follow(t, s, hold(t, s, "2.0.0", tree{"x.txt": "other content\n"}))
	for _, index := range indexes {
		require.NoError(t, os.Rename(index, index+".away"))
		require.NoError(t, os.Mkdir(index, 0o755))
	}
	r := start(t, s)
	for range 3 {
		got := r.ask(t, r.client(t, 1), "GET", "/@1.0.0/x.txt")
		assert.Equal(t, 503, got.StatusCode)
		assert.NotEmpty(t, got.Header.Get("Retry-After"))
		assert.NotContains(t, got.body, s.Dir(), "no internals")
	}
	assert.Equal(t, 1, strings.Count(r.log.String(), "cannot serve a held release"), "said once")
	assert.Equal(t, 200, r.ask(t, r.client(t, 1), "GET", "/@2.0.0/x.txt").StatusCode)
	assert.Equal(t, 404, r.ask(t, r.client(t, 1), "GET", "/@3.0.0/x.txt").StatusCode)
}

func TestLastModified(t *testing.T) {
	at := func(s string) time.Time {
		d, err := time.Parse("15:04:05.000", s)
		require.NoError(t, err)
		return d.AddDate(2026, 0, 0).UTC()
	}
	for _, row := range []struct{ say, since, now, want string }{
		{"a whole second", "10:00:00.000", "10:00:01.000", "10:00:00.000"},
		{"rounded up", "10:00:00.001", "10:00:02.000", "10:00:01.000"},
		{"less than a second old", "10:00:00.000", "10:00:00.999", ""},
		{"less than a second old, rounded up", "10:00:00.001", "10:00:01.999", ""},
		{"in the future", "10:00:05.000", "10:00:01.000", ""},
	} {
		got := lastModified(at(row.since), at(row.now))
		if row.want == "" {
			assert.Zero(t, got, row.say)
		} else {
			assert.Equal(t, at(row.want), got, row.say)
		}
	}
	assert.Zero(t, lastModified(time.Time{}, at("10:00:00.000")), "not known to be safe")
}

// A client that has nothing but dates must never be told that old content is new.
func TestDatesOverSwaps(t *testing.T) {
	began := time.Now()
	s := openStore(t)
	r := start(t, s)
	client := r.client(t, 2)
	one := hold(t, s, "1.0.0", tree{"a.txt": "one", "same.txt": "same"})
	two := hold(t, s, "2.0.0", tree{"a.txt": "two", "same.txt": "same"})
	dated := func(path string) (date string) {
		require.Eventually(t, func() bool {
			date = r.ask(t, client, "GET", path).Header.Get("Last-Modified")
			return date != ""
		}, 10*time.Second, 50*time.Millisecond)
		return date
	}
	status := func(path, header, date string) int { return r.ask(t, client, "GET", path, header+": "+date).StatusCode }

	time.Sleep(1100 * time.Millisecond) // a store that was just opened does not trust the second before
	follow(t, s, one)
	got := r.ask(t, client, "GET", "/a.txt")
	assert.Empty(t, got.Header.Get("Last-Modified"), "too young")
	assert.Equal(t, 200, status("/a.txt", "If-Modified-Since", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)), "without a date of ours, dates are ignored")
	first := dated("/a.txt")
	date, err := http.ParseTime(first)
	require.NoError(t, err)
	assert.False(t, date.Before(began), "not the archive's, not before the process's start")
	assert.Equal(t, 304, status("/a.txt", "If-Modified-Since", first))
	assert.Equal(t, 200, status("/a.txt", "If-Modified-Since", date.Add(-time.Second).UTC().Format(http.TimeFormat)))
	assert.Equal(t, 200, status("/a.txt", "If-Modified-Since", date.Add(time.Second).UTC().Format(http.TimeFormat)), "the end of a download that began before a swap")
	assert.Equal(t, 200, status("/a.txt", "If-Unmodified-Since", first))
	assert.Equal(t, 412, status("/a.txt", "If-Unmodified-Since", date.Add(-time.Second).UTC().Format(http.TimeFormat)))
	part := r.ask(t, client, "GET", "/a.txt", "Range: bytes=1-", "If-Range: "+first)
	assert.Equal(t, 206, part.StatusCode)
	assert.Equal(t, "ne", part.body)
	assert.Empty(t, r.ask(t, client, "GET", "/").Header.Get("Last-Modified"), "a listing has none")

	lastOld := r.ask(t, client, "GET", "/a.txt").Header.Get("Date")
	follow(t, s, two)
	for _, date := range []string{first, lastOld} {
		got := r.ask(t, client, "GET", "/a.txt", "If-Modified-Since: "+date)
		assert.Equal(t, "two", got.body, date)
	}
	assert.Equal(t, "two", r.ask(t, client, "GET", "/a.txt", "Range: bytes=1-", "If-Range: "+first).body)
	assert.Equal(t, 304, status("/same.txt", "If-Modified-Since", first), "what did not change keeps its date")
	second := dated("/a.txt")
	assert.NotEqual(t, first, second)

	follow(t, s, one) // back: the old content is new here
	for _, date := range []string{first, second, lastOld} {
		assert.Equal(t, "one", r.ask(t, client, "GET", "/a.txt", "If-Modified-Since: "+date).body)
	}
	follow(t, s, two) // at once: no date is safe any more
	time.Sleep(2100 * time.Millisecond)
	for _, date := range []string{first, second, time.Now().UTC().Format(http.TimeFormat)} {
		assert.Equal(t, "two", r.ask(t, client, "GET", "/a.txt", "If-Modified-Since: "+date).body)
	}
}

// Swaps under load: every answer is whole, of one view, and the one it says.
func TestSwapsUnderLoad(t *testing.T) {
	s := openStore(t)
	byView := map[string]tree{}
	var contributions []store.Contribution
	for n := range 4 {
		files := tree{
			"small.txt":  fmt.Sprintf("small of %d\n", n),
			"text.yaml":  strings.Repeat(fmt.Sprintf("text: %d\n", n), 100),
			"large.bin":  strings.Repeat(fmt.Sprint(n), 600<<10),
			"same.txt":   "the same in all\n",
			"dir/in.txt": fmt.Sprint("in ", n),
		}
		contributions = append(contributions, hold(t, s, fmt.Sprintf("%d.0.0", n), files))
		follow(t, s, contributions[n])
		view := s.Acquire()
		byView[view.ID()] = files
		view.Close()
	}
	r := start(t, s, withVariants(t, s), func(o *Options) { o.CacheBytes = 64 << 10 }) // small, so that it evicts all the time
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for _, version := range []int{1, 2, 1, 2} {
		client := r.client(t, version)
		clients.Go(func() {
			etags := map[string]string{}
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				name := []string{"small.txt", "text.yaml", "large.bin", "same.txt", "dir/in.txt"}[n%5]
				header := []string{"Accept-Encoding: identity"}
				if n%3 == 0 && etags[name] != "" {
					header = append(header, "If-None-Match: "+etags[name])
				}
				got := r.ask(t, client, "GET", "/"+name, header...)
				want := byView[got.Header.Get("Specman-View")][name]
				etag := `"` + sumHex(want) + `"`
				assert.Equal(t, etag, got.Header.Get("Etag"), name)
				switch got.StatusCode {
				case 200:
					assert.Equal(t, sumHex(want), sumHex(got.body), name)
				case 304:
					assert.Equal(t, etags[name], etag, "304 for what the client has")
				default:
					assert.Fail(t, "status", "%s: %d", name, got.StatusCode)
				}
				etags[name] = etag
			}
		})
	}
	for n := range 100 {
		follow(t, s, contributions[n%len(contributions)])
		time.Sleep(3 * time.Millisecond)
	}
	close(stop)
	clients.Wait()
}

func TestDamagedFiles(t *testing.T) {
	small, large := "small and right\n", strings.Repeat("large and right\n", 100<<10)
	spoil := func(t *testing.T, s *store.Store, name string, change func(path string) error) {
		paths, err := filepath.Glob(filepath.Join(s.Dir(), "trees", "*", "files", name))
		require.NoError(t, err)
		require.NotEmpty(t, paths)
		require.NoError(t, os.Chmod(paths[0], 0o644)) // as anybody: a test must not need root
		require.NoError(t, change(paths[0]))
	}
	flip := func(path string) error {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		b[3]++
		return os.WriteFile(path, b, 0o644)
	}
	for _, row := range []struct {
		say, name string
		change    func(string) error
	}{
		{"a small file with a wrong byte", "small.txt", flip},
		{"a small file that is cut", "small.txt", func(path string) error { return os.Truncate(path, 5) }},
		{"a small file that is gone", "small.txt", os.Remove},
		{"a large file that is cut", "large.txt", func(path string) error { return os.Truncate(path, 5) }},
		{"a large file that is gone", "large.txt", os.Remove},
	} {
		t.Run(row.say, func(t *testing.T) {
			s := openStore(t)
			follow(t, s, hold(t, s, "1.0.0", tree{"small.txt": small, "large.txt": large, "other.txt": "fine\n"}))
			told := 0
			r := start(t, s, func(o *Options) {
				o.OnDamage = func(v *store.View, e store.Entry) {
					told++
					s.ReportDamage(v, e)
				}
			})
			client := r.client(t, 1)
			spoil(t, s, row.name, row.change)
			for range 3 {
				got := r.ask(t, client, "GET", "/"+row.name)
				assert.Equal(t, 503, got.StatusCode)
				assert.NotEmpty(t, got.Header.Get("Retry-After"))
				assert.Equal(t, "no-cache", got.Header.Get("Cache-Control"))
				assert.Empty(t, got.Header.Get("Etag"))
				assert.NotContains(t, got.body, s.Dir(), "no internals")
				assert.NotContains(t, got.body, "right")
			}
			assert.Positive(t, told)
			assert.Equal(t, 1, strings.Count(r.log.String(), "cannot serve a file"), "said once")
			assert.Equal(t, 200, r.ask(t, client, "GET", "/other.txt").StatusCode)
		})
	}
	t.Run("from another tree", func(t *testing.T) {
		s := openStore(t)
		top := hold(t, s, "2.0.0", tree{"small.txt": small})
		spoil(t, s, "small.txt", func(path string) error { // a new file: trees share equal ones by hard links
			return errors.Join(os.Remove(path), os.WriteFile(path, []byte("small and WRONG\n"), 0o444))
		})
		follow(t, s, top, hold(t, s, "1.0.0", tree{"small.txt": small, "more.txt": "more"}))
		r := start(t, s, func(o *Options) { o.OnDamage = s.ReportDamage })
		got := r.ask(t, r.client(t, 1), "GET", "/small.txt")
		assert.Equal(t, 200, got.StatusCode)
		assert.Equal(t, small, got.body)
	})
}

// unreadable puts a file over one of 4096 bytes that is as large, and that no read
// gives a byte of, as from a disk with a bad block.
func unreadable(t *testing.T, path string) {
	t.Helper()
	const bad = "/sys/class/net/lo/speed"
	if _, err := os.ReadFile(bad); os.Getuid() != 0 || !errors.Is(err, unix.EINVAL) {
		t.Skip("only root can put an unreadable file there, and only where sysfs has one")
	}
	require.NoError(t, unix.Mount(bad, path, "", unix.MS_BIND, ""))
	t.Cleanup(func() { assert.NoError(t, unix.Unmount(path, unix.MNT_DETACH)) })
}

func TestASmallFileThatCannotBeRead(t *testing.T) {
	const lone, shared = "lone.txt", "shared.txt"
	page := func(text string) string { return strings.Repeat(text, 4096/len(text)) }
	s := openStore(t)
	hold(t, s, "1.0.0", tree{"copy.txt": page("both")}) // before any view is served: nothing to share files with
	follow(t, s, hold(t, s, "2.0.0", tree{lone: page("lone"), shared: page("both")}))
	told := 0
	r := start(t, s, func(o *Options) {
		o.OnDamage = func(v *store.View, e store.Entry) {
			told++
			s.ReportDamage(v, e)
		}
	})
	v := s.Acquire()
	defer v.Close()
	unreadable(t, filepath.Join(v.Folder(), lone))
	unreadable(t, filepath.Join(v.Folder(), shared))
	client := r.client(t, 1)
	got := r.ask(t, client, "GET", "/"+shared)
	assert.Equal(t, 200, got.StatusCode, "another tree has the content")
	assert.Equal(t, page("both"), got.body)
	assert.Equal(t, 1, told)
	got = r.ask(t, client, "GET", "/"+lone)
	assert.Equal(t, 503, got.StatusCode)
	assert.Contains(t, got.body, "damaged")
	assert.Equal(t, 2, told)
	assert.Len(t, s.DamagedTrees(), 1, "it is mended, or fetched anew")
}
