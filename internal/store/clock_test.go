package store

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// setClock is, for a closed store, as if the clock had been set by that much
// since: all times in its state are shifted the other way.
func setClock(t *testing.T, dir string, by time.Duration) {
	t.Helper()
	path := filepath.Join(dir, "state.json")
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	st, err := parseState(data)
	require.NoError(t, err)
	shift := func(at *time.Time) {
		if !at.IsZero() {
			*at = at.Add(-by)
		}
	}
	shift(&st.HighWater)
	shift(&st.Scrubbed)
	for n := range st.Releases {
		shift(&st.Releases[n].Fetched)
		shift(&st.Releases[n].Demoted)
	}
	for n := range st.History {
		shift(&st.History[n].Since)
	}
	shift(&st.View.Since)
	data, err = formatState(st)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, data, 0o600))
}

func TestAClockThatJumps(t *testing.T) {
	one, two, three := content{"f": "1"}, content{"f": "2"}, content{"f": "3"}
	for _, c := range []struct {
		name    string
		by      time.Duration
		dated   bool // a date may be told after the start
		removed bool // what was out of use when the clock jumped is beyond its grace
	}{
		{"not at all", 0, false, false}, // the last swap is less than a second ago
		{"forwards, less than the grace", time.Minute, true, false},
		{"forwards an hour", time.Hour, true, true},
		{"back a little", -time.Minute, false, false},
		{"back an hour", -time.Hour + time.Minute, false, false},
		{"back a year", -365 * 24 * time.Hour, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			options := func(o *Options) { o.Keep, o.Grace = 0, 5*time.Minute }
			s := openStore(t, dir, options)
			old := hold(t, s, "0.0.0", one)
			follow(t, s, old)
			follow(t, s, hold(t, s, "0.0.0", two))
			require.NoError(t, s.Close())
			setClock(t, dir, c.by)

			s = openStore(t, dir, options)
			assert.Equal(t, two, served(t, s))
			since := func() time.Time {
				v := s.Acquire()
				defer v.Close()
				e, _ := v.Lookup("f")
				return e.Since
			}
			assert.Equal(t, c.dated, !since().IsZero())
			mark := s.state.Load().HighWater
			done, err := s.GC(false)
			require.NoError(t, err)
			if c.removed {
				assert.Len(t, done.Releases, 1)
			} else {
				assert.Empty(t, done.Releases)
			}
			follow(t, s, hold(t, s, "0.0.0", three))
			assert.Equal(t, three, served(t, s))
			assert.Zero(t, since(), "within a second of the start, or before the last swap by the clock")
			assert.False(t, s.state.Load().HighWater.Before(mark), "the mark never goes back")
			if !c.removed {
				target, err := s.Target("", false)
				require.NoError(t, err)
				require.NoError(t, s.Pin(target, "rollback", "rollback"))
				assert.Equal(t, two, served(t, s), "the history keeps its order")
			}
		})
	}
}

func TestDamageThatTheStartFindsIsCounted(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	one, two := content{"f": "1"}, content{"f": "2"}
	follow(t, s, hold(t, s, "1.0.0", one))
	follow(t, s, hold(t, s, "1.0.0", two))
	require.NoError(t, s.Close())
	require.NoError(t, os.Truncate(filepath.Join(dir, treesFolder, treeName(layerFor(two)), "index"), 7))
	reg := prometheus.NewRegistry()
	s = openStore(t, dir, func(o *Options) { o.Registerer = reg })
	assert.Equal(t, one, served(t, s))
	assert.Equal(t, 1.0, testutil.ToFloat64(s.metrics.integrity))
}

// Clocks are set while a process runs. A monotonic reading would hide that.
func TestNoTimeOfTheStateIsMonotonic(t *testing.T) {
	s := openStore(t, t.TempDir())
	follow(t, s, hold(t, s, "1.0.0", content{"f": "1"}))
	follow(t, s, hold(t, s, "2.0.0", content{"f": "2"}))
	pin(t, s, "")
	st := s.state.Load()
	for _, at := range []time.Time{st.HighWater, st.Releases[0].Fetched, st.Releases[1].Fetched, s.started} {
		assert.True(t, at == at.Round(0), "%v", at)
	}
}

