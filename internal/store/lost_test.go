package store

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The pinned tree is lost and nothing else of the history is whole: what is followed is,
// and stands in for it, at the start and whenever something is followed.
func TestWhatIsFollowedStandsInForAPin(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	pinned, followed, newer := content{"f": "1"}, content{"f": "2"}, content{"f": "3"}
	follow(t, s, hold(t, s, "1.0.0", pinned))
	require.NoError(t, holdVersion(s, "1.0.0"))
	pin := *s.Pinned()
	follow(t, s, hold(t, s, "2.0.0", followed))
	s = loseIndex(t, s, pinned)
	assert.Equal(t, followed, served(t, s))

	require.NoError(t, s.Close())
	require.NoError(t, os.Remove(filepath.Join(treeFolder(dir, layerFor(followed)), "index")))
	s = openStore(t, dir)
	assert.Nil(t, s.Acquire())
	assert.True(t, follow(t, s, hold(t, s, "3.0.0", newer)))
	assert.Equal(t, newer, served(t, s))
	assert.Equal(t, pin, *s.Pinned())
}

// The registry is out of reach: an import brings the tree of the pinned view.
func TestAnImportBringsThePinnedTree(t *testing.T) {
	s := openStore(t, t.TempDir())
	pinned := content{"f": "1"}
	follow(t, s, hold(t, s, "0.1.0", content{"f": "0"}))
	follow(t, s, hold(t, s, "1.0.0", pinned))
	require.NoError(t, holdVersion(s, "1.0.0"))
	s = loseIndex(t, s, pinned)
	assert.Equal(t, content{"f": "0"}, served(t, s))

	require.NoError(t, stage(t, s, layerFor(pinned), pinned).Publish())
	r := Release{Source: ImportSource, Tag: "1.0.0", Manifest: layerFor(pinned), Layer: layerFor(pinned), Fetched: time.Now()}
	require.NoError(t, s.Add(r))
	_, err := s.Follow(ImportSource, []Contribution{{Tag: "1.0.0", Manifest: r.Manifest}})
	require.NoError(t, err)
	assert.Equal(t, pinned, served(t, s))
}

// Where both states are lost nobody knows whose the trees are. The next sync will, without
// a download.
func TestTreesOutliveBothStates(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	files := content{"f": "1"}
	follow(t, s, hold(t, s, "1.0.0", files))
	require.NoError(t, s.Close())
	require.NoError(t, os.Truncate(filepath.Join(dir, "state.json"), 20))
	require.NoError(t, os.Truncate(filepath.Join(dir, "state.previous.json"), 20))
	s = openStore(t, dir, func(o *Options) { o.Grace = time.Nanosecond })
	for range 3 {
		_, err := s.GC(false)
		require.NoError(t, err)
	}
	require.True(t, s.HasTree(layerFor(files)))

	follow(t, s, hold(t, s, "2.0.0", content{"f": "2"}))
	_, err := s.GC(false)
	require.NoError(t, err)
	assert.False(t, s.HasTree(layerFor(files)), "the source does not want it any more")
}

// The first view that a store ever had is in both states.
func TestTheFirstViewOutlivesADamagedState(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	follow(t, s, hold(t, s, "1.0.0", content{"f": "1"}))
	require.NoError(t, s.Close())
	require.NoError(t, os.Truncate(filepath.Join(dir, "state.json"), 20))
	assert.Equal(t, content{"f": "1"}, served(t, openStore(t, dir)))
}

// A step back goes past a view whose tree is lost, and past what was forgotten.
func TestRollbackPastWhatCannotBeServed(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, func(o *Options) { o.Keep = 9 })
	var all []Contribution
	for _, text := range []string{"1", "2", "3", "4"} {
		all = append(all, hold(t, s, text+".0.0", content{"f": text}))
		follow(t, s, all[len(all)-1])
	}
	require.NoError(t, os.RemoveAll(treeFolder(dir, layerFor(content{"f": "3"}))))
	_, err := s.Forget(all[1].Manifest.String(), "")
	require.NoError(t, err)
	pin(t, s, "")
	assert.Equal(t, content{"f": "1"}, served(t, s))
}

