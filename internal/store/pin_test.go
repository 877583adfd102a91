package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRollbackStepsBackAndHolds(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, func(o *Options) { o.Keep = 10 })
	var all []Contribution
	for _, text := range []string{"1", "2", "3"} {
		all = append(all, hold(t, s, "0.0.0", content{"f": text}))
		follow(t, s, all[len(all)-1])
	}
	back := func(version string, alone bool) {
		t.Helper()
		target, err := s.Target(version, alone)
		require.NoError(t, err)
		require.NoError(t, s.Pin(target, "rollback", "rollback"))
	}
	back("", false)
	assert.Equal(t, content{"f": "2"}, served(t, s))
	require.NotNil(t, s.Pinned())

	fourth := hold(t, s, "0.0.0", content{"f": "4"})
	assert.False(t, follow(t, s, fourth), "held, but not served")
	assert.Equal(t, content{"f": "2"}, served(t, s))

	back("", false)
	assert.Equal(t, content{"f": "1"}, served(t, s), "again and again")
	_, err := s.Target("", false)
	assert.ErrorIs(t, err, ErrNotHeld, "there is nothing before the first")

	require.NoError(t, s.Close())
	s = openStore(t, dir, func(o *Options) { o.Keep = 10 })
	assert.Equal(t, content{"f": "1"}, served(t, s), "a rollback survives a restart")
	assert.NotNil(t, s.Pinned())
	_, err = s.GC(false)
	require.NoError(t, err)

	back(all[2].Manifest.String(), false)
	assert.Equal(t, content{"f": "3"}, served(t, s))
	_, err = s.Target(all[2].Manifest.String(), false)
	assert.ErrorIs(t, err, ErrAlreadyThere)

	swapped, err := s.Unpin("")
	require.NoError(t, err)
	assert.True(t, swapped)
	assert.Equal(t, content{"f": "4"}, served(t, s), "back to the newest")
	_, err = s.Unpin("")
	assert.Error(t, err)
	back("", false)
	assert.Equal(t, content{"f": "3"}, served(t, s), "the views of before the pins, in their order")
}

func TestTheHistoryTellsARollbackFromAPin(t *testing.T) {
	s := openStore(t, t.TempDir())
	follow(t, s, hold(t, s, "1.0.0", content{"f": "1"}))
	follow(t, s, hold(t, s, "2.0.0", content{"f": "2"}))
	before, err := s.Target("", false)
	require.NoError(t, err)
	require.NoError(t, s.Pin(before, "rollback", "rollback, by somebody"))
	require.NoError(t, s.Pin(*s.Served(), "pin", "pin, by somebody"))
	_, err = s.Unpin("")
	require.NoError(t, err)
	var kinds []string
	for _, e := range s.Events() {
		if e.Kind != "release" && e.Kind != "swap" {
			kinds = append(kinds, e.Kind)
		}
	}
	assert.Equal(t, []string{"rollback", "pin", "unpin"}, kinds)
}

func TestHoldAlone(t *testing.T) {
	s := openStore(t, t.TempDir())
	top, low := hold(t, s, "2.0.0", content{"f": "2"}), hold(t, s, "1.0.0", content{"f": "1", "g": "1"})
	follow(t, s, top, low)
	_, err := s.Target("1.0.0", false)
	assert.ErrorIs(t, err, ErrNeverOnTop)
	target, err := s.Target("1.0.0", true)
	require.NoError(t, err)
	require.NoError(t, s.Pin(target, "pin", "pin to 1.0.0"))
	assert.Equal(t, content{"f": "1", "g": "1"}, served(t, s))
	_, err = s.Target("1.0.0", true)
	assert.ErrorIs(t, err, ErrAlreadyThere)
	_, err = s.Target("9.9.9", false)
	assert.ErrorIs(t, err, ErrNotHeld)
}