// clockThatWasAhead is a store in which 1 went out of use, and 2 is in use, when the clock
// was ahead; now it is set back.
func clockThatWasAhead(t *testing.T, by time.Duration) (s *Store, dir string, options func(*Options)) {
	t.Helper()
	dir = t.TempDir()
	options = func(o *Options) { o.Keep, o.Grace = 1, time.Minute }
	s = openStore(t, dir, options)
	follow(t, s, hold(t, s, "0.0.0", content{"f": "1"}))
	follow(t, s, hold(t, s, "0.0.0", content{"f": "2"})) // 1 goes out of use
	require.NoError(t, s.Close())
	setClock(t, dir, -by)
	return openStore(t, dir, options), dir, options
}

// What went out of use last is kept, though the clock was ahead before.
func TestKeepAfterAClockThatWasAhead(t *testing.T) {
	s, dir, options := clockThatWasAhead(t, 50*time.Minute)
	follow(t, s, hold(t, s, "0.0.0", content{"f": "3"})) // 2 goes out of use
	require.NoError(t, s.Close())
	setClock(t, dir, time.Hour)
	s = openStore(t, dir, options)
	garbage, err := s.GC(false)
	require.NoError(t, err)
	require.Len(t, garbage.Releases, 1)
	assert.True(t, s.HasTree(layerFor(content{"f": "2"})), "the view before the served one")
}

// An import that a registry's release covers stays out of use when it is made again.
func TestAddedAgainIsNotInUse(t *testing.T) {
	s := openStore(t, t.TempDir())
	imported, pulled := content{"f": "imported"}, content{"f": "pulled"}
	require.NoError(t, stage(t, s, layerFor(imported), imported).Publish())
	r := Release{Source: ImportSource, Tag: "0.0.0", Manifest: layerFor(imported), Layer: layerFor(imported)}
	again := func() {
		r.Fetched = time.Now()
		require.NoError(t, s.Add(r))
		_, err := s.Follow(ImportSource, []Contribution{{Tag: "0.0.0", Manifest: r.Manifest}})
		require.NoError(t, err)
	}
	again()
	follow(t, s, hold(t, s, "0.0.0", pulled))
	again()
	assert.Equal(t, pulled, served(t, s))
	got, _ := s.Release(r.Key())
	assert.False(t, got.Demoted.IsZero())
}

// What goes out of use has its grace also where the clock was ahead when others did.
func TestGraceAfterAClockThatWasAhead(t *testing.T) {
	s, dir, options := clockThatWasAhead(t, 24*time.Hour)
	follow(t, s, hold(t, s, "0.0.0", content{"f": "3"}), hold(t, s, "1.0.0", content{"g": "3"})) // 2 does
	follow(t, s, hold(t, s, "0.0.0", content{"f": "4"}))                                         // both of 3 do
	garbage, err := s.GC(false)
	require.NoError(t, err)
	assert.Empty(t, garbage.Releases)
	require.NoError(t, s.Close())
	setClock(t, dir, time.Hour)
	s = openStore(t, dir, options)
	garbage, err = s.GC(false)
	require.NoError(t, err)
	require.Len(t, garbage.Releases, 3)
	assert.Equal(t, layerFor(content{"f": "1"}), garbage.Releases[0].Layer, "the order is kept")
	assert.Equal(t, layerFor(content{"f": "2"}), garbage.Releases[1].Layer)
}

