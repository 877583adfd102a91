package store

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A release that is held, but not served, is in no one's memory: its copy counts all
// the same.
func TestDamageIsMendedFromATreeThatIsNotServed(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	files, other := content{"a": "aaa", "d/b": "bbb"}, content{"copy": "aaa"}
	hold(t, s, "0.9.0", other) // before any view is served: nothing to share files with
	follow(t, s, hold(t, s, "1.0.0", files))
	rot(t, dir, files, "a")
	_, err := s.Verify(context.Background(), VerifyOptions{})
	require.NoError(t, err)
	require.False(t, s.HasTree(layerFor(files)))
	assert.Equal(t, files, served(t, s), "a request falls to the other copy")
	s.repairDamaged(t.Context())
	assert.True(t, s.HasTree(layerFor(files)), "no registry was asked")
	assert.Equal(t, files, served(t, s))
}

func TestDamageIsMendedWhenWhatItLacksIsHeld(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	files := content{"a": "aaa", "b": "bbb"}
	follow(t, s, hold(t, s, "1.0.0", files))
	rot(t, dir, files, "a")
	_, err := s.Verify(context.Background(), VerifyOptions{})
	require.NoError(t, err)
	s.repairDamaged(t.Context())
	require.False(t, s.HasTree(layerFor(files)), "the content is nowhere")
	assert.Empty(t, s.repairs.due(), "it is not tried again before something changes")
	require.NoError(t, s.Close())

	s = openStore(t, dir)
	s.repairDamaged(t.Context())
	require.False(t, s.HasTree(layerFor(files)))
	hold(t, s, "0.9.0", content{"copy": "aaa"})
	s.repairDamaged(t.Context())
	assert.True(t, s.HasTree(layerFor(files)))
	assert.Equal(t, files, served(t, s))
}

func TestVerifyFindsWhatARestartWouldMiss(t *testing.T) {
	files := content{"a": "aaa", "d/b": "bbb"}
	index := func(tree string) string { return filepath.Join(tree, "index") }
	for name, c := range map[string]struct {
		harm   func(t *testing.T, tree string)
		reason string
		whole  bool // all files can still be read
	}{
		"a flipped bit in the index": {func(t *testing.T, tree string) {
			b, err := os.ReadFile(index(tree))
			require.NoError(t, err)
			b[len(b)/2] ^= 1
			require.NoError(t, os.WriteFile(index(tree), b, 0o644))
		}, "index", true},
		"no index":  {func(t *testing.T, tree string) { require.NoError(t, os.Remove(index(tree))) }, "missing", true},
		"no files":  {func(t *testing.T, tree string) { require.NoError(t, os.RemoveAll(filepath.Join(tree, "files"))) }, "missing", false},
		"no folder": {func(t *testing.T, tree string) { require.NoError(t, os.RemoveAll(tree)) }, "missing", false},
	} {
		prepare := func(t *testing.T) (*Store, string) {
			dir := t.TempDir()
			s := openStore(t, dir, func(o *Options) { o.Registerer = prometheus.NewRegistry() })
			follow(t, s, hold(t, s, "1.0.0", files))
			c.harm(t, filepath.Join(dir, treesFolder, treeName(layerFor(files))))
			return s, dir
		}
		check := func(t *testing.T, s *Store) {
			report, err := s.Verify(context.Background(), VerifyOptions{})
			require.NoError(t, err)
			require.NotEmpty(t, report.Damaged)
			assert.Empty(t, report.Damaged[0].Path, "the tree as a whole")
			assert.Contains(t, report.Damaged[0].Reason, c.reason)
			assert.Equal(t, []string{"1.0.0"}, report.Damaged[0].Tags)
			assert.False(t, s.HasTree(layerFor(files)), "so that the next sync fetches it anew")
		}
		t.Run(name+", while it is served", func(t *testing.T) {
			s, dir := prepare(t)
			check(t, s)
			assert.Positive(t, testutil.ToFloat64(s.metrics.integrity))
			if c.whole {
				assert.Equal(t, files, served(t, s))
				s.repairDamaged(t.Context())
			} else {
				require.NoError(t, stage(t, s, layerFor(files), files).Publish()) // what the next sync does
			}
			assert.True(t, s.HasTree(layerFor(files)))
			assert.Equal(t, files, served(t, s))
			report, err := s.Verify(context.Background(), VerifyOptions{})
			require.NoError(t, err)
			assert.Empty(t, report.Damaged)
			require.NoError(t, s.Close())
			assert.Equal(t, files, served(t, openStore(t, dir)))
		})
		t.Run(name+", at rest", func(t *testing.T) {
			s, dir := prepare(t)
			require.NoError(t, s.Close())
			check(t, openStore(t, dir))
		})
	}
}