func TestForget(t *testing.T) {
	s := openStore(t, t.TempDir())
	top, low := hold(t, s, "2.0.0", content{"f": "2"}), hold(t, s, "1.0.0", content{"f": "1"})
	follow(t, s, top, low)
	_, err := s.Forget("2.0.0", "")
	require.NoError(t, err)
	assert.Equal(t, content{"f": "1"}, served(t, s))
	assert.True(t, s.Forgotten(top.Manifest))
	before := s.Events()
	for _, version := range []string{"2.0.0", top.Manifest.String()} {
		_, err = s.Forget(version, "")
		assert.ErrorIs(t, err, errForgotten)
	}
	assert.Equal(t, before, s.Events(), "nothing has happened")
	_, err = s.Forget("1.0.0", "")
	assert.ErrorContains(t, err, "all that is served")
	assert.Equal(t, content{"f": "1"}, served(t, s))
	require.NoError(t, s.Unforget(top.Manifest))
	assert.False(t, s.Forgotten(top.Manifest))
}

func TestTakeBack(t *testing.T) {
	s := openStore(t, t.TempDir())
	top, low := hold(t, s, "2.0.0", content{"f": "2"}), hold(t, s, "1.0.0", content{"f": "1"})
	follow(t, s, top, low)
	back, err := s.UnforgetAll("default", "")
	require.NoError(t, err)
	assert.Empty(t, back, "nothing was forgotten")

	_, err = s.Forget("2.0.0", "")
	require.NoError(t, err)
	back, err = s.UnforgetAll("another", "")
	require.NoError(t, err)
	assert.Empty(t, back, "not that source's")
	back, err = s.UnforgetAll("default", "")
	require.NoError(t, err)
	require.Len(t, back, 1)
	assert.Equal(t, "2.0.0", back[0].Tag)
	assert.False(t, s.Forgotten(top.Manifest))
	assert.Equal(t, Contribution{Tag: "2.0.0", Manifest: top.Manifest, Reason: "taken back"}, s.Following("default")[1], "for the source to rank")

	// What the source has something else for now is not contributed again.
	_, err = s.Forget("2.0.0", "")
	require.NoError(t, err)
	moved := hold(t, s, "2.0.0", content{"f": "moved"})
	follow(t, s, moved)
	_, err = s.UnforgetAll("default", "")
	require.NoError(t, err)
	require.Len(t, s.Following("default"), 1)
	assert.Equal(t, moved.Manifest, s.Following("default")[0].Manifest)
}

// What is forgotten while a sync runs is not served again by what that sync had made up
// its mind to.
func TestForgetWhileASyncRuns(t *testing.T) {
	s := openStore(t, t.TempDir())
	one, two := hold(t, s, "1.0.0", content{"f": "one"}), hold(t, s, "2.0.0", content{"f": "two"})
	follow(t, s, two, one)
	three := hold(t, s, "3.0.0", content{"g": "three"}) // the sync has it by now
	_, err := s.Forget("2.0.0", "")
	require.NoError(t, err)
	follow(t, s, three, two, one)
	assert.Equal(t, content{"f": "one", "g": "three"}, served(t, s))
}

// What a person has decided is in both states: no sync could bring it back where the
// newer one is lost.
func TestADecisionOutlivesOneDamagedState(t *testing.T) {
	for name, row := range map[string]struct {
		decide func(*Store) error
		want   content
	}{
		"a pin":      {func(s *Store) error { return holdVersion(s, "1.0.0") }, content{"f": "one"}},
		"a rollback": {func(s *Store) error { return holdVersion(s, "") }, content{"f": "one"}},
		"a forget":   {func(s *Store) error { _, err := s.Forget("2.0.0", "test"); return err }, content{"f": "one"}},
		"an unpin":   {func(s *Store) error { _, err := s.Unpin("test"); return err }, content{"f": "two"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, dir)
			one := hold(t, s, "1.0.0", content{"f": "one"})
			follow(t, s, one)
			follow(t, s, hold(t, s, "2.0.0", content{"f": "two"}), one)
			if name == "an unpin" {
				require.NoError(t, holdVersion(s, "1.0.0"))
			}
			require.NoError(t, row.decide(s))
			require.NoError(t, s.Close())
			require.NoError(t, os.Truncate(filepath.Join(dir, "state.json"), 100))
			assert.Equal(t, row.want, served(t, openStore(t, dir)))
		})
	}
}

