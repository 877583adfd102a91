package selector

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Candidate is one release of a source, with all that its place depends on.
type Candidate struct {
	// Selector is the index of the selector that it counts for ([Followed]).
	Selector int
	// Tag is "" for a manifest that is named by its digest.
	Tag string
	// Manifest is the manifest's digest.
	Manifest string
	// Created is org.opencontainers.image.created of the manifest; zero if
	// unknown.
	Created time.Time
	// IndexVersion is what [HighestIndexVersion] says of the release's tree. It
	// counts for 0.0.0 only.
	IndexVersion string
}

// Ranked is a candidate in its place.
type Ranked struct {
	Candidate
	// Reason says in a few words for people why it lies where it lies.
	Reason string
}

// Rank orders releases, the top of the view first: by selector, and within one
// selector
//
//   - tags that are semantic versions (a leading v and a pre-release allowed) by
//     precedence, highest on top. Dates play no part: copies and mirrors keep the
//     vendor's.
//   - 0.0.0 (or v0.0.0), which has no version of its own, above the tags of the
//     version that its index lists. Without an index it lies directly above the
//     highest version that was created before it, and below all versions if none
//     is known to be so.
//   - below them all other tags and manifests named by digest, newest on top,
//     those of unknown date last.
//
// Ties, such as v4.5.0 with 4.5.0, go to the tag that is last in byte order, as
// 2024-12-02 goes before 2024-12-01, then to the manifest that is. So the order is
// total: it is the same for any order of the input.
func Rank(candidates []Candidate) []Ranked {
	type placed struct {
		Ranked
		place place
	}
	all := make([]placed, 0, len(candidates))
	for _, c := range candidates {
		p, reason := placeOf(c, candidates)
		all = append(all, placed{Ranked{Candidate: c, Reason: reason}, p})
	}
	slices.SortFunc(all, func(a, b placed) int {
		return cmp.Or(cmp.Compare(a.Selector, b.Selector), b.place.compare(a.place))
	})
	ranked := make([]Ranked, 0, len(all))
	for _, p := range all {
		ranked = append(ranked, p.Ranked)
	}
	return ranked
}

// place is where a release lies within its selector: the greater, the higher.
// Fields count in their order.
type place struct {
	class   int     // one of the constants below
	version version // if class is amongVersions
	level   int     // beside the tags of that version: at 0; above all of them at 1
	beside  string  // the tag of that version that it is, or lies directly above
	// created is zero for a tag with a version, so that dates play no part there
	// and a 0.0.0 beside it, whose date is known, lies above it.
	created time.Time
	// The rest makes the order total.
	tag, manifest string
}

const (
	belowVersions = iota
	lowestVersion // 0.0.0 of which nothing is known
	amongVersions
)

func (p place) compare(q place) int {
	return cmp.Or(
		cmp.Compare(p.class, q.class),
		p.version.compare(q.version),
		cmp.Compare(p.level, q.level),
		strings.Compare(p.beside, q.beside),
		p.created.Compare(q.created),
		strings.Compare(p.tag, q.tag),
		strings.Compare(p.manifest, q.manifest),
	)
}

// placeOf finds the place of c among all candidates and says why.
func placeOf(c Candidate, all []Candidate) (place, string) {
	p := place{tag: c.Tag, manifest: c.Manifest}
	v, isVersion := parseVersion(c.Tag)
	switch {
	case !isVersion:
		p.class, p.created = belowVersions, c.Created
		return p, notVersionReason(c)
	case v != unversioned:
		p.class, p.version, p.beside = amongVersions, v, c.Tag
		return p, "version " + strings.TrimPrefix(c.Tag, "v")
	}

	p.created = c.Created
	if listed, ok := parseIndexVersion(c.IndexVersion); ok {
		p.class, p.version, p.level = amongVersions, listed, 1
		return p, c.Tag + ": its index lists " + c.IndexVersion
	}
	if c.Created.IsZero() {
		p.class = lowestVersion
		return p, c.Tag + ": no index, no creation date"
	}
	older, ok := highestOlder(c, all)
	if !ok {
		p.class = lowestVersion
		return p, c.Tag + ": no index; no version is older (" + createdText(c) + ")"
	}
	p.class, p.version, p.beside = amongVersions, older.version, older.beside
	return p, c.Tag + ": no index; newer than " + older.beside + " (" + createdText(c) + ")"
}

// highestOlder returns the place of the highest version tag under c's selector
// that is known to have been created before c.
func highestOlder(c Candidate, all []Candidate) (highest place, found bool) {
	for _, other := range all {
		v, ok := parseVersion(other.Tag)
		if !ok || v == unversioned || other.Selector != c.Selector ||
			other.Created.IsZero() || !other.Created.Before(c.Created) {
			continue
		}
		p := place{class: amongVersions, version: v, beside: other.Tag}
		if !found || p.compare(highest) > 0 {
			highest, found = p, true
		}
	}
	return highest, found
}

func notVersionReason(c Candidate) string {
	subject := "no version"
	if c.Tag == "" {
		subject = "named by digest"
	}
	return subject + ": " + createdText(c)
}

func createdText(c Candidate) string {
	if c.Created.IsZero() {
		return "no creation date"
	}
	return "created " + c.Created.UTC().Format(time.RFC3339)
}
