package selector

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Followed is one tag or manifest that the selectors of a source ask for.
type Followed struct {
	// Reference is the tag, or the digest (sha256:…) where a manifest is named.
	Reference string
	// Selector is the index of the first selector that matches; the lower it is,
	// the higher the release lies in the view.
	Selector int
	// Named says that a selector names it exactly: then its absence, or an
	// artifact that is none of ours, is a failure.
	Named bool
	// ByPattern says that a pattern matches it.
	ByPattern bool
	// Sought says that it is the one tag that a constraint (semver:) asks for.
	Sought bool
}

// ByChance says whether it is followed only as one of all that match a pattern
// (versions, tags:): what is no archive of ours is passed over there, and not missed.
func (f Followed) ByChance() bool { return f.ByPattern && !f.Named && !f.Sought }

// Tag returns the tag, or "" where a manifest is named by its digest.
func (f Followed) Tag() string {
	if strings.HasPrefix(f.Reference, digestPrefix) {
		return ""
	}
	return f.Reference
}

// Choice is what [Choose] found.
type Choice struct {
	// Followed is ordered by selector. Within one, 0.0.0 comes first, whose true
	// place only its own content can tell ([Rank]), then the versions, highest
	// first, then all else: as near to the view's order, top first, as the names
	// alone can say.
	Followed []Followed
	// LeftOut are the tags that are not followed for maxReleases, highest first.
	LeftOut []string
}

// Choose applies the selectors of a source to the tags of its repository.
//
// Exactly named tags and digests are followed whether listed or not, and so is the
// one tag that a constraint (semver:) finds. What exclude names, tag or digest, is
// never followed. (A manifest that a tag turns out to resolve to is not seen here.)
// Of the tags that other patterns alone match, the maxReleases highest are followed,
// below 1 all of them: versions by precedence, then other tags, the last in byte order
// first. 0.0.0 is one of them whenever a pattern matches it.
//
// A named tag that a pattern matches too lies where the first of the two
// selectors puts it, even while the list does not hold it, so that a tag that
// vanishes keeps its place. Listed names that cannot be tags are passed over.
func Choose(tags []string, selectors []Selector, exclude []string, maxReleases int) Choice {
	candidates := candidateTags(tags, selectors, exclude)
	found := make(map[string]*Followed)
	follow := func(reference string, selector int) *Followed {
		if found[reference] == nil {
			found[reference] = &Followed{Reference: reference, Selector: selector}
		}
		return found[reference]
	}
	for i, s := range selectors {
		if s.Pattern() {
			for _, c := range s.match(candidates) {
				f := follow(c.name, i)
				f.ByPattern, f.Sought = true, f.Sought || s.one
			}
		} else if s.text != "" && !slices.Contains(exclude, s.text) {
			follow(s.text, i).Named = true
		}
	}
	return limit(candidates, found, maxReleases)
}

// candidateTag is a tag that a pattern may match.
type candidateTag struct {
	name      string
	version   version // if versioned
	versioned bool
	listed    bool // else only named by a selector
}

// CheckExcluded refuses what would exclude nothing, as a pattern. The error says what is
// allowed.
func CheckExcluded(text string) error {
	if !isTag(text) && !isDigest(text) {
		return fmt.Errorf("%q is neither a tag nor a digest; allowed are tags as 4.5.13 and whole digests as sha256:…, each by itself: there are no patterns", text)
	}
	return nil
}

// candidateTags returns the listed and the named tags, without doubles and
// without the excluded ones, highest first.
func candidateTags(tags []string, selectors []Selector, exclude []string) []candidateTag {
	var candidates []candidateTag
	seen := make(map[string]bool)
	for _, name := range exclude {
		seen[name] = true
	}
	add := func(name string, listed bool) {
		if seen[name] || !isTag(name) {
			return
		}
		seen[name] = true
		v, ok := parseVersion(name)
		candidates = append(candidates, candidateTag{name: name, version: v, versioned: ok, listed: listed})
	}
	for _, name := range tags {
		add(name, true)
	}
	for _, s := range selectors {
		if !s.Pattern() {
			add(s.text, false)
		}
	}
	slices.SortFunc(candidates, func(a, b candidateTag) int {
		// The zero version, of tags that are none, lies below all others.
		return -cmp.Or(a.version.compare(b.version), strings.Compare(a.name, b.name))
	})
	return candidates
}

// limit leaves out what maxReleases has no room for and puts the rest in order.
func limit(candidates []candidateTag, found map[string]*Followed, maxReleases int) Choice {
	room := maxReleases
	if maxReleases < 1 {
		room = len(candidates)
	}
	var choice Choice
	for _, c := range candidates {
		if f := found[c.name]; f != nil && c.version == unversioned {
			choice.Followed = append(choice.Followed, *f)
			if f.ByChance() {
				room--
			}
		}
	}
	for _, c := range candidates {
		f := found[c.name]
		if f == nil || c.version == unversioned {
			continue
		}
		if f.ByChance() && room <= 0 {
			choice.LeftOut = append(choice.LeftOut, c.name)
			continue
		}
		choice.Followed = append(choice.Followed, *f)
		if f.ByChance() {
			room--
		}
	}
	for _, f := range found {
		if f.Tag() == "" {
			choice.Followed = append(choice.Followed, *f)
		}
	}
	// No two digests share a selector, so the map's order does not show.
	slices.SortStableFunc(choice.Followed, func(a, b Followed) int {
		return cmp.Compare(a.Selector, b.Selector)
	})
	return choice
}
