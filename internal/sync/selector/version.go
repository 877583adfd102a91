package selector

import (
	"cmp"
	"strings"
)

// version is a semantic version (semver.org 2.0.0) without build metadata, which
// has no part in precedence and cannot stand in a tag. The numbers are kept as
// their digits, so that none is too long to compare. The zero value is no version.
type version struct {
	major, minor, patch string
	pre                 string // dot-separated identifiers; "" for a release
}

// unversioned is what the tag 0.0.0 (or v0.0.0) reads as: the tag under which a
// customer's own tarball is pushed, whatever versions are in it.
var unversioned = version{major: "0", minor: "0", patch: "0"}

// IsVersion reports whether the selector versions matches tag: MAJOR.MINOR.PATCH
// in numbers of any length without leading zeros, with an optional leading v,
// without pre-release and build metadata.
func IsVersion(tag string) bool {
	v, ok := parseVersion(tag)
	return ok && v.pre == ""
}

// parseVersion reads MAJOR.MINOR.PATCH[-PRERELEASE] with an optional leading v.
func parseVersion(text string) (version, bool) {
	core, pre, hasPre := strings.Cut(strings.TrimPrefix(text, "v"), "-")
	numbers := strings.Split(core, ".")
	if len(numbers) != 3 {
		return version{}, false
	}
	for _, n := range numbers {
		if !isNumber(n) || hasLeadingZero(n) {
			return version{}, false
		}
	}
	if hasPre && !isPreRelease(pre) {
		return version{}, false
	}
	return version{major: numbers[0], minor: numbers[1], patch: numbers[2], pre: pre}, true
}

// parseIndexVersion reads a version as an index file may spell it: like
// [parseVersion], but MAJOR.MINOR stands for MAJOR.MINOR.0 and build metadata is
// passed over.
func parseIndexVersion(text string) (version, bool) {
	text, _, _ = strings.Cut(text, "+")
	if core, _, _ := strings.Cut(text, "-"); strings.Count(core, ".") == 1 {
		text = core + ".0" + text[len(core):]
	}
	return parseVersion(text)
}

// compare orders by precedence (semver.org 2.0.0, item 11).
func (v version) compare(w version) int {
	return cmp.Or(
		compareNumbers(v.major, w.major),
		compareNumbers(v.minor, w.minor),
		compareNumbers(v.patch, w.patch),
		comparePreReleases(v.pre, w.pre),
	)
}

// compareNumbers compares decimal numbers without leading zeros: the longer one
// is greater.
func compareNumbers(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

func comparePreReleases(a, b string) int {
	if a == "" || b == "" {
		return cmp.Compare(len(b), len(a)) // a release lies above its pre-releases
	}
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(as), len(bs)) {
		if c := compareIdentifiers(as[i], bs[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(as), len(bs))
}

func compareIdentifiers(a, b string) int {
	switch aNumber, bNumber := isNumber(a), isNumber(b); {
	case aNumber && bNumber:
		return compareNumbers(a, b)
	case aNumber:
		return -1
	case bNumber:
		return 1
	}
	return strings.Compare(a, b)
}

func isNumber(text string) bool {
	return text != "" && strings.Trim(text, digits) == ""
}

func hasLeadingZero(number string) bool {
	return len(number) > 1 && number[0] == '0'
}

func isPreRelease(text string) bool {
	for identifier := range strings.SplitSeq(text, ".") {
		if identifier == "" || strings.ContainsFunc(identifier, notInIdentifier) {
			return false
		}
		if isNumber(identifier) && hasLeadingZero(identifier) {
			return false
		}
	}
	return true
}

func notInIdentifier(r rune) bool {
	switch {
	case '0' <= r && r <= '9', 'A' <= r && r <= 'Z', 'a' <= r && r <= 'z', r == '-':
		return false
	}
	return true
}
