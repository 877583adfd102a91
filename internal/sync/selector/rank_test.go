package selector

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// day is a date of December 2024; 0 is unknown.
func day(n int) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Date(2024, 12, n, 12, 0, 0, 0, time.UTC)
}

func TestRank(t *testing.T) {
	const created6 = " (created 2024-12-06T12:00:00Z)"
	for name, row := range map[string]struct {
		candidates []Candidate
		want       []string // tag: reason, top first
	}{
		"versions by precedence, whatever their dates": {
			[]Candidate{
				{Tag: "4.9.0", Created: day(9)}, {Tag: "4.10.0", Created: day(1)}, {Tag: "v4.5.13"},
				{Tag: "4.10.0-rc.1", Created: day(8)}, {Tag: strings.Repeat("9", 30) + ".0.0"},
			},
			[]string{
				"999999999999999999999999999999.0.0: version 999999999999999999999999999999.0.0", "4.10.0: version 4.10.0",
				"4.10.0-rc.1: version 4.10.0-rc.1", "4.9.0: version 4.9.0", "v4.5.13: version 4.5.13",
			},
		},
		"equal versions by tag": {
			[]Candidate{{Tag: "4.5.0", Created: day(9)}, {Tag: "v4.5.0", Created: day(1)}},
			[]string{"v4.5.0: version 4.5.0", "4.5.0: version 4.5.0"},
		},
		"selectors before all else": {
			[]Candidate{
				{Selector: 1, Tag: "5.0.0"}, {Selector: 0, Tag: "latest"}, {Selector: 2, Tag: "0.0.0", IndexVersion: "9.9.9"},
			},
			[]string{"latest: no version: no creation date", "5.0.0: version 5.0.0", "0.0.0: 0.0.0: its index lists 9.9.9"},
		},
		"0.0.0 above the version that its index lists": {
			[]Candidate{{Tag: "4.5.13"}, {Tag: "4.5.11"}, {Tag: "0.0.0", IndexVersion: "4.5.13"}},
			[]string{"0.0.0: 0.0.0: its index lists 4.5.13", "4.5.13: version 4.5.13", "4.5.11: version 4.5.11"},
		},
		"and above every spelling of it": {
			[]Candidate{{Tag: "v4.5.13"}, {Tag: "4.5.13"}, {Tag: "0.0.0", IndexVersion: "v4.5.13"}},
			[]string{"0.0.0: 0.0.0: its index lists v4.5.13", "v4.5.13: version 4.5.13", "4.5.13: version 4.5.13"},
		},
		"under the next upgrade, however old that is": {
			[]Candidate{{Tag: "4.6.0", Created: day(1)}, {Tag: "0.0.0", IndexVersion: "4.5.13", Created: day(9)}, {Tag: "4.5.13"}},
			[]string{"4.6.0: version 4.6.0", "0.0.0: 0.0.0: its index lists 4.5.13", "4.5.13: version 4.5.13"},
		},
		"MAJOR.MINOR is its first patch": {
			[]Candidate{{Tag: "4.10.1"}, {Tag: "0.0.0", IndexVersion: "4.10"}, {Tag: "4.10.0"}, {Tag: "4.9.9"}},
			[]string{
				"4.10.1: version 4.10.1", "0.0.0: 0.0.0: its index lists 4.10", "4.10.0: version 4.10.0", "4.9.9: version 4.9.9",
			},
		},
		"an index of a version that nobody has": {
			[]Candidate{{Tag: "4.5.13"}, {Tag: "0.0.0", IndexVersion: "4.2.0"}, {Tag: "4.0.0"}},
			[]string{"4.5.13: version 4.5.13", "0.0.0: 0.0.0: its index lists 4.2.0", "4.0.0: version 4.0.0"},
		},
		"the index of a tag with a version counts for nothing": {
			[]Candidate{{Tag: "4.5.13"}, {Tag: "4.5.11", IndexVersion: "9.0.0"}},
			[]string{"4.5.13: version 4.5.13", "4.5.11: version 4.5.11"},
		},
		"the guide: 0.0.0 freshly pushed without an index": {
			[]Candidate{{Tag: "4.5.11", Created: day(1)}, {Tag: "4.5.13", Created: day(2)}, {Tag: "0.0.0", Created: day(6)}},
			[]string{
				"0.0.0: 0.0.0: no index; newer than 4.5.13" + created6, "4.5.13: version 4.5.13", "4.5.11: version 4.5.11",
			},
		},
		"without an index: directly above the highest that is older": {
			[]Candidate{
				{Tag: "4.7.0", Created: day(6)}, {Tag: "4.6.0"}, {Tag: "4.5.13", Created: day(5)},
				{Tag: "4.5.11", Created: day(9)}, {Tag: "0.0.0", Created: day(6)}, {Tag: "latest", Created: day(1)},
			},
			[]string{
				"4.7.0: version 4.7.0", "4.6.0: version 4.6.0", "0.0.0: 0.0.0: no index; newer than 4.5.13" + created6,
				"4.5.13: version 4.5.13", "4.5.11: version 4.5.11", "latest: no version: created 2024-12-01T12:00:00Z",
			},
		},
		"directly, among equal versions too": {
			[]Candidate{{Tag: "v4.5.13", Created: day(9)}, {Tag: "4.5.13", Created: day(1)}, {Tag: "0.0.0", Created: day(6)}},
			[]string{
				"v4.5.13: version 4.5.13", "0.0.0: 0.0.0: no index; newer than 4.5.13" + created6, "4.5.13: version 4.5.13",
			},
		},
		"an index that is no version is none": {
			[]Candidate{{Tag: "4.5.13", Created: day(1)}, {Tag: "0.0.0", Created: day(6), IndexVersion: "newest"}},
			[]string{"0.0.0: 0.0.0: no index; newer than 4.5.13" + created6, "4.5.13: version 4.5.13"},
		},
		"a version of unknown date is not older": {
			[]Candidate{{Tag: "4.5.13"}, {Tag: "0.0.0", Created: day(6)}, {Tag: "latest", Created: day(9)}},
			[]string{
				"4.5.13: version 4.5.13", "0.0.0: 0.0.0: no index; no version is older" + created6,
				"latest: no version: created 2024-12-09T12:00:00Z",
			},
		},
		"only versions of its own selector matter": {
			[]Candidate{
				{Selector: 1, Tag: "4.5.13", Created: day(1)}, {Selector: 1, Tag: "4.5.11"}, {Tag: "0.0.0", Created: day(6)},
				{Selector: 2, Tag: "v0.0.0", Created: day(6)}, {Selector: 2, Tag: "4.0.0"},
			},
			[]string{
				"0.0.0: 0.0.0: no index; no version is older" + created6, "4.5.13: version 4.5.13", "4.5.11: version 4.5.11",
				"4.0.0: version 4.0.0", "v0.0.0: v0.0.0: no index; no version is older" + created6,
			},
		},
		"0.0.0 of which nothing is known: the lowest of the versions": {
			[]Candidate{{Tag: "0.0.1", Created: day(1)}, {Tag: "0.0.0"}, {Tag: "0.0.0-rc.1"}, {Tag: "latest", Created: day(9)}},
			[]string{
				"0.0.1: version 0.0.1", "0.0.0-rc.1: version 0.0.0-rc.1", "0.0.0: 0.0.0: no index, no creation date",
				"latest: no version: created 2024-12-09T12:00:00Z",
			},
		},
		"0.0.0 and v0.0.0": {
			[]Candidate{
				{Tag: "4.5.13", Created: day(1)}, {Tag: "0.0.0", Created: day(6)}, {Tag: "v0.0.0", IndexVersion: "4.5.13"},
				{Tag: "4.5.11", Created: day(1)},
			},
			[]string{
				"v0.0.0: v0.0.0: its index lists 4.5.13", "0.0.0: 0.0.0: no index; newer than 4.5.13" + created6,
				"4.5.13: version 4.5.13", "4.5.11: version 4.5.11",
			},
		},
		"0.0.0 does not lean on v0.0.0": {
			[]Candidate{{Tag: "0.0.0", Created: day(6)}, {Tag: "v0.0.0", Created: day(1)}, {Tag: "0.0.0-rc.1", Created: day(9)}},
			[]string{
				"0.0.0-rc.1: version 0.0.0-rc.1", "0.0.0: 0.0.0: no index; no version is older" + created6,
				"v0.0.0: v0.0.0: no index; no version is older (created 2024-12-01T12:00:00Z)",
			},
		},
		"no versions: the newest on top, then the tag": {
			[]Candidate{
				{Tag: "a"}, {Tag: "b"}, {Tag: "x", Created: day(1)}, {Tag: "y", Created: day(2)}, {Tag: "z", Created: day(1)}, {Tag: "04.5.0"},
			},
			[]string{
				"y: no version: created 2024-12-02T12:00:00Z", "z: no version: created 2024-12-01T12:00:00Z",
				"x: no version: created 2024-12-01T12:00:00Z", "b: no version: no creation date", "a: no version: no creation date",
				"04.5.0: no version: no creation date",
			},
		},
		"a digest": {
			[]Candidate{{Manifest: someDigest, Created: day(1)}},
			[]string{": named by digest: created 2024-12-01T12:00:00Z"},
		},
		"nothing": {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, r := range Rank(row.candidates) {
				got = append(got, r.Tag+": "+r.Reason)
			}
			assert.Equal(t, row.want, got)
		})
	}
}