// A large file is not in anybody's memory when it is sent, so it is read before.
func TestALargeFileIsReadBeforeItIsServed(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, func(o *Options) { o.Registerer = prometheus.NewRegistry() })
	files := content{"large": strings.Repeat("0123456789", vouchFrom/10+1), "small": "s"}
	follow(t, s, hold(t, s, "1.0.0", files))
	open := func() error {
		v := s.Acquire()
		defer v.Close()
		e, ok := v.Lookup("large")
		require.True(t, ok)
		f, err := v.Open(e)
		if err == nil {
			f.Close()
		}
		return err
	}
	require.NoError(t, open())
	rot(t, dir, files, "large")
	assert.ErrorIs(t, open(), ErrDamaged, "though it was right a moment ago")
	assert.False(t, s.HasTree(layerFor(files)), "it is known by now")
	assert.Equal(t, 1.0, testutil.ToFloat64(s.metrics.integrity))

	hold(t, s, "0.9.0", content{"copy": files["large"]})
	assert.Equal(t, files, served(t, s))
	s.repairDamaged(t.Context())
	assert.True(t, s.HasTree(layerFor(files)))
	assert.Equal(t, files, served(t, s))
}

// A fault that has nothing to do with the tree must not leave it damaged until another
// is published, whichever step of the mending it meets.
func TestAMendThatMetAPassingFaultIsTriedAgain(t *testing.T) {
	for n := range 12 { // descriptors that are left
		dir := t.TempDir()
		s := openStore(t, dir)
		hold(t, s, "0.9.0", content{"copy": "aaa"})
		s.loaded.forgetPublished() // the copy is on the disk only
		files := content{"a": "aaa", "b": "bbb"}
		follow(t, s, hold(t, s, "1.0.0", files))
		rot(t, dir, files, "a")
		_, err := s.Verify(context.Background(), VerifyOptions{})
		require.NoError(t, err)
		fewDescriptors(t, n, func() { s.repairDamaged(t.Context()) })
		s.repairDamaged(t.Context()) // a minute later
		assert.True(t, s.HasTree(layerFor(files)), "%d descriptors", n)
		assert.Equal(t, files, served(t, s))
	}
}

// A full volume is not written to each minute.
func TestAMendThatTheVolumeRefusedIsTriedAgainLater(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	hold(t, s, "0.9.0", content{"copy": "aaa"})
	files := content{"a": "aaa"}
	follow(t, s, hold(t, s, "1.0.0", files))
	rot(t, dir, files, "a")
	_, err := s.Verify(context.Background(), VerifyOptions{})
	require.NoError(t, err)
	require.NoError(t, s.Configure(Options{Keep: 3, Sources: []string{"default"}, MinFree: math.MaxInt64 / 2}))
	s.repairDamaged(t.Context())
	require.False(t, s.HasTree(layerFor(files)))
	require.NoError(t, s.Configure(Options{Keep: 3, Sources: []string{"default"}}))
	s.repairDamaged(t.Context())
	require.False(t, s.HasTree(layerFor(files)), "it is not tried at each turn")
	at := s.repairs.trees[layerFor(files)]
	assert.WithinDuration(t, time.Now().Add(mendPause), at, time.Minute)
	s.repairs.trees[layerFor(files)] = at.Add(-mendPause)
	s.repairDamaged(t.Context())
	assert.True(t, s.HasTree(layerFor(files)))
}

