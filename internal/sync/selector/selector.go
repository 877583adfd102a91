// Package selector says which tags of a source are followed and in which order
// their releases lie over each other.
//
// Always true: nothing here keeps state, reads a clock or does I/O of its own
// ([HighestIndexVersion] reads through the function it is given), and no result
// depends on the order of its input. So every replica that sees the same tags
// and holds the same releases comes to the same view. All functions are safe for
// concurrent use.
package selector

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// Selector is one parsed entry of the list source.select. Make it with [Parse];
// the zero value selects nothing.
type Selector struct {
	text string
	// match picks from candidates, which come highest version first. It is nil
	// where text itself is the tag or digest to follow.
	match func(candidates []candidateTag) []candidateTag
	one   bool // match picks the one that is meant, not all that there are
}

const (
	versionsKeyword   = "versions"
	constraintPrefix  = "semver:"
	expressionPrefix  = "tags:"
	digestPrefix      = "sha256:"
	allowedSelectors  = "versions, an exact tag, semver:CONSTRAINT, tags:REGEXP or sha256:DIGEST"
	constraintExample = `"semver:>=4.5 <5", "semver:~4.5" or "semver:4.5.x || 0.0.0"`
)

// Parse reads one selector; blanks around it do not count. It is one of
//
//   - versions: every tag MAJOR.MINOR.PATCH, with or without a leading v, without
//     pre-release or leading zeros (see [IsVersion]).
//   - semver:CONSTRAINT: the highest tag that satisfies the constraint, as
//     github.com/Masterminds/semver reads it: a blank or a comma means AND, ||
//     means OR, 4.5 means 4.5.x. Pre-releases match only where the alternative
//     names one. Only valid semantic versions (a leading v allowed) match.
//   - tags:REGEXP: every tag that the RE2 expression matches as a whole, as if it
//     stood between ^ and $: tags:4\.5 follows the tag 4.5 and not 14.5.0.
//   - sha256:DIGEST, 64 lower-case hexadecimal digits: one manifest.
//   - anything else that can be a tag: that tag. (A tag that is called versions
//     is written tags:versions.)
//
// The error names the text and what is allowed.
func Parse(text string) (Selector, error) {
	s := Selector{text: strings.TrimSpace(text)}
	var err error
	switch {
	case s.text == versionsKeyword:
		s.match = matchVersions
	case strings.HasPrefix(s.text, constraintPrefix):
		s.one = true
		s.match, err = matchConstraint(strings.TrimPrefix(s.text, constraintPrefix))
	case strings.HasPrefix(s.text, expressionPrefix):
		s.match, err = matchExpression(strings.TrimPrefix(s.text, expressionPrefix))
	case strings.HasPrefix(s.text, digestPrefix):
		if !isDigest(s.text) {
			err = errors.New("a digest is sha256: and 64 lower-case hexadecimal digits")
		}
	default:
		err = checkTag(s.text)
	}
	if err != nil {
		return Selector{}, fmt.Errorf("selector %q: %w", text, err)
	}
	return s, nil
}

// ParseAll reads a list of selectors. Its error joins (see [errors.Join]) those of
// all texts that cannot be read; the result is then nil.
func ParseAll(texts []string) ([]Selector, error) {
	var selectors []Selector
	var errs []error
	for _, text := range texts {
		s, err := Parse(text)
		selectors, errs = append(selectors, s), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return selectors, nil
}

// String returns the text that the selector was parsed from, without blanks
// around it.
func (s Selector) String() string { return s.text }

// Pattern reports whether the selector picks from the list of tags (versions,
// semver: and tags:) instead of naming one tag or manifest.
func (s Selector) Pattern() bool { return s.match != nil }

func matchVersions(candidates []candidateTag) []candidateTag {
	var matched []candidateTag
	for _, c := range candidates {
		if c.versioned && c.version.pre == "" {
			matched = append(matched, c)
		}
	}
	return matched
}

func matchConstraint(text string) (func([]candidateTag) []candidateTag, error) {
	if strings.TrimSpace(text) == "" {
		return nil, errors.New("a constraint is missing, as in " + constraintExample)
	}
	constraint, err := semver.NewConstraint(text)
	if err != nil {
		return nil, fmt.Errorf("not a constraint on versions, as in %s: %w", constraintExample, err)
	}
	return func(candidates []candidateTag) []candidateTag {
		for _, c := range candidates {
			// A tag that is named elsewhere but not listed may not be there at
			// all, and must not keep the highest one that is from being followed.
			if !c.versioned || !c.listed {
				continue
			}
			// Fails for numbers beyond 64 bits: no constraint can speak of them.
			v, err := semver.StrictNewVersion(strings.TrimPrefix(c.name, "v"))
			if err == nil && constraint.Check(v) {
				return []candidateTag{c}
			}
		}
		return nil
	}, nil
}

func matchExpression(text string) (func([]candidateTag) []candidateTag, error) {
	if text == "" {
		return nil, errors.New(`an expression is missing, as in "tags:4\.5\..*"`)
	}
	expression, err := regexp.Compile(text)
	if err != nil {
		return nil, fmt.Errorf("not a regular expression (RE2 syntax): %w", err)
	}
	// The longest match is the whole tag if any is. Wrapping the text in ^(?: )$
	// would break on \Q, which needs no end.
	expression.Longest()
	return func(candidates []candidateTag) []candidateTag {
		var matched []candidateTag
		for _, c := range candidates {
			at := expression.FindStringIndex(c.name)
			if at != nil && at[0] == 0 && at[1] == len(c.name) {
				matched = append(matched, c)
			}
		}
		return matched
	}, nil
}

// checkTag explains what is wrong with a text that should be a tag.
func checkTag(text string) error {
	if isTag(text) {
		return nil
	}
	switch {
	case text == "":
		return errors.New("is empty; allowed are " + allowedSelectors)
	case strings.ContainsAny(text, "<>=~^|"):
		return errors.New(`not a tag; a constraint on versions is written with "semver:" before it`)
	case strings.ContainsAny(text, "*?[](){}$+\\"):
		return errors.New(`not a tag; a regular expression is written with "tags:" before it`)
	}
	return errors.New("not a tag (letters, digits, '_', '.' and '-', at most 128, none of the last two first); allowed are " + allowedSelectors)
}
