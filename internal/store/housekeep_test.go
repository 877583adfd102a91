package store

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// scrubbing has a store check all files once a week, and write down what it says of it.
func scrubbing(log *bytes.Buffer) func(*Options) {
	return func(o *Options) {
		o.ScrubInterval = 7 * 24 * time.Hour
		o.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
}

// scrubbedAgo is, for a closed store, as if its last check had ended so long ago.
func scrubbedAgo(t *testing.T, dir string, ago time.Duration) {
	t.Helper()
	s := openStore(t, dir)
	require.NoError(t, s.change(func(st *state) { st.Scrubbed = time.Now().Add(-ago).UTC() }))
	require.NoError(t, s.Close())
}

func TestScrub(t *testing.T) {
	for name, c := range map[string]struct {
		ago time.Duration
		due bool
	}{
		"six days ago":            {6 * 24 * time.Hour, false},
		"eight days ago":          {8 * 24 * time.Hour, true},
		"by a clock that is back": {-365 * 24 * time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			files := content{"f": "1"}
			s := openStore(t, dir)
			follow(t, s, hold(t, s, "1.0.0", files))
			require.NoError(t, s.Close())
			rot(t, dir, files, "f")
			scrubbedAgo(t, dir, c.ago)
			s = openStore(t, dir, scrubbing(&bytes.Buffer{}))
			s.scrubIfDue(t.Context())
			assert.Equal(t, c.due, !s.HasTree(layerFor(files)))
			if c.due {
				assert.WithinDuration(t, time.Now(), s.state.Load().Scrubbed, time.Minute)
			}
		})
	}
}

// The first check can wait: what a new store holds was checked when it was written.
func TestTheFirstScrubIsAfterTheInterval(t *testing.T) {
	var log bytes.Buffer
	s := openStore(t, t.TempDir(), scrubbing(&log))
	follow(t, s, hold(t, s, "1.0.0", content{"f": "1"}))
	s.scrubIfDue(t.Context())
	assert.NotContains(t, log.String(), "background check")
	assert.False(t, s.state.Load().Scrubbed.IsZero())
}

func TestAScrubThatEndedEarlyIsTriedAgain(t *testing.T) {
	dir := t.TempDir()
	files := content{"f": "1"}
	s := openStore(t, dir)
	follow(t, s, hold(t, s, "1.0.0", files))
	require.NoError(t, s.Close())
	rot(t, dir, files, "f")
	scrubbedAgo(t, dir, 8*24*time.Hour)
	s = openStore(t, dir, scrubbing(&bytes.Buffer{}))
	fewDescriptors(t, 1, func() { s.scrubIfDue(t.Context()) })
	require.True(t, s.HasTree(layerFor(files)), "it could not look")
	time.Sleep(time.Until(s.scrubs.rest)) // it took next to no time
	s.scrubIfDue(t.Context())
	assert.False(t, s.HasTree(layerFor(files)))
}

// What keeps a check from its end may last, and the disk must not be read for ever.
func TestAScrubThatEndedEarlyIsFollowedByARest(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	follow(t, s, hold(t, s, "1.0.0", content{"f": "1"}))
	require.NoError(t, s.Close())
	scrubbedAgo(t, dir, 8*24*time.Hour)
	var log bytes.Buffer
	s = openStore(t, dir, scrubbing(&log))
	fewDescriptors(t, 1, func() { s.scrubIfDue(t.Context()) })
	assert.True(t, s.scrubs.rest.After(s.started))
	s.scrubs.rest = time.Now().Add(time.Minute) // it took six seconds
	s.scrubIfDue(t.Context())
	assert.Equal(t, 1, strings.Count(log.String(), "background check"))
}