func TestRankReadsInstants(t *testing.T) {
	east := time.FixedZone("", 10*3600)
	ranked := Rank([]Candidate{
		{Tag: "early", Created: time.Date(2024, 12, 6, 20, 0, 0, 0, east)},
		{Tag: "late", Created: day(6)},
	})
	assert.Equal(t, "late", ranked[0].Tag)
	assert.Equal(t, "no version: created 2024-12-06T10:00:00Z", ranked[1].Reason)
}

// TestRankProperties checks random sets of releases against the rules, each rule
// on its own.
func TestRankProperties(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 3_000 {
		candidates := randomCandidates(random)
		ranked := Rank(candidates)
		require.Len(t, ranked, len(candidates))
		shuffled := slices.Clone(candidates)
		random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		require.Equal(t, ranked, Rank(shuffled), "any order of the input gives the same")

		for i, upper := range ranked {
			for _, lower := range ranked[i+1:] {
				requireInOrder(t, upper, lower, candidates)
			}
		}
	}
}

// requireInOrder fails where the rules say that lower lies above upper.
func requireInOrder(t *testing.T, upper, lower Ranked, all []Candidate) {
	t.Helper()
	require.LessOrEqual(t, upper.Selector, lower.Selector)
	if upper.Selector != lower.Selector {
		return
	}
	u, upperIs := parseVersion(upper.Tag)
	l, lowerIs := parseVersion(lower.Tag)
	message := fmt.Sprintf("%+v over %+v", upper, lower)
	switch {
	case !lowerIs && upperIs:
	case !upperIs:
		require.False(t, lowerIs, message)
		require.False(t, lower.Created.After(upper.Created), message)
		if lower.Created.Equal(upper.Created) {
			require.Greater(t, upper.Tag+" "+upper.Manifest, lower.Tag+" "+lower.Manifest, message)
		}
	case u == unversioned && l == unversioned:
	case u == unversioned:
		if floor, ok := floorOf(upper.Candidate, all); ok {
			require.LessOrEqual(t, l.compare(floor), 0, message)
		} else {
			require.Fail(t, "0.0.0 lies above a version, and nothing is known of it", message)
		}
	case l == unversioned:
		if floor, ok := floorOf(lower.Candidate, all); ok {
			require.GreaterOrEqual(t, u.compare(floor), 0, message)
			if lower.IndexVersion != "" {
				require.Positive(t, u.compare(floor), message)
			} else {
				require.False(t, isOlder(upper.Candidate, lower.Candidate), message)
			}
		}
	default:
		require.GreaterOrEqual(t, u.compare(l), 0, message)
		if u.compare(l) == 0 {
			require.Greater(t, upper.Tag+" "+upper.Manifest, lower.Tag+" "+lower.Manifest, message)
		}
	}
}

