package poller

import (
	"math/rand/v2"
	"time"

	"github.com/specman/specman/internal/sync/oci"
)

const (
	// firstWait is the first wait after a failure while nothing is served yet:
	// somebody is waiting for the first tree.
	firstWait = time.Second
	// lockedOut is how many refused logins in a row are enough to stop trying,
	// so that many sites with one old password do not lock the account.
	lockedOut = 5
	// lockedOutWait is the wait between tries from then on, until the
	// credential changes.
	lockedOutWait = 30 * time.Minute
)

// pace decides how long to wait after each sync.
type pace struct {
	failures     int // syncs in a row that failed at the registry or the way to it
	unauthorized int // of them, those in a row that ended in 401
}

func (c *pace) reset() { *c = pace{} }

// next returns the wait after a sync.
func (c *pace) next(p *Poller, o Outcome) time.Duration {
	var retryAfter time.Duration
	backsOff, unauthorized := false, false
	for _, f := range o.Failures {
		backsOff = backsOff || f.backsOff()
		unauthorized = unauthorized || f.kind() == oci.Unauthorized
		retryAfter = max(retryAfter, f.retryAfter())
	}
	if !backsOff {
		c.reset()
		return jitter(p.Interval, 0.1)
	}
	c.failures++
	c.unauthorized++
	if !unauthorized {
		c.unauthorized = 0
	}
	if c.unauthorized >= lockedOut {
		return max(later(lockedOutWait, 0.1), retryAfter)
	}
	base := p.Interval
	if p.Store.Served() == nil {
		base = min(base, firstWait)
	}
	wait := min(base, p.MaxBackoff)
	for range c.failures - 1 {
		if wait = min(2*wait, p.MaxBackoff); wait == p.MaxBackoff {
			break
		}
	}
	return max(later(wait, -0.2), retryAfter)
}

// later spreads a wait by up to a share of it, one way.
func later(d time.Duration, share float64) time.Duration {
	return time.Duration(float64(d) * (1 + share*rand.Float64()))
}

// jitter spreads a wait by a share of it both ways, so that many replicas do
// not ask at the same moment.
func jitter(d time.Duration, share float64) time.Duration {
	return time.Duration(float64(d) * (1 + share*(2*rand.Float64()-1)))
}
