package e2e

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A sync that ends between any two of its durable steps leaves a store that
// serves a whole view, and that the next sync brings to the newest.
func TestCrashPoints(t *testing.T) {
	t.Run("first sync", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, crashing, &bulk{files: 20, size: 500})
		crashEverywhere(t, r, 8 /* tree, release, view: each has some */, func() (before string) {
			require.NoError(t, os.RemoveAll(r.dir))
			return ""
		})
	})
	t.Run("next sync", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, crashing, &bulk{files: 20, size: 500})
		crashEverywhere(t, r, 10 /* start and garbage too */, func() (before string) {
			r.must("sync")
			r.publish()
			return fmt.Sprint(r.newest - 1)
		})
	})
}

// crashEverywhere lets `specman sync` crash at its first durable step, its second,
// and so on, until one has so few that it ends. Prepare comes before each, and
// says which version is served then. There must be more than atLeast steps.
func crashEverywhere(t *testing.T, r *rig, atLeast int, prepare func() (before string)) {
	for step := 1; ; step++ {
		r.env = nil
		before := prepare()
		r.env = []string{fmt.Sprint("SPECMAN_CRASH_AT=", step)}
		ended := r.run("sync")
		if ended.status == 0 {
			assert.Greater(t, step, atLeast, "no more than %d steps were seen", step-1)
			return
		}
		require.Equal(t, -1, ended.status, "step %d: %s", step, ended.stderr)
		r.env = nil

		r.gate.close()
		r.start()
		r.assertNothingUnfinished()
		if r.status().Served == nil {
			require.Empty(t, before, "step %d: there was a view before it", step)
		} else {
			now := r.served(newClient(t, r.dir, true))
			require.Contains(t, []string{before, fmt.Sprint(r.newest)}, now, "step %d", step)
		}
		r.gate.open()
		r.sync()
		require.Equal(t, fmt.Sprint(r.newest), r.served(newClient(t, r.dir, true)), "step %d", step)
		require.Zero(t, r.running.terminate(t))
	}
}