// floorOf says above the tags of which version a 0.0.0 lies.
func floorOf(c Candidate, all []Candidate) (floor version, found bool) {
	if c.IndexVersion != "" {
		return parseIndexVersion(c.IndexVersion)
	}
	for _, other := range all {
		v, ok := parseVersion(other.Tag)
		if ok && v != unversioned && other.Selector == c.Selector && isOlder(other, c) && (!found || v.compare(floor) > 0) {
			floor, found = v, true
		}
	}
	return floor, found
}

func isOlder(a, b Candidate) bool {
	return !a.Created.IsZero() && a.Created.Before(b.Created)
}

// TestRankOfUnversionedIsMonotone: a later date or a higher version in its index
// never takes 0.0.0 down.
func TestRankOfUnversionedIsMonotone(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	depth := func(c Candidate, others []Candidate) int {
		ranked := Rank(append([]Candidate{c}, others...))
		return slices.IndexFunc(ranked, func(r Ranked) bool { return r.Manifest == c.Manifest })
	}
	for range 1_000 {
		others := randomCandidates(random)
		c := Candidate{Tag: "0.0.0", Manifest: "sha256:own"}
		last := depth(c, others)
		for n := 1; n < 10; n++ {
			c.Created = day(n)
			now := depth(c, others)
			require.LessOrEqual(t, now, last, "%+v among %+v", c, others)
			last = now
		}
		last = len(others)
		for _, listed := range []string{"0.0.1", "4.5-rc.1", "4.5", "4.5.11", "v4.5.13", "4.10", "5.0.0"} {
			c.IndexVersion = listed
			now := depth(c, others)
			require.LessOrEqual(t, now, last, "%+v among %+v", c, others)
			last = now
		}
	}
}

