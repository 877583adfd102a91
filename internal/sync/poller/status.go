package poller

import (
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
)

// Result says how a sync ended.
type Result string

// The results. Every one but error is a success in the sense of "last success".
const (
	Success Result = "success" // something new was got or is served
	Noop    Result = "noop"    // everything is as it was
	Failed  Result = "error"   // something newly failed
)

// Outcome is what one sync did.
type Outcome struct {
	Result   Result     `json:"result"`
	Started  time.Time  `json:"started"`
	Ended    time.Time  `json:"ended"`
	Got      []string   `json:"got"` // tags of which a release was newly got
	Swapped  bool       `json:"swapped"`
	Failures []*Failure `json:"failures"`

	with string // the fingerprint of the credentials and certificates that it was made with
}

// Status is what is known of a source now.
type Status struct {
	Source              string     `json:"source"`
	Repository          string     `json:"repository"`
	LastAttempt         time.Time  `json:"lastAttempt,omitzero"`
	LastSuccess         time.Time  `json:"lastSuccess,omitzero"`
	NextAttempt         time.Time  `json:"nextAttempt,omitzero"`
	LastResult          Result     `json:"lastResult,omitempty"`
	Syncing             bool       `json:"syncing"`
	ConsecutiveFailures int        `json:"consecutiveFailures"`
	Failures            []*Failure `json:"failures"` // of the last sync
	Tags                int        `json:"tags"`     // in the repository
	Followed            []Followed `json:"followed"` // top first
	LeftOut             []string   `json:"leftOut"`  // matched, but beyond source.maxReleases
	Notices             []Notice   `json:"notices"`  // what a person should know
	Current             bool       `json:"current"`  // every followed release is served at the registry's digest
}

// Followed is one tag that the source's selectors ask for.
type Followed struct {
	Tag string `json:"tag"`
	// Registry is the digest that the tag resolved to when last asked.
	Registry digest.Digest `json:"registryDigest,omitempty"`
	// Contributes is the digest of the release that the tag contributes to the view.
	Contributes digest.Digest `json:"contributes,omitempty"`
	Rank        string        `json:"rank,omitempty"` // why it lies where it lies
	State       FollowState   `json:"state"`
}

// FollowState says how what is contributed relates to the registry.
type FollowState string

// The states of a followed tag.
const (
	Current    FollowState = "current"     // contributes what the registry has
	Behind     FollowState = "behind"      // contributes an older digest: the new one is not to be had
	Missing    FollowState = "missing"     // contributes nothing
	Refused    FollowState = "refused"     // the registry's digest is refused; an older one may be contributed
	Vanished   FollowState = "vanished"    // gone from the registry; contributes what it had
	Unknown    FollowState = "unknown"     // the registry could not be asked; contributes what it had
	PassedOver FollowState = "passed over" // holds no archive; a pattern matched it by chance
	Forgotten  FollowState = "forgotten"   // taken out by hand; an older digest may be contributed
	Excluded   FollowState = "excluded"    // by source.exclude; an older digest is contributed
	StandsIn   FollowState = "stands in"   // not selected any more; contributes until what took its place is to be had
)

// Refused says whether the tag's digest in the registry is.
func (f Followed) Refused() bool { return f.State == Refused }

// Notice is something that a person should know while it stands.
type Notice struct {
	What string `json:"what"`
	Cure string `json:"cure"`
	// logged says that this sync has already logged it as a failure.
	logged bool
	about  string // the tag, or digest, that it is about; "" if it is about none
}

// Status returns a copy of what is known now. What the registry said is of the last sync;
// what is served of it, and what that view gives rise to, is of this moment: somebody may
// have gone back since, or have taken a release out.
func (p *Poller) Status() Status {
	p.mu.Lock()
	st := p.status // its slices are replaced, never changed
	p.mu.Unlock()
	st.Current = st.Current && p.Store.Follows()
	st.Followed, st.Notices = slices.Clone(st.Followed), slices.Clone(st.Notices)
	for n := range st.Followed {
		p.forgetIn(&st, &st.Followed[n])
	}
	st.Notices = append(st.Notices, p.viewNotices()...)
	return st
}

// forgetIn brings a status up to date with what was forgotten since the last sync.
func (p *Poller) forgetIn(st *Status, t *Followed) {
	manifest := t.Contributes
	if manifest == "" || !p.Store.Forgotten(manifest) || t.State == Forgotten {
		return
	}
	t.Contributes, t.Rank = "", ""
	if t.Registry == "" || t.Registry == manifest {
		t.State = Forgotten
		st.Notices = slices.DeleteFunc(st.Notices, func(n Notice) bool { return n.about == t.Tag })
		st.Notices = append(st.Notices, forgottenNotice(t.Tag, manifest))
	}
}

func (p *Poller) setNext(at time.Time, backedOff bool) {
	p.mu.Lock()
	p.status.NextAttempt, p.backedOff = at.UTC(), backedOff
	p.mu.Unlock()
	p.Metrics.next(p.Name, at)
}

// tell makes the status say what this sync found.
func (s *pass) tell(st *Status) {
	st.Tags, st.LeftOut, st.Followed = len(s.seen.tags), s.leftOut, nil
	st.Current = len(s.follows) > 0
	for _, f := range s.follows {
		t := Followed{Tag: f.Reference, Registry: f.registry, Rank: f.rank, State: f.state()}
		if f.release != nil {
			t.Contributes = f.release.Manifest
		}
		switch t.State {
		case Current, PassedOver, StandsIn, Forgotten, Excluded: // what was forgotten, or excluded, is not followed
		default:
			st.Current = false
		}
		st.Followed = append(st.Followed, t)
	}
}

func (f *follow) state() FollowState {
	switch {
	case f.passedOver && f.release != nil:
		return Behind
	case f.passedOver:
		return PassedOver
	case f.vanished && f.release != nil:
		return Vanished
	case f.standsIn:
		return StandsIn
	case f.refusal != nil:
		return Refused
	case f.forgotten:
		return Forgotten
	case f.excluded:
		return Excluded
	case f.release == nil:
		return Missing
	case !f.asked && (f.registry == "" || f.registry == f.release.Manifest):
		return Unknown
	case f.registry != f.release.Manifest, f.failure != nil:
		return Behind // by digest, or because it is damaged and not to be had anew
	}
	return Current
}
