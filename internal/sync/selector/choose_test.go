package selector

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCheckExcluded(t *testing.T) {
	for _, text := range []string{"4.5.13", "0.0.0", "latest", someDigest} {
		assert.NoError(t, CheckExcluded(text), text)
	}
	for _, text := range []string{"", "4.5.*", "tags:x", "semver:>1", "-x", "sha256:12", strings.ToUpper(someDigest)} {
		assert.ErrorContains(t, CheckExcluded(text), "neither a tag nor a digest", text)
	}
}

func TestChoose(t *testing.T) {
	for name, row := range map[string]struct {
		tags      string
		selectors []string
		exclude   []string
		max       int
		want      string // reference@selector, + a pattern matches it, ^ a constraint seeks it, ! it is named
		leftOut   string
	}{
		"the migration guide": {
			tags: "4.5.11 4.5.13 0.0.0", selectors: []string{"versions"}, max: 32,
			want: "0.0.0@0+ 4.5.13@0+ 4.5.11@0+",
		},
		"nothing selected": {tags: "4.5.11"},
		"nothing there":    {selectors: []string{"versions"}, max: 32},
		"named ones need no list": {
			selectors: []string{"0.0.0", someDigest, "latest"}, max: 1,
			want: "0.0.0@0! " + someDigest + "@1! latest@2!",
		},
		"the first selector counts, whether pattern or name": {
			tags: "4.5.11 4.5.13 latest", selectors: []string{"4.5.11", "versions", "4.5.13", "tags:.*"}, max: 32,
			want: "4.5.11@0+! 4.5.13@1+! latest@3+",
		},
		"a named tag that is not listed keeps the place of the pattern before it": {
			tags: "4.5.13", selectors: []string{"versions", "4.5.11"}, max: 32,
			want: "4.5.13@0+ 4.5.11@0+!",
		},
		"a named tag that is not listed hides nothing from semver": {
			tags: "4.5.13", selectors: []string{"4.6.0", "semver:4.x"}, max: 32,
			want: "4.6.0@0! 4.5.13@1+^",
		},
		"a tag that semver passes over is left to the next selector": {
			tags: "4.5.11 4.5.13 4.6.0", selectors: []string{"semver:~4.5", "versions"}, max: 32,
			want: "4.5.13@0+^ 4.6.0@1+ 4.5.11@1+",
		},
		"exclude wins over names, patterns and digests": {
			tags: "4.5.11 4.5.13 4.6.0", selectors: []string{"4.6.0", "versions", someDigest},
			exclude: []string{"4.5.11", "4.6.0", someDigest, "not-there"}, max: 32,
			want: "4.5.13@1+",
		},
		"semver takes the highest that is not excluded": {
			tags: "4.5.11 4.5.13", selectors: []string{"semver:*"}, exclude: []string{"4.5.13"}, max: 32,
			want: "4.5.11@0+^",
		},
		"the highest versions stay": {
			tags: "4.9.0 4.10.0 4.8.0 v4.11.0", selectors: []string{"versions"}, max: 2,
			want: "v4.11.0@0+ 4.10.0@0+", leftOut: "4.9.0 4.8.0",
		},
		"0.0.0 is one of them": {
			tags: "4.9.0 4.10.0 0.0.0 4.8.0", selectors: []string{"versions"}, max: 2,
			want: "0.0.0@0+ 4.10.0@0+", leftOut: "4.9.0 4.8.0",
		},
		"0.0.0 alone": {
			tags: "4.9.0 v0.0.0 0.0.0", selectors: []string{"versions"}, max: 1,
			want: "v0.0.0@0+ 0.0.0@0+", leftOut: "4.9.0",
		},
		"0.0.0 that no pattern matches takes no room": {
			tags: "4.9.0 0.0.0 4.10.0", selectors: []string{"semver:4.x", "0.0.0"}, max: 1,
			want: "4.10.0@0+^ 0.0.0@1!",
		},
		"named ones take no room": {
			tags: "4.9.0 4.10.0 4.8.0 0.0.0", selectors: []string{"versions", "4.8.0", "0.0.0"}, max: 1,
			want: "0.0.0@0+! 4.10.0@0+ 4.8.0@0+!", leftOut: "4.9.0",
		},
		"what a constraint finds takes no room": {
			tags: "4.5.12 4.5.13 4.6.0 4.7.0", selectors: []string{"semver:~4.5", "versions"}, max: 1,
			want: "4.5.13@0+^ 4.7.0@1+", leftOut: "4.6.0 4.5.12",
		},
		"over all patterns together": {
			tags: "4.9.0 4.10.0 edge-1", selectors: []string{"tags:edge-.*", "versions"}, max: 1,
			want: "4.10.0@1+", leftOut: "4.9.0 edge-1",
		},
		"tags that are no versions come last, the last in byte order first": {
			tags: "2024-12-01 4.5.13-rc.1 2024-12-02 4.5.13", selectors: []string{"tags:.*"}, max: 3,
			want: "4.5.13@0+ 4.5.13-rc.1@0+ 2024-12-02@0+", leftOut: "2024-12-01",
		},
		"below one there is no limit": {
			tags: "4.5.11 4.5.13", selectors: []string{"versions"}, max: 0,
			want: "4.5.13@0+ 4.5.11@0+",
		},
		"what cannot be a tag is passed over": {
			tags: "a:b -x 4.5.13 " + someDigest + " " + strings.Repeat("a", 129), selectors: []string{"tags:.*"}, max: 32,
			want: "4.5.13@0+",
		},
		"doubles do no harm": {
			tags: "4.5.13 4.5.13 4.5.11 4.5.13", selectors: []string{"versions", "versions", someDigest, someDigest}, max: 2,
			want: "4.5.13@0+ 4.5.11@0+ " + someDigest + "@2!",
		},
	} {
		t.Run(name, func(t *testing.T) {
			selectors, err := ParseAll(row.selectors)
			require.NoError(t, err)
			choice := Choose(strings.Fields(row.tags), selectors, row.exclude, row.max)
			var got []string
			for _, f := range choice.Followed {
				text := fmt.Sprintf("%s@%d", f.Reference, f.Selector)
				if f.ByPattern {
					text += "+"
				}
				if f.Sought {
					text += "^"
				}
				if f.Named {
					text += "!"
				}
				got = append(got, text)
			}
			assert.Equal(t, row.want, strings.Join(got, " "))
			assert.Equal(t, row.leftOut, strings.Join(choice.LeftOut, " "))
		})
	}
}

