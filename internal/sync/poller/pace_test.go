package poller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/config"
	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/oci"
)

// polling runs a poller in fake time for a while and returns when each sync began.
func polling(t *testing.T, d time.Duration, prepare func(r *rig), meanwhile func(r *rig)) (starts []time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(context.Background(), store.Options{Dir: t.TempDir()})
		require.NoError(t, err)
		defer s.Close()
		r := newRigOn(t, s, newRegistry())
		if prepare != nil {
			prepare(r)
		}
		begin := time.Now()
		fail := r.registry.fail
		r.registry.fail = func(call string) error {
			if call == "tags" {
				starts = append(starts, time.Since(begin))
			}
			if fail != nil {
				return fail(call)
			}
			return nil
		}
		ctx, cancel := context.WithTimeout(context.Background(), d)
		defer cancel()
		done := make(chan struct{})
		go func() { r.poller.Run(ctx); close(done) }()
		if meanwhile != nil {
			meanwhile(r)
		}
		<-done
	})
	return starts
}

func waits(starts []time.Duration) (all []time.Duration) {
	for n := range starts[1:] {
		all = append(all, starts[n+1]-starts[n])
	}
	return all
}

func served(t *testing.T) func(*rig) {
	return func(r *rig) {
		r.registry.push(t, "1.0.0", day(1), files{"a": "one"})
		r.sync()
	}
}

func failAlways(err error) func(string) error { return func(string) error { return err } }

func TestPollsKeepTheInterval(t *testing.T) {
	starts := polling(t, time.Hour, served(t), nil)
	require.NotEmpty(t, starts)
	assert.Zero(t, starts[0], "the first poll is at once")
	for _, w := range waits(starts) {
		assert.InDelta(t, time.Minute, w, float64(6*time.Second))
	}
}

func TestBackOff(t *testing.T) {
	down := &oci.Error{Kind: oci.Unavailable, Status: 503, Err: errors.New("down")}
	t.Run("grows to its ceiling", func(t *testing.T) {
		all := waits(polling(t, 2*time.Hour, func(r *rig) { served(t)(r); r.registry.fail = failAlways(down) }, nil))
		for n, want := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 5 * time.Minute, 5 * time.Minute} {
			assert.InDelta(t, want, all[n], 0.21*float64(want), "wait %d", n)
		}
	})
	t.Run("is eager until something is served", func(t *testing.T) {
		all := waits(polling(t, 10*time.Minute, func(r *rig) { r.registry.fail = failAlways(down) }, nil))
		for n, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second} {
			assert.InDelta(t, want, all[n], 0.21*float64(want), "wait %d", n)
		}
	})
	t.Run("honours Retry-After in full", func(t *testing.T) {
		limited := &oci.Error{Kind: oci.RateLimited, Status: 429, RetryAfter: time.Hour, Err: errors.New("slow down")}
		all := waits(polling(t, 3*time.Hour, func(r *rig) { served(t)(r); r.registry.fail = failAlways(limited) }, nil))
		require.NotEmpty(t, all)
		for _, w := range all {
			assert.GreaterOrEqual(t, w, time.Hour)
		}
	})
	t.Run("is ended by a success", func(t *testing.T) {
		starts := polling(t, time.Hour, func(r *rig) {
			served(t)(r)
			n := 0
			r.registry.fail = func(call string) error {
				if call == "tags" {
					n++
				}
				if n <= 4 {
					return down
				}
				return nil
			}
		}, nil)
		for _, w := range waits(starts)[5:] {
			assert.InDelta(t, time.Minute, w, float64(6*time.Second))
		}
	})
	t.Run("a bad archive is no reason", func(t *testing.T) {
		starts := polling(t, time.Hour, func(r *rig) {
			served(t)(r)
			r.registry.pushBytes(t, "2.0.0", day(1), []byte("no archive"))
		}, nil)
		for _, w := range waits(starts) {
			assert.InDelta(t, time.Minute, w, float64(6*time.Second))
		}
	})
}