// A process was killed between the two renames that stand for an exchange where the file
// system knows none: the tree gets its name back.
func TestKilledBetweenTwoRenames(t *testing.T) {
	dir := t.TempDir()
	files := content{"a": "aaa", "b": "bbb"}
	s := damagedStore(t, dir, files)
	sealed(t, s, files)
	require.NoError(t, os.Rename(treeFolder(dir, layerFor(files)), filepath.Join(dir, stagingFolder, replacedPrefix+treeName(layerFor(files))+".1")))
	s.lock.Close() // killed here
	s = openStore(t, dir)
	assert.Equal(t, "bbb", servedFile(t, s, "b"))
	left, err := os.ReadDir(filepath.Join(dir, stagingFolder))
	require.NoError(t, err)
	assert.Empty(t, left)
}

// The disk had a bad moment, and the bytes are there again, whole.
func TestWhatIsRightAgainIsServedAgain(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	files := content{"a": "aaa", "b": "bbb"}
	follow(t, s, hold(t, s, "1.0.0", files))
	rot(t, dir, files, "a")
	_, err := s.Verify(t.Context(), VerifyOptions{})
	require.NoError(t, err)
	rot(t, dir, files, "a") // the same bit again
	s.repairDamaged(t.Context())
	assert.True(t, s.HasTree(layerFor(files)))
	assert.Equal(t, files, served(t, s))
}

// To follow again is a step: what comes after it goes back to where it led.
func TestUnpinToTheServedViewIsAStep(t *testing.T) {
	s := openStore(t, t.TempDir())
	good := hold(t, s, "0.0.0", content{"f": "good"})
	follow(t, s, good)
	follow(t, s, hold(t, s, "0.0.0", content{"f": "bad"}))
	pin(t, s, "")
	follow(t, s, good) // the tag was moved back
	_, err := s.Unpin("")
	require.NoError(t, err)
	assert.Equal(t, content{"f": "good"}, served(t, s))
	follow(t, s, hold(t, s, "0.0.0", content{"f": "newer"}))
	pin(t, s, "")
	assert.Equal(t, content{"f": "good"}, served(t, s))
}

// No held view is whole: what can be read of what is followed is served before any sync.
func TestWhatCanBeReadIsServedAtTheStart(t *testing.T) {
	s := openStore(t, t.TempDir())
	top, low := content{"f": "top"}, content{"f": "low", "g": "low"}
	follow(t, s, hold(t, s, "2.0.0", top), hold(t, s, "1.0.0", low))
	s = loseIndex(t, s, top)
	assert.Equal(t, low, served(t, s))
}

// What is followed cannot be served: nothing is pinned any more all the same, and what
// was pinned stands in.
func TestUnpinWhereWhatIsFollowedIsLost(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	followed := content{"f": "2"}
	follow(t, s, hold(t, s, "1.0.0", content{"f": "1"}))
	c := hold(t, s, "2.0.0", followed)
	follow(t, s, c)
	pin(t, s, "")
	require.NoError(t, os.RemoveAll(treeFolder(dir, layerFor(followed))))
	_, err := s.Unpin("")
	require.NoError(t, err)
	assert.Nil(t, s.Pinned())
	assert.Equal(t, content{"f": "1"}, served(t, s))
	assert.False(t, s.Follows())

	require.NoError(t, stage(t, s, layerFor(followed), followed).Publish())
	assert.True(t, follow(t, s, c))
	assert.Equal(t, followed, served(t, s))
}

// importOf holds files as an import.
func importOf(t *testing.T, s *Store, tag string, files content) Contribution {
	t.Helper()
	require.NoError(t, stage(t, s, layerFor(files), files).Publish())
	require.NoError(t, s.Add(Release{Source: ImportSource, Tag: tag, Manifest: layerFor(files), Layer: layerFor(files), Fetched: time.Now()}))
	return Contribution{Tag: tag, Manifest: layerFor(files)}
}