func holdVersion(s *Store, version string) error {
	target, err := s.Target(version, false)
	if errors.Is(err, ErrAlreadyThere) {
		target, err = RecordOf(s.current.Load()), nil
	}
	if err != nil {
		return err
	}
	return s.Pin(target, "pin", "test")
}

// To go back and forth between two views as often as one likes leads to both, and to what
// was served before them.
func TestRollbackAfterManyRollbacks(t *testing.T) {
	s := openStore(t, t.TempDir(), func(o *Options) { o.Keep = 10 })
	for _, text := range []string{"1", "2", "3"} {
		follow(t, s, hold(t, s, "0.0.0", content{"f": text}))
	}
	for range maxHistory + 5 {
		pin(t, s, "")
		require.Equal(t, content{"f": "2"}, served(t, s))
		_, err := s.Unpin("")
		require.NoError(t, err)
	}
	assert.LessOrEqual(t, len(s.History()), maxHistory)
	pin(t, s, "")
	pin(t, s, "")
	assert.Equal(t, content{"f": "1"}, served(t, s))
}

// The history tells who did what, what was damaged, and what was made whole.
func TestTheHistoryTellsOfPeopleAndOfDamage(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	files := content{"a": "aaa"}
	follow(t, s, hold(t, s, "2.0.0", files), hold(t, s, "1.0.0", content{"b": "bbb"}))
	require.NoError(t, holdVersion(s, "2.0.0"))
	_, err := s.Unpin("the night shift")
	require.NoError(t, err)
	_, err = s.Forget("1.0.0", "the day shift")
	require.NoError(t, err)
	rot(t, dir, files, "a")
	_, err = s.Verify(t.Context(), VerifyOptions{})
	require.NoError(t, err)
	require.NoError(t, stage(t, s, layerFor(files), files).Publish())
	var told []string
	for _, e := range s.Events() {
		told = append(told, e.Kind+" "+e.Message)
	}
	text := strings.Join(told, "\n")
	for _, want := range []string{
		"unpin following again, by the night shift", "forget forgot 1.0.0 (sha256:", ", by the day shift",
		`damage 1 files of 2.0.0 are damaged, "a" the first`, "repair the tree of 2.0.0 was made anew",
	} {
		assert.Contains(t, text, want)
	}
}

// To serve a release by itself is a trial, and no step: the view before is the one that
// was served before it, and it is nobody's second choice.
func TestAReleaseAloneIsNoStep(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, func(o *Options) { o.Keep = 9 })
	one, two, three := hold(t, s, "1.0.0", content{"f": "1"}), hold(t, s, "2.0.0", content{"f": "2"}), hold(t, s, "3.0.0", content{"f": "3"})
	follow(t, s, one)
	follow(t, s, two, one)
	follow(t, s, three, two, one)
	pin(t, s, "")
	require.Equal(t, content{"f": "2"}, served(t, s))
	trial := hold(t, s, "0.0.9", content{"f": "trial"})
	target, err := s.Target(trial.Tag, true)
	require.NoError(t, err)
	require.NoError(t, s.Pin(target, "pin", "alone"))
	require.Equal(t, content{"f": "trial"}, served(t, s))
	pin(t, s, "")
	assert.Equal(t, content{"f": "2"}, served(t, s))
	pin(t, s, "")
	assert.Equal(t, content{"f": "1"}, served(t, s))

	_, err = s.Unpin("")
	require.NoError(t, err)
	require.Equal(t, content{"f": "3"}, served(t, s))
	s = loseIndex(t, s, content{"f": "3"})
	assert.Equal(t, content{"f": "2"}, served(t, s))
}
