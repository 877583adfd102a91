package selector

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/Masterminds/semver/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestIsVersion(t *testing.T) {
	for _, tag := range []string{
		"0.0.0", "v0.0.0", "4.5.13", "v4.5.13", "4.10.0", "2024.12.6",
		strings.Repeat("9", 60) + ".0.0",
	} {
		assert.True(t, IsVersion(tag), tag)
	}
	for _, tag := range []string{
		"", "v", "4", "4.5", "4.5.", ".4.5", "4.5.13.1", "04.5.1", "4.05.1", "4.5.01", "00.0.0", "V4.5.13", "vv4.5.13",
		"4.5.13-rc.1", "4.5.13-", "4.5.13+fips", "4.5.x", "4.5.1 ", "-1.0.0", "+1.0.0", "٤.5.1", "latest",
	} {
		assert.False(t, IsVersion(tag), tag)
	}
}

// TestPrecedence: each version lies above the one before it; those on one line
// are equal.
func TestPrecedence(t *testing.T) {
	ascending := []string{
		"0.0.0-0",
		"0.0.0 v0.0.0",
		"0.0.1",
		"0.9.0",
		"0.10.0",
		"1.0.0-0",
		"1.0.0-9",
		"1.0.0-10",
		"1.0.0-" + strings.Repeat("9", 30),
		"1.0.0--",
		"1.0.0-A",
		"1.0.0-alpha",
		"1.0.0-alpha.1",
		"1.0.0-alpha.1.0",
		"1.0.0-alpha.beta",
		"1.0.0-beta",
		"1.0.0-beta.2",
		"1.0.0-beta.11",
		"1.0.0-rc.1 v1.0.0-rc.1",
		"1.0.0-rc-1",
		"1.0.0",
		"9.0.0",
		"10.0.0",
		"18446744073709551616.0.0",
		strings.Repeat("9", 39) + ".0.0",
		"1" + strings.Repeat("0", 39) + ".0.0",
	}
	for i, line := range ascending {
		for j, other := range ascending {
			for a := range strings.FieldsSeq(line) {
				for b := range strings.FieldsSeq(other) {
					v, ok := parseVersion(a)
					require.True(t, ok, a)
					w, ok := parseVersion(b)
					require.True(t, ok, b)
					assert.Equal(t, cmp.Compare(i, j), v.compare(w), "%s against %s", a, b)
				}
			}
		}
	}
}

// TestPrecedenceAgainstLibrary compares with an implementation that knows 64-bit
// numbers only.
func TestPrecedenceAgainstLibrary(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 5_000 {
		a, b := randomVersion(random), randomVersion(random)
		v, ok := parseVersion(a)
		require.True(t, ok, a)
		w, ok := parseVersion(b)
		require.True(t, ok, b)
		require.Equal(t, semver.MustParse(a).Compare(semver.MustParse(b)), v.compare(w), "%s against %s", a, b)
	}
}

func randomVersion(random *rand.Rand) string {
	number := func() int { return random.IntN(3) * (1 + 10*random.IntN(2)) }
	text := fmt.Sprintf("%d.%d.%d", number(), number(), number())
	separator := "-"
	for range random.IntN(4) {
		text += separator + []string{"0", "1", "2", "10", "a", "rc", "rc1", "1a", "A"}[random.IntN(9)]
		separator = "."
	}
	return text
}

func TestPreReleases(t *testing.T) {
	for _, tag := range []string{"4.6.0-rc.1", "v4.6.0-0", "4.6.0--", "4.6.0-0a.A-Z.10"} {
		_, ok := parseVersion(tag)
		assert.True(t, ok, tag)
	}
	for _, tag := range []string{"4.6.0-", "4.6.0-01", "4.6.0-rc..1", "4.6.0-rc.", "4.6.0-rc_1", "4.6.0-ü", "4.6-rc.1", "4.6.0-rc.1+b"} {
		_, ok := parseVersion(tag)
		assert.False(t, ok, tag)
	}
}

func TestIndexVersion(t *testing.T) {
	for text, same := range map[string]string{
		"4.5.13":      "4.5.13",
		"v4.5.13":     "4.5.13",
		"4.5":         "4.5.0",
		"v4.10":       "4.10.0",
		"4.5-rc.1":    "4.5.0-rc.1",
		"4.5.13+fips": "4.5.13",
		"4.5+a.b":     "4.5.0",
	} {
		v, ok := parseIndexVersion(text)
		require.True(t, ok, text)
		w, _ := parseVersion(same)
		assert.Equal(t, w, v, text)
	}
	for _, text := range []string{"", "4", "4.", "4.05", "4.5.6.7", "+", "4+5.6", "latest", "null", "4.5e3"} {
		_, ok := parseIndexVersion(text)
		assert.False(t, ok, text)
	}
}