func TestFollowedTag(t *testing.T) {
	assert.Equal(t, "4.5.13", Followed{Reference: "4.5.13"}.Tag())
	assert.Equal(t, "sha256-abc.sig", Followed{Reference: "sha256-abc.sig"}.Tag())
	assert.Equal(t, "", Followed{Reference: someDigest}.Tag())
}

// TestChooseProperties holds for random tags, selectors, exclusions and limits.
func TestChooseProperties(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	pool := strings.Fields("0.0.0 v0.0.0 4.5.11 4.5.13 v4.5.13 4.6.0 4.6.0-rc.1 4.10.0 latest edge-1 edge-2 2024-12-01")
	texts := append([]string{"versions", "semver:~4.5", "semver:*", "semver:>=4.6.0-0", "tags:.*", "tags:edge-.*", someDigest}, pool...)
	for range 1_000 {
		tags := sample(random, pool)
		selectors, err := ParseAll(sample(random, texts))
		require.NoError(t, err)
		var exclude []string
		if random.IntN(2) == 0 {
			exclude = sample(random, pool)[:1]
		}
		limit := random.IntN(6)
		choice := Choose(tags, selectors, exclude, limit)

		shuffled := append(slices.Clone(tags), tags[0])
		random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		require.Equal(t, choice, Choose(shuffled, selectors, exclude, limit), "order and doubles do not matter")

		unlimited := Choose(tags, selectors, exclude, 0)
		require.Empty(t, unlimited.LeftOut)
		require.Len(t, unlimited.Followed, len(choice.Followed)+len(choice.LeftOut))

		counted := 0
		seen := make(map[string]bool)
		for _, f := range choice.Followed {
			require.Contains(t, unlimited.Followed, f, "the limit changes nothing in what it leaves")
			require.False(t, seen[f.Reference])
			seen[f.Reference] = true
			require.NotContains(t, exclude, f.Reference)
			require.True(t, f.Named || f.ByPattern)
			if !f.Named {
				require.Contains(t, tags, f.Reference)
			}
			if f.ByChance() {
				counted++
			}
		}
		for _, tag := range choice.LeftOut {
			require.False(t, seen[tag])
			require.NotContains(t, []string{"0.0.0", "v0.0.0"}, tag)
			require.GreaterOrEqual(t, counted, limit, "nothing is left out while there is room")
		}
		require.True(t, slices.IsSortedFunc(choice.Followed, func(a, b Followed) int { return a.Selector - b.Selector }))
	}
}

// sample returns a random part of all, at least one, in random order.
func sample(random *rand.Rand, all []string) []string {
	picked := make([]string, 0, len(all))
	for _, i := range random.Perm(len(all))[:1+random.IntN(len(all))] {
		picked = append(picked, all[i])
	}
	return picked
}
