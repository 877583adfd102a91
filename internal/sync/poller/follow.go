package poller

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/selector"
)

// follow begins to follow a tag with what is known before the registry is asked:
// what it contributes, and what the registry said last.
func (s *pass) follow(of selector.Followed, before []store.Contribution) *follow {
	f := &follow{Followed: of, registry: s.seen.digests[of.Reference]}
	for _, c := range before {
		if c.Tag == of.Reference {
			f.release, f.lost = s.contributed(c)
		}
	}
	f.forgotten = !s.ask.Force && s.Store.Forgotten(f.registry)
	f.excluded = s.excludes(f.registry)
	return f
}

// contributed returns the release of a contribution that may stay, nil if it may
// not; lost is one that might, if its tree could be read. A tree with a damaged file
// stays until a whole one takes its place.
func (s *pass) contributed(c store.Contribution) (r, lost *store.Release) {
	if s.Store.Forgotten(c.Manifest) || s.excludes(c.Manifest) {
		return nil, nil
	}
	held, ok := s.Store.Release(store.ReleaseKey{Source: s.Name, Tag: c.Tag, Manifest: c.Manifest})
	if !ok {
		return nil, nil
	}
	// Each poll comes by here, and a view of a large tree is dear to make: it is
	// left to those that are not whole.
	if s.Store.HasTree(held.Layer) {
		return &held, nil
	}
	v, err := s.Store.AcquireTree(held.Layer)
	if err != nil {
		return nil, &held
	}
	v.Close()
	return &held, nil
}

// mayReturn says whether a follow lost what it contributed, and nothing says yet that
// it is not to be had again.
func (s *pass) mayReturn(f *follow) bool {
	if f.lost == nil || f.release != nil {
		return false
	}
	if f.registry != f.lost.Manifest { // mendHeld asks for its layer, whatever has become of the tag
		if _, inVain := s.lost[f.lost.Layer]; !inVain && slices.Contains(s.Store.DamagedTrees(), f.lost.Layer) {
			return true
		}
	}
	return !f.vanished && f.refusal == nil && !f.forgotten && !f.excluded && (f.failure == nil || !f.failure.lost())
}

// takeMended has what was lost contribute again where its tree is whole now. It reports
// whether there is any.
func (s *pass) takeMended() (any bool) {
	for _, f := range s.follows {
		if f.lost != nil && f.release == nil && s.Store.HasTree(f.lost.Layer) {
			f.release, f.lost, any = f.lost, nil, true
		}
	}
	return any
}

// recall notes what is remembered against the registry's digest of a follow. It reports
// whether there is anything.
func (s *pass) recall(f *follow) (refused bool) {
	f.refusal = s.refusalOf(f)
	f.passedOver = f.refusal != nil && f.refusal.Stage == string(PassedOver)
	return f.refusal != nil
}

func (s *pass) refusalOf(f *follow) *store.Refusal {
	for _, r := range s.Store.Refusals(s.Name) {
		if r.Stage == string(StageGate) && r.Tag != f.Reference {
			continue // it was judged beside the others of that tag
		}
		// The policy is a digest to be made, and most manifests were never refused.
		if r.Manifest == f.registry && (r.Policy == s.policy(!f.ByChance()) || r.Policy == s.policyBeside(f)) {
			return &r
		}
	}
	return nil
}

// policyBeside is the policy for a release without which, or with which, the view would
// lack a required path: another release may bring it, so when anything else is on offer,
// here or from another source, the release is judged again.
func (s *pass) policyBeside(f *follow) string {
	sum := sha256.New()
	for _, o := range s.follows {
		if o != f {
			fmt.Fprintf(sum, "%q %q ", o.Reference, o.registry)
		}
	}
	for _, r := range s.others {
		fmt.Fprintf(sum, "%q ", r.Key())
	}
	return fmt.Sprintf("%s beside %x", s.policy(!f.ByChance()), sum.Sum(nil)[:8])
}

// found notes what the registry says of a follow now.
func (s *pass) found(f *follow, registry digest.Digest) {
	f.registry, f.asked, f.refusal, f.passedOver, f.forgotten = registry, true, nil, false, false
	f.excluded = s.excludes(registry)
	if s.seen.digests == nil {
		s.seen.digests = make(map[string]digest.Digest)
	}
	s.seen.digests[f.Reference] = registry
}

// gone notes that the registry does not have a follow any more.
func (s *pass) gone(f *follow) {
	f.registry, f.vanished, f.refusal, f.passedOver, f.forgotten, f.excluded = "", true, nil, false, false, false
	delete(s.seen.digests, f.Reference)
}

// excludes says whether a manifest is never to be followed.
func (s *pass) excludes(manifest digest.Digest) bool {
	return slices.Contains(s.Exclude, manifest.String())
}

// dropExcluded ends the following of what turned out to be an excluded manifest, but for a
// tag that had another one before: it goes on contributing that.
func (s *pass) dropExcluded() {
	s.follows = slices.DeleteFunc(s.follows, func(f *follow) bool { return f.excluded && f.release == nil && f.lost == nil })
}

// keepDisplaced has what a pattern selected before contribute on where the
// pattern has turned to a tag that is not to be had: a bad highest version must
// not take away the one below it.
func (s *pass) keepDisplaced() {
	lacking, passed, had := make(map[int]int), make(map[int]int), make(map[int]bool) // by selector
	followed := make(map[string]bool)
	for _, f := range s.follows {
		followed[f.Reference] = true
		switch {
		case f.release != nil:
			had[f.Selector] = true
		case f.passedOver:
			passed[f.Selector]++
		case f.ByPattern && !f.Named:
			lacking[f.Selector]++
		}
	}
	for selector, n := range passed {
		if !had[selector] { // it chose nothing but what is no archive
			lacking[selector] += n
		}
	}
	before := s.Store.Following(s.Name)
	for _, k := range s.kept {
		if followed[k.Reference] || lacking[k.Selector] == 0 {
			continue
		}
		f := s.follow(k, before)
		if f.release == nil {
			continue
		}
		s.recall(f)
		f.standsIn = true
		lacking[k.Selector]--
		s.follows = append(s.follows, f)
	}
}