// What was found damaged of what is held, and not served, is still to be mended after a
// restart: it is what people go back to.
func TestDamageOfWhatIsNotServedOutlivesARestart(t *testing.T) {
	old := content{"a": "aaa", "d/b": "bbb"}
	for name, harm := range map[string]func(t *testing.T, tree string){
		"a file":           func(t *testing.T, tree string) { flip(t, filepath.Join(tree, "files", "a")) },
		"the index":        func(t *testing.T, tree string) { flip(t, filepath.Join(tree, "index")) },
		"no index":         func(t *testing.T, tree string) { require.NoError(t, os.Remove(filepath.Join(tree, "index"))) },
		"no files":         func(t *testing.T, tree string) { require.NoError(t, os.RemoveAll(filepath.Join(tree, "files"))) },
		"nothing is there": func(t *testing.T, tree string) { require.NoError(t, os.RemoveAll(tree)) },
		"both, one by one": func(t *testing.T, tree string) {
			flip(t, filepath.Join(tree, "files", "a"))
			flip(t, filepath.Join(tree, "index"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, dir)
			follow(t, s, hold(t, s, "1.0.0", old))
			follow(t, s, hold(t, s, "2.0.0", content{"f": "2"}))
			harm(t, treeFolder(dir, layerFor(old)))
			_, err := s.Verify(t.Context(), VerifyOptions{})
			require.NoError(t, err)
			require.NoError(t, s.Close())

			s = openStore(t, dir)
			assert.Equal(t, []digest.Digest{layerFor(old)}, s.DamagedTrees(), "a sync asks for it")
			require.NoError(t, stage(t, s, layerFor(old), old).Publish())
			pin(t, s, "")
			assert.Equal(t, old, served(t, s))
			require.NoError(t, s.Close())
			assert.Empty(t, openStore(t, dir).DamagedTrees())
		})
	}
}

// The same of an index that only a start has found damaged.
func TestADamagedIndexThatAStartFoundOutlivesIt(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	pinned := content{"f": "1"}
	follow(t, s, hold(t, s, "1.0.0", pinned))
	require.NoError(t, holdVersion(s, "1.0.0"))
	follow(t, s, hold(t, s, "2.0.0", content{"f": "2"}))
	require.NoError(t, s.Close())
	flip(t, filepath.Join(treeFolder(dir, layerFor(pinned)), "index"))
	s = openStore(t, dir)
	require.Equal(t, []digest.Digest{layerFor(pinned)}, s.DamagedTrees())
	_, err := s.Unpin("")
	require.NoError(t, err)
	require.NoError(t, s.Close())
	assert.Equal(t, []digest.Digest{layerFor(pinned)}, openStore(t, dir).DamagedTrees())
}

// flip changes a bit of a file.
func flip(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	data[len(data)/2] ^= 1
	require.NoError(t, os.Chmod(path, 0o644))
	require.NoError(t, os.WriteFile(path, data, 0o644))
}

// What a client has met is not all that rots: the rest of the tree was never asked for.
func TestDamageThatNobodyHasMetIsMendedWithTheRest(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	files := content{"a": "aaa", "b": "bbb", "large": strings.Repeat("0123456789", blockSize/10+1)}
	hold(t, s, "0.9.0", content{"x": files["a"], "y": files["b"], "z": files["large"]})
	follow(t, s, hold(t, s, "1.0.0", files))
	for name := range files {
		rot(t, dir, files, name)
	}
	v := s.Acquire()
	defer v.Close()
	e, ok := v.Lookup("a")
	require.True(t, ok)
	s.ReportDamage(v, e)
	s.repairDamaged(t.Context())
	require.True(t, s.HasTree(layerFor(files)), "each file has a good copy")
	assert.Equal(t, files, served(t, s))
}
