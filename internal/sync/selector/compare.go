package selector

// CompareVersions orders two versions as tags or indexes spell them, by
// precedence: -1, 0 or 1. What is no version lies below all versions.
func CompareVersions(a, b string) int {
	v, okV := parseIndexVersion(a)
	w, okW := parseIndexVersion(b)
	switch {
	case okV && okW:
		return v.compare(w)
	case okV:
		return 1
	case okW:
		return -1
	}
	return 0
}
