package selector

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const someDigest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestParseAccepts(t *testing.T) {
	for text, pattern := range map[string]bool{
		"versions":                         true,
		"semver:>=4.5 <5":                  true,
		"semver:>=4.5, <5":                 true,
		"semver: ~4.5":                     true,
		"semver:4.5.x || 0.0.0":            true,
		"semver:4.0 - 4.5":                 true,
		"semver:*":                         true,
		`tags:4\.5\..*`:                    true,
		"tags:versions":                    true,
		`tags:\Q4.5.13`:                    true,
		"0.0.0":                            false,
		"v4.5.13":                          false,
		"latest":                           false,
		"_x":                               false,
		"version":                          false,
		"Versions":                         false,
		strings.Repeat("a", 128):           false,
		"sha256-0123456789abcdef.sig":      false,
		someDigest:                         false,
		strings.Repeat("9", 40) + ".0.0":   false,
		"semver:>=4.5.0-rc.1 <4.6 || ^4.8": true,
	} {
		s, err := Parse("  " + text + "\t")
		require.NoError(t, err, text)
		assert.Equal(t, text, s.String())
		assert.Equal(t, pattern, s.Pattern(), text)
	}
}

func TestParseRefuses(t *testing.T) {
	for text, cure := range map[string]string{
		"":                                   "is empty; allowed are versions",
		"   ":                                "is empty",
		">=4.5":                              `"semver:" before it`,
		"~4.5":                               `"semver:" before it`,
		"4.5.*":                              `"tags:" before it`,
		"4.5.0+build":                        `"tags:" before it`,
		"-x":                                 "not a tag",
		".x":                                 "not a tag",
		"a b":                                "not a tag",
		"regex:4":                            "allowed are versions, an exact tag, semver:CONSTRAINT",
		"Tags:x":                             "not a tag",
		strings.Repeat("a", 129):             "at most 128",
		"semver:":                            "a constraint is missing",
		"semver:  ":                          "a constraint is missing",
		"semver:latest":                      "not a constraint on versions",
		"semver:>=4.5 &&":                    "not a constraint on versions",
		"semver:>=4.5 || ":                   "not a constraint on versions",
		"tags:":                              "an expression is missing",
		"tags:(":                             "not a regular expression",
		"tags:a)|(b":                         "not a regular expression",
		"tags:(?=x)":                         "not a regular expression",
		"sha256:":                            "64 lower-case hexadecimal digits",
		"sha256:0123":                        "64 lower-case hexadecimal digits",
		strings.ToUpper(someDigest):          "not a tag",
		someDigest[:len(someDigest)-1] + "A": "64 lower-case",
		someDigest + "0":                     "64 lower-case",
		"sha512:" + someDigest[7:]:           "sha256:DIGEST",
		"4.5.13@" + someDigest:               "not a tag",
	} {
		s, err := Parse(text)
		require.ErrorContains(t, err, cure, text)
		assert.ErrorContains(t, err, "selector ", text)
		assert.Equal(t, "", s.String())
	}
}

func TestParseAll(t *testing.T) {
	selectors, err := ParseAll([]string{"0.0.0", "versions"})
	require.NoError(t, err)
	require.Len(t, selectors, 2)
	assert.Equal(t, "0.0.0", selectors[0].String())
	assert.Equal(t, "versions", selectors[1].String())

	selectors, err = ParseAll(nil)
	require.NoError(t, err)
	assert.Empty(t, selectors)

	selectors, err = ParseAll([]string{"tags:(", "versions", "a b"})
	assert.Nil(t, selectors)
	assert.ErrorContains(t, err, `"tags:("`)
	assert.ErrorContains(t, err, `"a b"`)
	assert.NotContains(t, err.Error(), `"versions"`)
}

// TestPatternMatches has a row per selector and tag: its full match or not.
func TestPatternMatches(t *testing.T) {
	const all = "4.5.11 4.5.13 v4.6.0 5.0.0 5.1.0-rc.1 5.1.0-rc.2 0.0.0 04.5.0 4.5 latest 14.5.13 4.5.13-fips"
	for _, row := range []struct{ selector, want string }{
		{"versions", "14.5.13 5.0.0 v4.6.0 4.5.13 4.5.11 0.0.0"},

		{"semver:*", "14.5.13"},
		{"semver:4.5", "4.5.13"},
		{"semver:4", "v4.6.0"},
		{"semver:>=4.5 <4.6", "4.5.13"},
		{"semver:>=4.5,<4.6", "4.5.13"},
		{"semver:<4.5.13", "4.5.11"},
		{"semver:<4.5.11", "0.0.0"},
		{"semver:4.5.11 || 0.0.0", "4.5.11"},
		{"semver:>=5 <6", "5.0.0"},
		{"semver:>=5.0.0-0 <6", "5.1.0-rc.2"},
		{"semver:>=5.1.0-rc.1 <6 || 4.x", "5.1.0-rc.2"},
		{"semver:5.1.0-rc.1", "5.1.0-rc.1"},
		{"semver:>15", ""},

		{"tags:4.5", "4.5"},
		{`tags:4\.5\.\d+`, "4.5.13 4.5.11"},
		{"tags:latest|4.5.1", "latest"},
		{"tags:4|4.5|4.5.11", "4.5.11 4.5"},
		{"tags:4.*?", "4.5.13 4.5.13-fips 4.5.11 4.5"},
		{`tags:\Q4.5`, "4.5"},
		{"tags:(?i)LATEST", "latest"},
		{"tags:^latest$", "latest"},
		{"tags:est", ""},
		{"tags:x*", ""},
	} {
		s, err := Parse(row.selector)
		require.NoError(t, err, row.selector)
		got := Choose(strings.Fields(all), []Selector{s}, nil, 100)
		var tags []string
		for _, f := range got.Followed {
			tags = append(tags, f.Reference)
			assert.True(t, f.ByPattern && !f.Named, row.selector)
		}
		want := strings.Fields(row.want)
		assert.ElementsMatch(t, want, tags, row.selector)
		assert.Empty(t, got.LeftOut)
	}
}

// FuzzParse: whatever is accepted keeps its text, parses again, chooses tags only
// from what it was given and names, and gives the same for the reversed list.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"versions", "0.0.0", "latest", "semver:>=4.5 <5", "semver:^4.5.0-rc.1 || 5.x", "semver:99999999999999999999999",
		"tags:4\\.5.*", "tags:(a|b)*", `tags:\Q`, "tags:(?m)^$", someDigest, "sha256:", "semver:", "tags:", " ", "a:b", "\x00", "tags:\xff",
	} {
		f.Add(text, "4.5.13")
		f.Add(text, "99999999999999999999999.0.0")
	}
	f.Fuzz(func(t *testing.T, text, tag string) {
		s, err := Parse(text)
		if err != nil {
			require.Equal(t, Selector{}, s)
			return
		}
		require.Equal(t, strings.TrimSpace(text), s.String())
		again, err := Parse(s.String())
		require.NoError(t, err)
		require.Equal(t, s.Pattern(), again.Pattern())

		tags := []string{tag, "4.5.11", "0.0.0", tag, "latest"}
		choice := Choose(tags, []Selector{s}, nil, 0)
		for _, followed := range choice.Followed {
			require.NotEqual(t, followed.Named, followed.ByPattern)
			if followed.ByPattern {
				require.Contains(t, tags, followed.Reference)
			} else {
				require.Equal(t, s.String(), followed.Reference)
			}
		}
		reversed := []string{"latest", "0.0.0", "4.5.11", tag}
		require.Equal(t, choice, Choose(reversed, []Selector{again}, nil, 0))
	})
}