// What went out of use a moment ago has its grace whatever the clock does then, and is not
// held until the clock is there again.
func TestGraceAfterAClockThatIsSetBack(t *testing.T) {
	for _, by := range []time.Duration{-time.Minute, -2 * time.Hour, -365 * 24 * time.Hour} {
		t.Run(by.String(), func(t *testing.T) {
			s := openStore(t, t.TempDir(), func(o *Options) { o.Keep, o.Grace = 0, time.Hour })
			follow(t, s, hold(t, s, "0.0.0", content{"f": "1"}))
			follow(t, s, hold(t, s, "0.0.0", content{"f": "2"}))
			real, set := wall, time.Duration(0)
			wall = func() time.Time { return real().Add(set) }
			t.Cleanup(func() { wall = real })
			for _, row := range []struct {
				after   time.Duration
				removed int
			}{{by, 0}, {59 * time.Minute, 0}, {2 * time.Minute, 1}} {
				set += row.after
				garbage, err := s.GC(false)
				require.NoError(t, err)
				assert.Len(t, garbage.Releases, row.removed, "%v later", row.after)
			}
		})
	}
}

// What is imported, and a registry covers, is kept before what went out of use while the
// clock was ahead.
func TestWhatIsAddedAfterAClockThatWasAheadIsTheLatest(t *testing.T) {
	dir := t.TempDir()
	options := func(o *Options) { o.Keep = 1 }
	s := openStore(t, dir, options)
	importOf(t, s, "0.0.0", content{"i": "1"})
	follow(t, s, hold(t, s, "0.0.0", content{"f": "1"}))
	require.NoError(t, s.Close())
	setClock(t, dir, -24*time.Hour)
	s = openStore(t, dir, options)
	importOf(t, s, "0.0.0", content{"i": "2"})
	s.UnclaimAll(ImportSource)
	garbage, err := s.GC(false)
	require.NoError(t, err)
	require.Len(t, garbage.Releases, 1)
	assert.Equal(t, layerFor(content{"i": "1"}), garbage.Releases[0].Layer)
}

// steppingClock is a clock that moves on, by so much, whenever somebody looks at it.
func steppingClock(t *testing.T, seen func(at time.Time)) {
	t.Helper()
	real, at := wall, wall()
	wall = func() time.Time {
		at = at.Add(700 * time.Millisecond)
		seen(at)
		return at
	}
	t.Cleanup(func() { wall = real })
}

// What is served while the state is written, for seconds on a slow disk, is what was served
// before. What takes its place is dated later than the last second of that.
func TestADateIsOfAfterTheSwap(t *testing.T) {
	s := openStore(t, t.TempDir())
	follow(t, s, hold(t, s, "1.0.0", content{"f": "1", "same": "x"}))
	var lastOld time.Time
	steppingClock(t, func(at time.Time) {
		if served(t, s)["f"] == "1" {
			lastOld = at
		}
	})
	follow(t, s, hold(t, s, "2.0.0", content{"f": "2", "same": "x"}))
	v := s.Acquire()
	defer v.Close()
	e, _ := v.Lookup("f")
	assert.True(t, e.Since.After(lastOld), "%v is served since then, and %v was served the one before", e.Since, lastOld)

	mark := s.state.Load().HighWater
	assert.Equal(t, e.Since, mark.UTC())
	require.NoError(t, s.Note("test", "", "something is written"))
	st, _, err := readState(s.dir)
	require.NoError(t, err)
	assert.True(t, mark.Equal(st.HighWater), "the next process will know")
}

// A clock that is set back while the state is written leaves no safe date.
func TestAClockThatIsSetBackInASwap(t *testing.T) {
	s := openStore(t, t.TempDir())
	follow(t, s, hold(t, s, "1.0.0", content{"f": "1"}))
	c := hold(t, s, "2.0.0", content{"f": "2"})
	real := wall
	defer func() { wall = real }()
	ahead := time.Hour
	wall = func() time.Time {
		defer func() { ahead = 0 }()
		return real().Add(ahead)
	}
	follow(t, s, c)
	v := s.Acquire()
	defer v.Close()
	e, _ := v.Lookup("f")
	assert.Zero(t, e.Since)
	assert.True(t, s.state.Load().HighWater.After(real().Add(50*time.Minute)), "the mark never goes back")
}
