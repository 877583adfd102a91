package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// content is a tree as a test writes it down: path → what is in the file.
type content map[string]string

func openStore(t *testing.T, dir string, change ...func(*Options)) *Store {
	t.Helper()
	opts := Options{Dir: dir, Keep: 3}
	for _, f := range change {
		f(&opts)
	}
	s, err := Open(context.Background(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// stage puts files into a staging folder, with the folders they need.
func stage(t *testing.T, s *Store, layer digest.Digest, files content) *Staging {
	t.Helper()
	st, err := s.NewStaging(layer)
	require.NoError(t, err)
	made := make(map[string]bool)
	for _, name := range sortedKeys(files) {
		for n := range name {
			if name[n] == '/' && !made[name[:n]] {
				made[name[:n]] = true
				require.NoError(t, st.Dir(name[:n], time.Time{}))
			}
		}
		require.NoError(t, st.File(name, time.Unix(1e9, 0), int64(len(files[name])), strings.NewReader(files[name])))
	}
	return st
}

func sortedKeys(files content) []string {
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func layerFor(files content) digest.Digest {
	h := sha256.New()
	for _, name := range sortedKeys(files) {
		io.WriteString(h, name+"\x00"+files[name]+"\x00")
	}
	return digest.NewDigest(digest.SHA256, h)
}

// hold publishes a release of a tag; the manifest's digest is made of tag and content.
func hold(t *testing.T, s *Store, tag string, files content) Contribution {
	t.Helper()
	layer := layerFor(files)
	if !s.HasTree(layer) {
		require.NoError(t, stage(t, s, layer, files).Publish())
	}
	r := Release{Source: "default", Tag: tag, Manifest: digest.FromString(tag + layer.String()), Layer: layer, Fetched: time.Now(), Files: len(files)}
	require.NoError(t, s.Add(r))
	return Contribution{Tag: tag, Manifest: r.Manifest}
}

func follow(t *testing.T, s *Store, order ...Contribution) bool {
	t.Helper()
	swapped, err := s.Follow("default", order)
	require.NoError(t, err)
	return swapped
}

// served reads the whole view.
func served(t *testing.T, s *Store) content {
	t.Helper()
	v := s.Acquire()
	require.NotNil(t, v, "nothing is served")
	defer v.Close()
	return read(t, v)
}

func read(t *testing.T, v *View) content {
	t.Helper()
	got := make(content)
	for name, e := range v.All() {
		if e.Kind != File {
			continue
		}
		f, err := v.Open(e)
		require.NoError(t, err)
		b, err := io.ReadAll(f)
		require.NoError(t, errors.Join(err, f.Close()))
		require.Equal(t, sha256.Sum256(b), e.Sum, name)
		got[name] = string(b)
	}
	return got
}

func TestPublishFollowServe(t *testing.T) {
	s := openStore(t, t.TempDir())
	assert.Nil(t, s.Acquire(), "a new store serves nothing")

	one := content{"roar/nickfury/versions.yaml": "one", "big": strings.Repeat("x", 3*blockSize+1), "empty": ""}
	c := hold(t, s, "0.0.0", one)
	assert.True(t, follow(t, s, c))
	assert.Equal(t, one, served(t, s))
	assert.False(t, follow(t, s, c), "the same again is no swap")

	two := content{"roar/nickfury/versions.yaml": "two"}
	c2 := hold(t, s, "0.0.0", two)
	assert.True(t, follow(t, s, c2))
	assert.Equal(t, two, served(t, s))
}

func TestOverlay(t *testing.T) {
	for _, c := range []struct {
		name   string
		layers []content // top first
		want   content
	}{
		{"folders merge", []content{{"a/x": "1"}, {"a/y": "2"}}, content{"a/x": "1", "a/y": "2"}},
		{"an upper file hides a lower one", []content{{"a": "1"}, {"a": "2"}}, content{"a": "1"}},
		{"an upper file hides a lower folder whole", []content{{"a": "1"}, {"a/b/c": "2", "a/d": "3", "a-b": "4", "a0": "5"}}, content{"a": "1", "a-b": "4", "a0": "5"}},
		{"an upper folder hides a lower file", []content{{"a/x": "1"}, {"a": "2"}}, content{"a/x": "1"}},
		{"a hidden file still hides what lies below it", []content{{"a/x": "1"}, {"a": "2"}, {"a/y": "3"}}, content{"a/x": "1"}},
		{"a hidden file hides what is served all the same", []content{{"a/x": "1"}, {"a": "2"}, {"a/x": "1", "a/y": "3"}}, content{"a/x": "1"}},
		{"a hidden folder hides nothing", []content{{"a": "1"}, {"a/x": "2"}, {"b": "3"}}, content{"a": "1", "b": "3"}},
		{"whiteout names are ordinary", []content{{".wh.a": ""}, {"a": "2"}}, content{".wh.a": "", "a": "2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := openStore(t, t.TempDir())
			var order []Contribution
			for n, files := range c.layers {
				order = append(order, hold(t, s, string(rune('a'+n)), files))
			}
			follow(t, s, order...)
			assert.Equal(t, c.want, served(t, s))

			v := s.Acquire()
			defer v.Close()
			files, _ := v.Files()
			var total int
			for n, stat := range v.Coverage() {
				total += stat.Served
				var differs int
				for name, text := range c.layers[n] {
					if c.want[name] != text {
						differs++
					}
				}
				assert.Equal(t, differs, stat.Differs, "layer %d", n)
			}
			assert.Equal(t, len(c.want), files)
			assert.Equal(t, len(c.want), total)
		})
	}
}

func TestChildrenAreSorted(t *testing.T) {
	s := openStore(t, t.TempDir())
	top := hold(t, s, "2.0.0", content{"d/b": "", "d/sub/x": "", "z": ""})
	low := hold(t, s, "1.0.0", content{"d/a": "", "d/c": "", "d/sub/a": ""})
	follow(t, s, top, low)
	v := s.Acquire()
	defer v.Close()
	list := func(dir string) (names []string) {
		e, ok := v.Lookup(dir)
		require.True(t, ok)
		for name := range v.Children(e) {
			names = append(names, name)
		}
		return names
	}
	assert.Equal(t, []string{"d", "z"}, list(""))
	assert.Equal(t, []string{"a", "b", "c", "sub"}, list("d"))
	assert.Equal(t, []string{"a", "x"}, list("d/sub"))
	e, _ := v.Lookup("d/a")
	assert.Equal(t, "1.0.0", v.Release(e).Tag)
}

func TestRestart(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	files := content{"a": "1", "b/c": "2"}
	follow(t, s, hold(t, s, "0.0.0", files))
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "staging", "left", "over"), 0o755))
	require.NoError(t, s.Close())

	s = openStore(t, dir)
	assert.Equal(t, files, served(t, s))
	left, err := os.ReadDir(filepath.Join(dir, "staging"))
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestOneProcessPerStore(t *testing.T) {
	dir := t.TempDir()
	openStore(t, dir)
	_, err := Open(context.Background(), Options{Dir: dir})
	assert.ErrorIs(t, err, ErrLocked)
	assert.ErrorContains(t, err, "pid ")
}

func TestLinksAndAliases(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	layer := digest.FromString("links")
	st := stage(t, s, layer, content{"d/f": "content", "old": "gone"})
	require.NoError(t, st.HardLink("hard", "d/f"))
	require.NoError(t, st.Remove("old"))
	require.NoError(t, st.Symlink("soft", "d", time.Unix(5, 0)))
	require.NoError(t, st.Alias("soft", "d", true))
	require.NoError(t, st.Alias("soft/f", "d/f", false))
	st.Skip([]Skipped{{"pipe\n", "a fifo"}}, 1)
	require.NoError(t, st.Publish())
	require.NoError(t, s.Add(Release{Source: "default", Tag: "1.0.0", Manifest: digest.FromString("m"), Layer: layer}))
	follow(t, s, Contribution{Tag: "1.0.0", Manifest: digest.FromString("m")})
	want := content{"d/f": "content", "hard": "content", "soft/f": "content"}
	assert.Equal(t, want, served(t, s))

	require.NoError(t, s.Close())
	s = openStore(t, dir)
	assert.Equal(t, want, served(t, s), "the index file holds it all")
	tr, err := openTree(dir, layer)
	require.NoError(t, err)
	assert.Equal(t, []Skipped{{"pipe\n", "a fifo"}}, tr.skipped)
	assert.Equal(t, "d", tr.links[0].Target)
}

func TestUnchangedFilesAreStoredOnce(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	large := strings.Repeat("large", blockSize)
	one := content{"same": "same", "large": large, "other": "1"}
	follow(t, s, hold(t, s, "1.0.0", one))
	second := content{"moved/same": "same", "moved/large": large, "other": "2"}
	follow(t, s, hold(t, s, "1.0.0", second))
	assert.Equal(t, second, served(t, s))
	for _, name := range []string{"same", "large"} {
		first, err := os.Stat(filepath.Join(dir, "trees", treeName(layerFor(one)), "files", name))
		require.NoError(t, err)
		now, err := os.Stat(filepath.Join(dir, "trees", treeName(layerFor(second)), "files/moved", name))
		require.NoError(t, err)
		assert.True(t, os.SameFile(first, now), name)
	}
	usage, err := s.MeasureUsage(t.Context())
	require.NoError(t, err)
	assert.Less(t, usage, int64(2*len(large)))
}

func TestRetention(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, func(o *Options) { o.Keep = 1 })
	var held []Contribution
	for _, text := range []string{"1", "2", "3", "4"} {
		held = append(held, hold(t, s, "0.0.0", content{"f": text}))
		follow(t, s, held[len(held)-1])
	}
	v, err := s.AcquireVersion(held[0].Manifest.String())
	require.NoError(t, err)

	plan, err := s.GC(true)
	require.NoError(t, err)
	assert.Len(t, plan.Trees, 2)
	done, err := s.GC(false)
	require.NoError(t, err)
	assert.Len(t, done.Releases, 2)
	assert.Len(t, done.Trees, 1, "what somebody reads stays")
	assert.Equal(t, content{"f": "1"}, read(t, v))
	v.Close()

	done, err = s.GC(false)
	require.NoError(t, err)
	assert.Empty(t, done.Releases)
	assert.Equal(t, content{"f": "4"}, served(t, s))
	_, err = s.AcquireVersion(held[0].Manifest.String())
	assert.ErrorIs(t, err, ErrNotHeld)
	v, err = s.AcquireVersion(held[2].Manifest.String())
	require.NoError(t, err, "one release is kept beside the served one")
	v.Close()
}

// What somebody has forgotten takes no place of what people can go back to, and goes before
// it. It has its grace, for who reads it still.
func TestWhatIsForgottenGoesFirst(t *testing.T) {
	s := openStore(t, t.TempDir(), func(o *Options) { o.Keep = 1 })
	good, bad, last := hold(t, s, "1.0.0", content{"f": "1"}), hold(t, s, "2.0.0", content{"f": "2"}), hold(t, s, "3.0.0", content{"f": "3"})
	for _, c := range []Contribution{good, bad, last} {
		follow(t, s, c)
	}
	follow(t, s, last, bad)
	_, err := s.Forget("2.0.0", "")
	require.NoError(t, err)
	opts := *s.options()
	opts.Grace = time.Hour
	require.NoError(t, s.Configure(opts))
	garbage, err := s.GC(false)
	require.NoError(t, err)
	assert.Empty(t, garbage.Releases)

	opts.Grace = 0
	require.NoError(t, s.Configure(opts))
	out := s.outOfUse(s.state.Load(), 0, wall())
	require.Len(t, out, 2)
	assert.Equal(t, bad.Manifest, out[0].Manifest, "to make space, too")
	garbage, err = s.GC(false)
	require.NoError(t, err)
	require.Len(t, garbage.Releases, 1)
	assert.Equal(t, bad.Manifest, garbage.Releases[0].Manifest)
	pin(t, s, "")
	assert.Equal(t, content{"f": "1"}, served(t, s))
}

func TestSinceIsSafe(t *testing.T) {
	s := openStore(t, t.TempDir())
	since := func(path string) time.Time {
		v := s.Acquire()
		defer v.Close()
		e, ok := v.Lookup(path)
		require.True(t, ok)
		return e.Since
	}
	age := func() { // as if the last change of what is served were a while ago
		st := s.state.Load().clone()
		st.HighWater = st.HighWater.Add(-time.Hour)
		require.NoError(t, s.save(st))
	}
	age()
	follow(t, s, hold(t, s, "0.0.0", content{"same": "1", "new": "1"}))
	first := since("same")
	assert.False(t, first.IsZero())

	follow(t, s, hold(t, s, "0.0.0", content{"same": "1", "new": "2"}))
	assert.Equal(t, first, since("same"), "carried over where the content stays")
	assert.Zero(t, since("new"), "two contents within a second have no safe date")

	age()
	follow(t, s, hold(t, s, "0.0.0", content{"same": "1", "new": "3"}))
	assert.Equal(t, first, since("same"))
	assert.True(t, since("new").After(first))
}

func TestWhatASyncHasClaimedIsNotRemoved(t *testing.T) {
	s := openStore(t, t.TempDir(), func(o *Options) { o.Keep = 0 }) // and no grace
	held := func(c Contribution) bool {
		_, ok := s.Held(ReleaseKey{"default", c.Tag, c.Manifest})
		return ok
	}
	collect := func() {
		t.Helper()
		_, err := s.GC(false)
		require.NoError(t, err)
	}

	// A long sync: others are fetched, and garbage is collected, before it ends.
	first := hold(t, s, "4.5.11", content{"a": "1"})
	collect()
	second := hold(t, s, "4.5.13", content{"a": "2"})
	collect()
	follow(t, s, second, first)

	// A tag goes back to what is held, but not in use, in a long sync.
	follow(t, s, second)
	_, ok := s.Claim(ReleaseKey{"default", first.Tag, first.Manifest})
	require.True(t, ok)
	collect()
	follow(t, s, first, second)

	// What is claimed no longer goes.
	follow(t, s, second)
	collect()
	assert.False(t, held(first))
	assert.True(t, held(second))
	_, ok = s.Claim(ReleaseKey{"default", first.Tag, first.Manifest})
	assert.False(t, ok)
}