// A tag that is asked for by its name and is not there slows the polls, whether it was
// there before or not; one that a pattern selects no more does not.
func TestBackOffFromAnAbsentTag(t *testing.T) {
	for name, row := range map[string]struct {
		selects []string
		remove  bool
		last    time.Duration // the wait that it comes to
	}{
		"named, never pushed": {[]string{"0.0.0", "versions"}, false, 5 * time.Minute},
		"named, vanished":     {[]string{"2.0.0", "versions"}, true, 5 * time.Minute},
		"of a pattern":        {[]string{"versions"}, true, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			all := waits(polling(t, time.Hour, func(r *rig) {
				r.poller.Select = selectors(t, row.selects...)
				r.registry.push(t, "2.0.0", day(1), files{"b": "two"})
				served(t)(r)
				if row.remove {
					r.registry.remove("2.0.0")
				}
			}, nil))
			assert.InDelta(t, row.last, all[len(all)-1], 0.21*float64(row.last))
		})
	}
}

func TestAWrongPasswordDoesNotLockTheAccount(t *testing.T) {
	unauthorized := &oci.Error{Kind: oci.Unauthorized, Status: 401, Err: errors.New("no")}
	t.Run("one try in half an hour after five", func(t *testing.T) {
		starts := polling(t, 24*time.Hour, func(r *rig) { served(t)(r); r.registry.fail = failAlways(unauthorized) }, nil)
		assert.LessOrEqual(t, len(starts), 5+49)
		for _, w := range waits(starts)[4:] {
			assert.InDelta(t, 30*time.Minute, w, float64(3*time.Minute))
		}
	})
	t.Run("a changed credential is tried at once", func(t *testing.T) {
		starts := polling(t, 24*time.Hour, func(r *rig) { served(t)(r); r.registry.fail = failAlways(unauthorized) }, func(r *rig) {
			time.Sleep(12 * time.Hour)
			r.registry.login("new")
		})
		var found bool
		for _, at := range starts {
			found = found || at >= 12*time.Hour && at <= 12*time.Hour+watchInterval
		}
		assert.True(t, found, "%v", starts)
	})
}

// The waits that lie above source.maxBackoff are told where people set that.
func TestLongerWaitsAreDocumented(t *testing.T) {
	keys := config.Keys()
	n := slices.IndexFunc(keys, func(k config.Key) bool { return k.Name == "source.maxBackoff" })
	require.GreaterOrEqual(t, n, 0)
	assert.Contains(t, keys[n].Help, fmt.Sprintf("%.0f minutes", lockedOutWait.Minutes()))
	assert.Contains(t, keys[n].Help, "Retry-After")
}

func TestTriggersCoalesceAndSkipTheWait(t *testing.T) {
	starts := polling(t, time.Minute/2, func(r *rig) {
		served(t)(r)
		r.registry.fail = func(call string) error {
			if call == "tags" {
				time.Sleep(5 * time.Second)
			}
			return nil
		}
	}, func(r *rig) {
		// While a sync is under way none of them can begin another before the others are there.
		time.Sleep(3 * time.Second)
		for range 5 {
			r.poller.Trigger()
		}
	})
	assert.Equal(t, []time.Duration{0, 5 * time.Second}, starts)
}

func TestSyncReturnsTheOutcomeOfASyncThatBeganAfterIt(t *testing.T) {
	polling(t, time.Minute/2, served(t), func(r *rig) {
		time.Sleep(time.Second)
		r.registry.push(t, "2.0.0", day(2), files{"a": "two"})
		outcome, err := r.poller.Sync(context.Background(), Ask{})
		require.NoError(t, err)
		assert.Equal(t, Success, outcome.Result)
		assert.True(t, strings.HasPrefix(outcome.Got[0], "2.0.0"))
		r.serves(files{"a": "two"})
	})
}

func TestWhoWaitsForAnEndedPollerIsTold(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r.poller.Run(ctx)
	_, err := r.poller.Sync(context.Background(), Ask{})
	assert.ErrorIs(t, err, ErrEnded)
}