// TestRankWithout: what the registry lost does not reorder the rest, unless it is
// the tag that 0.0.0 leaned on.
func TestRankWithout(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 10))
	for range 1_000 {
		ranked := Rank(randomCandidates(random))
		if len(ranked) == 0 {
			continue
		}
		gone := ranked[random.IntN(len(ranked))]
		if slices.ContainsFunc(ranked, func(r Ranked) bool {
			return strings.Contains(r.Reason, "newer than "+gone.Tag+" ")
		}) {
			continue
		}
		rest := slices.DeleteFunc(slices.Clone(ranked), func(r Ranked) bool { return r == gone })
		var candidates []Candidate
		for _, r := range rest {
			candidates = append(candidates, r.Candidate)
		}
		require.Equal(t, rest, append([]Ranked{}, Rank(candidates)...))
	}
}

// randomCandidates makes releases of few tags, dates and selectors, so that ties
// are common; no two are the same release.
func randomCandidates(random *rand.Rand) []Candidate {
	tags := strings.Fields("0.0.0 v0.0.0 4.5.0 v4.5.0 4.5.11 4.5.13 4.10.0 4.10.0-rc.1 latest edge 2024-12-01")
	tags = append(tags, "") // named by digest
	var candidates []Candidate
	for i := range random.IntN(9) {
		c := Candidate{
			Selector: random.IntN(2),
			Tag:      tags[random.IntN(len(tags))],
			Manifest: fmt.Sprintf("sha256:%d", i),
			Created:  day(random.IntN(5)),
		}
		if random.IntN(2) == 0 {
			c.IndexVersion = []string{"4.5", "4.5.11", "v4.10.0", "9.0.0"}[random.IntN(4)]
		}
		candidates = append(candidates, c)
	}
	return candidates
}
