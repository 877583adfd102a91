package store

import (
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tags are those of releases, with their sources.
func tags(releases []Release) (names []string) {
	for _, r := range releases {
		names = append(names, r.Source+" "+r.Tag)
	}
	return names
}

func TestTheViewThatOtherReleasesWouldMake(t *testing.T) {
	s := openStore(t, t.TempDir(), func(o *Options) { o.Sources = []string{"top", "middle", "low"} })
	contribute := func(source string, names ...string) {
		var order []Contribution
		for _, tag := range names {
			files := content{source: tag}
			if !s.HasTree(layerFor(files)) {
				require.NoError(t, stage(t, s, layerFor(files), files).Publish())
			}
			r := Release{Source: source, Tag: tag, Manifest: digest.FromString(source + tag), Layer: layerFor(files)}
			require.NoError(t, s.Add(r))
			order = append(order, Contribution{Tag: tag, Manifest: r.Manifest})
		}
		_, err := s.Follow(source, order)
		require.NoError(t, err)
	}
	other := func(source string, names ...string) (releases []Release) {
		for _, tag := range names {
			releases = append(releases, Release{Source: source, Tag: tag})
		}
		return releases
	}
	contribute(ImportSource, "0.9.0") // the next one takes its place
	contribute(ImportSource, "1.0.0", "5.0.0")
	contribute("low", "1.0.0")
	contribute("top", "2.0.0", "1.5.0")
	now := []string{"top 2.0.0", "top 1.5.0", "low 1.0.0", "import 5.0.0"}
	assert.Equal(t, now, tags(s.DesiredWith("nobody", nil)))
	assert.Equal(t, []string{"top 2.0.0", "top 1.5.0", "middle 5.0.0", "low 1.0.0"}, tags(s.DesiredWith("middle", other("middle", "5.0.0"))), "not held, and in its place")
	assert.Equal(t, []string{"top 3.0.0", "top 1.5.0", "low 1.0.0", "import 5.0.0"}, tags(s.DesiredWith("top", other("top", "3.0.0", "1.5.0"))), "in place of what it contributes")
	assert.Equal(t, []string{"top 2.0.0", "top 1.5.0", "import 1.0.0", "import 5.0.0"}, tags(s.DesiredWith("low", nil)), "an import stands in")
	assert.Equal(t, []string{"top 2.0.0", "top 1.5.0", "low 1.0.0", "import 7.0.0"}, tags(s.DesiredWith(ImportSource, other(ImportSource, "7.0.0", "2.0.0"))))

	require.NoError(t, s.Pin(*s.Served(), "pin", "test"))
	contribute("low", "1.1.0")
	assert.Equal(t, []string{"top 2.0.0", "top 1.5.0", "low 1.1.0", "import 1.0.0", "import 5.0.0"}, tags(s.DesiredWith("nobody", nil)), "a pin does not last")
}

// Of releases that belong together, all are added or none.
func TestAddAllOrNone(t *testing.T) {
	s := openStore(t, t.TempDir())
	files := content{"a": "1"}
	require.NoError(t, stage(t, s, layerFor(files), files).Publish())
	there := Release{Source: "default", Tag: "1.0.0", Manifest: digest.FromString("1"), Layer: layerFor(files)}
	gone := Release{Source: "default", Tag: "2.0.0", Manifest: digest.FromString("2"), Layer: digest.FromString("gone")}
	assert.ErrorIs(t, s.Add(there, gone), ErrNotHeld)
	assert.Empty(t, s.Releases())
	gone.Layer = there.Layer
	require.NoError(t, s.Add(there, gone))
	assert.Len(t, s.Releases(), 2)
}

// A sync may take hours until it can add what it has claimed.
func TestAClaimedTreeIsKept(t *testing.T) {
	s := openStore(t, t.TempDir())
	files := content{"a": "1"}
	r := Release{Source: "default", Tag: "1.0.0", Manifest: digest.FromString("1"), Layer: layerFor(files)}
	gc := func() (trees []digest.Digest) {
		for range 3 { // one that was never seen in use waits for the grace
			garbage, err := s.GC(false)
			require.NoError(t, err)
			trees = append(trees, garbage.Trees...)
		}
		return trees
	}
	for _, end := range []func(){func() { s.UnclaimAll(r.Source) }, func() { s.Unclaim(r.Key()) }} {
		require.NoError(t, stage(t, s, layerFor(files), files).Publish())
		s.ClaimTree(r)
		assert.Empty(t, gc())
		end()
		assert.Equal(t, []digest.Digest{r.Layer}, gc())
	}
}

func TestWhatIsAFile(t *testing.T) {
	s := openStore(t, t.TempDir())
	files := content{"d/a": "1"}
	staged := stage(t, s, layerFor(files), files)
	require.NoError(t, staged.Seal())
	is := func(tree interface{ IsFile(string) bool }) []bool {
		return []bool{tree.IsFile("d/a"), tree.IsFile("d"), tree.IsFile(""), tree.IsFile("x")}
	}
	want := []bool{true, false, false, false}
	assert.Equal(t, want, is(staged))
	require.NoError(t, staged.Publish())
	v, err := s.AcquireTree(layerFor(files))
	require.NoError(t, err)
	defer v.Close()
	assert.Equal(t, want, is(v))
}