// Without a registry, the same archive is imported again.
func TestTheSameImportBringsThePinnedTree(t *testing.T) {
	s := openStore(t, t.TempDir())
	old, pinned := content{"f": "0"}, content{"f": "1"}
	a := importOf(t, s, "0.1.0", old)
	_, err := s.Follow(ImportSource, []Contribution{a})
	require.NoError(t, err)
	b := importOf(t, s, "1.0.0", pinned)
	_, err = s.Follow(ImportSource, []Contribution{b, a})
	require.NoError(t, err)
	require.NoError(t, s.Pin(*s.Served(), "pin", "test"))
	s = loseIndex(t, s, pinned)
	assert.Equal(t, old, served(t, s))
	b = importOf(t, s, "1.0.0", pinned)
	require.True(t, s.HasTree(layerFor(pinned)))
	_, err = s.Follow(ImportSource, []Contribution{b, a})
	require.NoError(t, err)
	assert.Equal(t, pinned, served(t, s))
}

// An import's tree is lost, which no sync brings: what a registry brings is served.
func TestALostImportKeepsNothingWaiting(t *testing.T) {
	s := openStore(t, t.TempDir())
	imp := content{"i": "1"}
	a := importOf(t, s, "0.1.0", imp)
	_, err := s.Follow(ImportSource, []Contribution{a})
	require.NoError(t, err)
	follow(t, s, hold(t, s, "1.0.0", content{"f": "1"}))
	s = loseIndex(t, s, imp)
	c := hold(t, s, "2.0.0", content{"f": "2"})
	_, err = s.Follow("default", []Contribution{c})
	assert.NoError(t, err)
	assert.Equal(t, "2", served(t, s)["f"])
}

// The index of what is followed has flipped bits.
func TestUnpinWhereAnIndexIsDamaged(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	one, two := content{"f": "1"}, content{"f": "2"}
	follow(t, s, hold(t, s, "1.0.0", one))
	require.NoError(t, holdVersion(s, "1.0.0"))
	follow(t, s, hold(t, s, "2.0.0", two))
	require.NoError(t, s.Close())
	path := filepath.Join(treeFolder(dir, layerFor(two)), "index")
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	data[len(data)/2] ^= 1
	require.NoError(t, os.Chmod(path, 0o644))
	require.NoError(t, os.WriteFile(path, data, 0o644))
	s = openStore(t, dir)
	require.Equal(t, one, served(t, s))
	_, err = s.Unpin("")
	assert.NoError(t, err)
	assert.Nil(t, s.Pinned())
}

// What is lost can be forgotten, though more is.
func TestForgetWhatIsLost(t *testing.T) {
	s := openStore(t, t.TempDir())
	one, two := content{"i": "1"}, content{"j": "2"}
	a, b := importOf(t, s, "0.1.0", one), importOf(t, s, "0.2.0", two)
	_, err := s.Follow(ImportSource, []Contribution{b, a})
	require.NoError(t, err)
	follow(t, s, hold(t, s, "1.0.0", content{"f": "1"}))
	s = loseIndex(t, s, one)
	s = loseIndex(t, s, two)
	_, err = s.Forget("0.1.0", "")
	assert.NoError(t, err)
	_, err = s.Forget("0.2.0", "")
	assert.NoError(t, err)
}

// Two sources have lost their trees, and one is had again: its part is served, not nothing.
func TestAPartIsServedInPlaceOfNothing(t *testing.T) {
	dir := t.TempDir()
	two := func(o *Options) { o.Sources = []string{"default", "b"} }
	s := openStore(t, dir, two)
	one, other := content{"f": "1"}, content{"g": "2"}
	c := hold(t, s, "1.0.0", one)
	follow(t, s, c)
	require.NoError(t, stage(t, s, layerFor(other), other).Publish())
	require.NoError(t, s.Add(Release{Source: "b", Tag: "9.0.0", Manifest: layerFor(other), Layer: layerFor(other), Fetched: time.Now()}))
	_, err := s.Follow("b", []Contribution{{Tag: "9.0.0", Manifest: layerFor(other)}})
	require.NoError(t, err)
	require.NoError(t, s.Close())
	for _, f := range []content{one, other} {
		require.NoError(t, os.Remove(filepath.Join(treeFolder(dir, layerFor(f)), "index")))
	}
	s = openStore(t, dir, two)
	require.Nil(t, s.Acquire())
	c = hold(t, s, "1.0.0", one) // the sync of default fetches it anew
	_, err = s.Follow("default", []Contribution{c})
	assert.NoError(t, err)
	assert.Equal(t, one, served(t, s))

	require.NoError(t, stage(t, s, layerFor(other), other).Publish())
	_, err = s.Follow("b", []Contribution{{Tag: "9.0.0", Manifest: layerFor(other)}})
	require.NoError(t, err)
	assert.Equal(t, content{"f": "1", "g": "2"}, served(t, s))
}