func TestAScrubOfAVolumeThatCannotBeWrittenIsNotRepeated(t *testing.T) {
	dir := smallVolume(t, "size=8m")
	s := openStore(t, dir)
	follow(t, s, hold(t, s, "1.0.0", content{"f": "1"}))
	require.NoError(t, s.Close())
	scrubbedAgo(t, dir, 8*24*time.Hour)
	require.NoError(t, unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	var log bytes.Buffer
	s = openStore(t, dir, scrubbing(&log))
	for range 3 { // minutes
		s.scrubIfDue(t.Context())
	}
	assert.Equal(t, 1, strings.Count(log.String(), "background check found no damage"))
}

// A site, or a test of one, that asks for less than the minute gets it.
func TestShortIntervalsAreKept(t *testing.T) {
	dir := t.TempDir()
	old, served := content{"f": "1"}, content{"f": "2"}
	s := openStore(t, dir, func(o *Options) { o.Keep, o.Grace, o.ScrubInterval = 0, 2*time.Second, 2*time.Second })
	follow(t, s, hold(t, s, "1.0.0", old))
	defer housekeeping(t, s)()
	follow(t, s, hold(t, s, "1.0.0", served))
	assert.Equal(t, 2, s.countTrees(), "in its grace")
	rot(t, dir, served, "f")
	require.Eventually(t, func() bool { return s.countTrees() == 1 }, 30*time.Second, 10*time.Millisecond)
	require.Eventually(t, func() bool { return !s.HasTree(layerFor(served)) }, 30*time.Second, 10*time.Millisecond)

	assert.Equal(t, housekeepInterval, pause(0), "never")
	assert.Equal(t, housekeepInterval, pause(168*time.Hour))
	assert.Equal(t, minHousekeepInterval, pause(time.Millisecond))
}

// A check of a large store takes hours. What goes out of use meanwhile is removed all the
// same, and what is damaged is mended.
func TestTheRestDoesNotWaitForAScrub(t *testing.T) {
	dir := t.TempDir()
	large, small := content{"large": strings.Repeat("x", 4*blockSize)}, content{"small": "1"}
	s := openStore(t, dir)
	top, low := hold(t, s, "2.0.0", large), hold(t, s, "1.0.0", small)
	follow(t, s, top, low)
	require.NoError(t, s.Close())
	scrubbedAgo(t, dir, 8*24*time.Hour)
	s = openStore(t, dir, func(o *Options) { o.Keep, o.ScrubInterval = 0, 7*24*time.Hour })
	s.scrubs.rate = 1

	defer housekeeping(t, s)()
	require.Eventually(t, func() bool { return users(s, layerFor(large)) == 2 }, 10*time.Second, time.Millisecond) // the view, and the check
	follow(t, s, top)
	require.Eventually(t, func() bool { return s.countTrees() == 1 }, 10*time.Second, time.Millisecond)
	assert.Equal(t, 2, users(s, layerFor(large)), "the check still goes on")
}

// housekeeping keeps a store until the function that it returns is called.
func housekeeping(t *testing.T, s *Store) (end func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { s.Housekeep(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}

// users is how many hold a tree.
func users(s *Store, layer digest.Digest) int {
	s.loaded.mu.Lock()
	defer s.loaded.mu.Unlock()
	if t := s.loaded.trees[layer]; t != nil {
		return t.users
	}
	return 0
}

// To measure a store reads every folder of it. What nothing has changed is as large as it
// was a minute ago.
func TestAStoreIsMeasuredWhenATreeHasComeOrGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, t.TempDir(), func(o *Options) { o.Keep = 0 })
		defer s.Close()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go s.Housekeep(ctx)
		measured := func() bool {
			time.Sleep(5 * housekeepInterval)
			synctest.Wait()
			return s.usage.Swap(-1) >= 0
		}
		assert.True(t, measured(), "at the start")
		assert.False(t, measured())
		one := hold(t, s, "1.0.0", content{"f": "1"})
		follow(t, s, one)
		assert.True(t, measured(), "one has come")
		assert.False(t, measured())
		follow(t, s, hold(t, s, "2.0.0", content{"f": "2"}))
		assert.True(t, measured(), "another has taken its place")
		assert.False(t, measured())

		hold(t, s, "0.9.0", content{"f": "0"})
		assert.True(t, measured())
		assert.False(t, measured())
		s.UnclaimAll("default")
		assert.True(t, measured(), "it is gone, for nobody has followed it")
		assert.Len(t, s.Releases(), 1)
		assert.False(t, measured())
	})
}

// A process that is to end does not wait for a walk through a large store.
func TestMeasuringEndsWithItsContext(t *testing.T) {
	s := openStore(t, t.TempDir())
	follow(t, s, hold(t, s, "1.0.0", content{"f": "1"}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.MeasureUsage(ctx)
	assert.ErrorIs(t, err, context.Canceled)
	assert.Zero(t, s.usage.Load(), "what was not measured to its end is not told")
}
