package store

import (
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

// pass is one sync, as internal/sync/poller makes it, of a source that follows all tags
// of its registry, the highest on top.
type pass struct {
	*world
	source  string
	force   bool
	follows []*followed // top first
	failed  bool        // something could not be had
}

// followed is a tag on its way through a sync.
type followed struct {
	tag                     string
	pushed                  Release  // what the registry has
	release                 *Release // what it contributes, nil for nothing
	lost                    *Release // what it contributed and cannot be read
	forgotten, absent, gone bool     // what was pushed; its layer; the tag
}

func (w *world) sync(source string, force bool) {
	w.s.UnclaimAll(source)
	if force {
		_, err := w.s.UnforgetAll(source, "")
		require.NoError(w.t, err)
	}
	p := &pass{world: w, source: source, force: force}
	before := w.s.Following(source)
	for _, tag := range slices.Backward(sortedTags(w.registries[source])) {
		f := &followed{tag: tag, pushed: w.registries[source][tag]}
		p.contributed(f, before)
		p.follows = append(p.follows, f)
	}
	p.fetch()
	p.keepDisplaced(before)
	p.contribute()
	p.mendHeld()
	if p.takeMended() {
		p.contribute()
	}
	if _, err := w.s.ServePinned(); err != nil {
		require.ErrorIs(w.t, err, ErrNotHeld)
	}
}

// contributed finds what a tag contributed before: it may go on, or could if its tree were had.
func (p *pass) contributed(f *followed, before []Contribution) {
	n := slices.IndexFunc(before, func(c Contribution) bool { return c.Tag == f.tag && !p.s.Forgotten(c.Manifest) })
	if n < 0 {
		return
	}
	r, ok := p.s.Release(ReleaseKey{p.source, f.tag, before[n].Manifest})
	switch {
	case ok && p.s.canRead(r.Layer):
		f.release = &r
	case ok:
		f.lost = &r
	}
}

// fetch gets what is not held. Nobody lets go of the claims of what cannot be had.
func (p *pass) fetch() {
	var lacking []*followed
	for _, f := range p.follows {
		if p.force && p.s.Forgotten(f.pushed.Manifest) {
			require.NoError(p.t, p.s.Unforget(f.pushed.Manifest))
		}
		if p.s.Forgotten(f.pushed.Manifest) {
			f.forgotten = true
		} else if r, ok := p.s.Claim(f.pushed.Key()); ok {
			f.release = &r
		} else {
			lacking = append(lacking, f)
		}
	}
	for _, f := range lacking {
		p.s.ClaimTree(f.pushed)
	}
	for _, f := range lacking {
		if !p.s.HasTree(f.pushed.Layer) {
			if p.gone[f.pushed.Layer] {
				f.absent, p.failed = true, true
				continue
			}
			p.publish(f.pushed.Layer)
		}
		p.add(f.pushed)
		f.release = &f.pushed
		if p.s.Served() == nil {
			p.contribute() // somebody waits for the first view
		}
	}
}

// keepDisplaced has tags that are gone from the registry contribute on, one for each that
// is not to be had.
func (p *pass) keepDisplaced(before []Contribution) {
	lacking := 0
	for _, f := range p.follows {
		if f.release == nil {
			lacking++
		}
	}
	for _, c := range before {
		if _, listed := p.registries[p.source][c.Tag]; listed || lacking == 0 {
			continue
		}
		f := &followed{tag: c.Tag, gone: true}
		if p.contributed(f, before); f.release != nil {
			p.follows = append(p.follows, f)
			lacking--
		}
	}
	slices.SortStableFunc(p.follows, func(a, b *followed) int { return strings.Compare(b.tag, a.tag) })
}

func (p *pass) contribute() {
	var order, lost []Contribution
	for _, f := range p.follows {
		switch {
		case f.release != nil:
			order = append(order, Contribution{Tag: f.tag, Manifest: f.release.Manifest})
		case p.mayReturn(f):
			lost = append(lost, Contribution{Tag: f.tag, Manifest: f.lost.Manifest, Lost: true})
		}
	}
	if len(order) == 0 && p.failed {
		p.note("%s contributes what it did: there is nothing else", p.source)
		return
	}
	if len(lost) > 0 && (len(order) == 0 || p.s.Pinned() != nil || p.wouldLose(order)) {
		p.note("%s contributes what it did: it might be had again", p.source)
		return
	}
	_, err := p.s.Follow(p.source, slices.Concat(order, lost))
	require.NoError(p.t, err)
}

// mayReturn says whether nothing tells yet that what was lost is not to be had again.
func (p *pass) mayReturn(f *followed) bool {
	if f.lost == nil {
		return false
	}
	if f.pushed.Manifest != f.lost.Manifest && !p.vain[f.lost.Layer] && slices.Contains(p.s.DamagedTrees(), f.lost.Layer) {
		return true
	}
	return !f.gone && !f.forgotten && !f.absent
}

// wouldLose says whether something of this source is served that is no part of order.
func (p *pass) wouldLose(order []Contribution) bool {
	v := p.s.current.Load()
	return v != nil && slices.ContainsFunc(v.releases, func(r Release) bool {
		return r.Source == p.source && !slices.ContainsFunc(order, func(c Contribution) bool { return c.Tag == r.Tag && c.Manifest == r.Manifest })
	})
}

// mendHeld fetches anew what is damaged, held, and not what a tag is now.
func (p *pass) mendHeld() {
	for _, layer := range p.s.DamagedTrees() {
		if p.s.HasTree(layer) || !p.heldAside(layer) {
			continue
		}
		if p.vain[layer] = p.gone[layer]; !p.gone[layer] {
			p.publish(layer)
		}
	}
}

func (p *pass) heldAside(layer digest.Digest) (held bool) {
	for _, r := range p.s.Releases() {
		if r.Source != p.source || r.Layer != layer {
			continue
		}
		if slices.ContainsFunc(p.follows, func(f *followed) bool { return f.pushed.Key() == r.Key() }) {
			return false
		}
		held = true
	}
	return held
}

// takeMended has what was lost contribute again where it is whole now.
func (p *pass) takeMended() (any bool) {
	for _, f := range p.follows {
		if f.lost != nil && f.release == nil && p.s.HasTree(f.lost.Layer) {
			f.release, any = f.lost, true
		}
	}
	return any
}