// The same where the pinned view is lost: what can be read of what is followed stands in
// for it, though a part of that is lost, too.
func TestAPartStandsInForAPin(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	pinned, low := content{"f": "1"}, content{"g": "low"}
	follow(t, s, hold(t, s, "1.0.0", pinned))
	require.NoError(t, holdVersion(s, "1.0.0"))
	c := hold(t, s, "0.9.0", low)
	follow(t, s, c)
	require.NoError(t, s.Close())
	for _, lost := range []content{pinned, low} {
		require.NoError(t, os.Remove(filepath.Join(treeFolder(dir, layerFor(lost)), "index")))
	}
	s = openStore(t, dir)
	require.Nil(t, s.Acquire())
	follow(t, s, hold(t, s, "2.0.0", content{"f": "2"}), c)
	assert.Equal(t, content{"f": "2"}, served(t, s))
	assert.NotNil(t, s.Pinned())
}

// What somebody has imported no sync brings back: the state before has it, too.
func TestAnImportOutlivesADamagedState(t *testing.T) {
	for name, pinned := range map[string]bool{"followed": false, "pinned": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, dir)
			follow(t, s, hold(t, s, "2.0.0", content{"f": "pulled"}))
			if pinned {
				require.NoError(t, s.Pin(*s.Served(), "pin", "test"))
			}
			a := importOf(t, s, "1.0.0", content{"i": "imported"})
			_, err := s.Follow(ImportSource, []Contribution{a})
			require.NoError(t, err)
			require.NoError(t, s.Close())
			require.NoError(t, os.Truncate(filepath.Join(dir, "state.json"), 20))
			s = openStore(t, dir)
			assert.Equal(t, []Contribution{a}, s.Following(ImportSource))
			assert.Equal(t, !pinned, served(t, s)["i"] == "imported")
		})
	}
}

// What somebody has taken back is in the state before, too.
func TestWhatIsTakenBackOutlivesADamagedState(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	top := hold(t, s, "2.0.0", content{"f": "2"})
	follow(t, s, top, hold(t, s, "1.0.0", content{"f": "1"}))
	_, err := s.Forget("2.0.0", "")
	require.NoError(t, err)
	require.NoError(t, s.Unforget(top.Manifest))
	require.NoError(t, s.Close())
	require.NoError(t, os.Truncate(filepath.Join(dir, "state.json"), 20))
	assert.False(t, openStore(t, dir).Forgotten(top.Manifest))
}

// A pin has ended, or it has not: that what is to stand in cannot be read at the moment is no
// failure of who ended it.
func TestUnpinWhereWhatWouldStandInCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	pinned, stands, low := content{"f": "1"}, content{"f": "2"}, content{"low": "1"}
	follow(t, s, hold(t, s, "1.0.0", pinned))
	require.NoError(t, holdVersion(s, "1.0.0"))
	follow(t, s, hold(t, s, "2.0.0", stands))
	s = loseIndex(t, s, pinned)
	order := []Contribution{hold(t, s, "3.0.0", content{"f": "3"}), hold(t, s, "0.9.0", low)}
	follow(t, s, order...)
	require.NoError(t, os.RemoveAll(treeFolder(dir, layerFor(low))))
	fewDescriptors(t, 1, func() { // enough to write the state, not to load a tree
		_, err := s.Unpin("")
		assert.NoError(t, err)
	})
	assert.Nil(t, s.Pinned())
	assert.Equal(t, stands, served(t, s))
	follow(t, s, order...)
	assert.Equal(t, content{"f": "3"}, served(t, s))
}
