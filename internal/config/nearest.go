package config

import "strings"

// Nearest is the key that somebody who wrote name most likely meant, or "".
func Nearest(name string) string {
	known := []string{sourcesKey}
	for _, k := range Keys() {
		known = append(known, k.Name)
	}
	return nearest(name, known)
}

// nearest is the candidate that somebody who wrote name most likely meant, or "".
func nearest(name string, candidates []string) string {
	folded := fold(name)
	best, bestDistance := "", 1+max(2, len(folded)/4)
	for _, c := range candidates {
		if d := editDistance(folded, fold(c)); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	if best != "" {
		return best
	}
	// Right word, wrong place: interval for source.interval.
	for _, c := range candidates {
		if leaf(fold(c)) == leaf(folded) {
			return c
		}
	}
	return ""
}

// fold takes away what the ways of writing one name differ in: MAX_RELEASES and
// max-releases are maxReleases.
func fold(name string) string {
	return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(name))
}

func leaf(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// editDistance counts the letters to add, take away or replace (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
