package poller

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/oci"
	"github.com/specman/specman/internal/sync/unpack"
)

// lostPause is how long a layer is not asked for again that the registry has no more,
// or not whole.
const lostPause = time.Hour

// mending is how the registry is asked for what is damaged. Its faults there are none of
// the sync, whose pace they do not slow: they have a pace of their own.
type mending struct {
	pace  pace
	until time.Time // nothing is asked for before
	with  string    // the fingerprint of the credentials that were refused
	// stumbled is when a layer last ended a sync's mending: it is asked for after the others.
	stumbled map[digest.Digest]time.Time
}

// mendHeld fetches anew what is damaged, held, and not followed: of a view that is
// pinned, or could be gone back to. A registry mostly still has a layer when its tag
// has moved on. What is damaged of what is followed, the sync itself brings. That it
// cannot be had is no failure of the sync: what is followed is as it should be.
func (s *pass) mendHeld(ctx context.Context) {
	damaged := s.Store.DamagedTrees()
	maps.DeleteFunc(s.lost, func(layer digest.Digest, _ time.Time) bool { return !slices.Contains(damaged, layer) })
	atOnce := s.ask.Force || s.ask.Mend
	if !atOnce && time.Now().Before(s.mending.until) && s.Source.Fingerprint() == s.mending.with {
		return
	}
	slices.SortStableFunc(damaged, func(a, b digest.Digest) int { return s.mending.stumbled[a].Compare(s.mending.stumbled[b]) })
	for _, layer := range damaged {
		r, ok := s.heldAside(layer)
		if !ok || !atOnce && time.Now().Before(s.lost[layer]) || s.Store.HasTree(layer) {
			continue
		}
		err := s.fetchAnew(ctx, r)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			f := fail(StageUnpack, r.Tag, r.Manifest.String(), err)
			cure := "if the registry has it no more, push its archive again and run `specman verify --repair`, or import it"
			if f.Stage == StageSpace {
				cure = f.Cure
			}
			s.log.Warn("A damaged release cannot be fetched anew", "tag", r.Tag, "manifest", r.Manifest, "error", err, "cure", cure)
			switch {
			case f.lost():
				s.mending = mending{}
				if s.lost == nil {
					s.lost = make(map[digest.Digest]time.Time)
				}
				s.lost[layer] = time.Now().Add(lostPause)
			case f.kind() != "" || f.endsSync(): // the others would end the same way
				s.pauseMending(layer, f)
				return
			}
			continue // the next sync asks again
		}
		s.mending = mending{}
		s.log.Info("A damaged release was fetched anew", "tag", r.Tag, "manifest", r.Manifest)
	}
}

// pauseMending puts off what is left after a layer that was not to be had. The first wait
// is the one for the next poll, if the registry does not ask for more.
func (s *pass) pauseMending(layer digest.Digest, f *Failure) {
	m := &s.mending
	if with := s.Source.Fingerprint(); with != m.with {
		*m = mending{with: with} // what was refused before says nothing of the new ones
	}
	if m.stumbled == nil {
		m.stumbled = make(map[digest.Digest]time.Time)
	}
	m.stumbled[layer] = time.Now()
	wait := m.pace.next(s.Poller, Outcome{Failures: []*Failure{f}})
	if m.pace.failures > 1 || f.retryAfter() > 0 {
		m.until = time.Now().Add(wait)
	}
}

// lost says whether asking for a layer again soon is in vain: it is gone, or is not what
// it was.
func (f *Failure) lost() bool {
	return f.refused || f.kind() == oci.Absent || f.kind() == oci.Corrupt
}

// heldAside finds a release with that layer that this source has brought, and that
// none of its follows is about.
func (s *pass) heldAside(layer digest.Digest) (found store.Release, ok bool) {
	for _, r := range s.Store.Releases() {
		if r.Source != s.Name || r.Layer != layer {
			continue
		}
		if slices.ContainsFunc(s.follows, func(f *follow) bool { return f.Reference == r.Tag && f.registry == r.Manifest }) {
			return store.Release{}, false
		}
		found, ok = r, true
	}
	return found, ok
}

// fetchAnew publishes the tree of a held release anew. It was judged when it was first
// had: the same digest is the same content.
func (s *pass) fetchAnew(ctx context.Context, r store.Release) error {
	layer := ocispec.Descriptor{Digest: r.Layer, Size: r.Size}
	// No release is removed to make room for this one.
	if err := s.room(layer, s.Store.CheckSpace); err != nil {
		return err
	}
	body, err := s.Source.Blob(ctx, layer)
	if err != nil {
		return err
	}
	defer body.Close()
	tree, err := unpack.Stream(ctx, s.Store, body, r.Layer, s.Limits)
	if err != nil {
		s.learnNeed(layer, err) // the next sync does not download it to find that out again
		return fmt.Errorf("unpack %s of %s: %w", r.Archive, r.Tag, err)
	}
	defer tree.Staging.Discard()
	return tree.Staging.Publish()
}
