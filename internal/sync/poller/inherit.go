package poller

import "maps"

// Inherit has the poller begin with what another one knows of the same repository. To be
// called when the other has ended, and this one has not begun. What the other would not
// have asked for again so soon is asked for: a changed configuration may be the cure.
func (p *Poller) Inherit(other *Poller) {
	other.running.Lock()
	seen, needs := other.seen, maps.Clone(other.needs)
	seen.digests = maps.Clone(seen.digests)
	other.running.Unlock()
	p.running.Lock()
	p.seen, p.needs = seen, needs
	p.running.Unlock()

	before := other.Status()
	p.mu.Lock()
	p.status.LastSuccess, p.status.ConsecutiveFailures = before.LastSuccess, before.ConsecutiveFailures
	p.mu.Unlock()
}
