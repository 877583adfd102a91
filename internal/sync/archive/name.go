package archive

import (
	"strings"
	"time"
)

// clean makes the name of an entry relative and plain: "./a//b/" becomes "a/b",
// and the root ".". It says why a name is not acceptable.
func clean(name string) (cleaned, fault string) {
	switch {
	case name == "":
		return "", "the entry has no name"
	case name[0] == '/':
		return "", "the name is absolute; pack from inside the folder: tar -czf manifests.tgz ."
	case strings.IndexByte(name, 0) >= 0:
		return "", "the name holds a NUL byte"
	}
	plain := true // name is clean as it stands
	depth, length := 0, -1
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "" || part == ".":
			plain = false
			continue
		case part == "..":
			return "", `the name holds ".."`
		case len(part) > maxNameBytes:
			return "", "a name in it is longer than 255 bytes"
		}
		depth++
		length += 1 + len(part)
	}
	switch {
	case depth == 0:
		return ".", ""
	case depth > maxDepth:
		return "", "the path is deeper than 256 folders"
	case length > maxPathBytes:
		return "", "the path is longer than 4096 bytes"
	case plain:
		return name, ""
	}
	parts := make([]string, 0, depth)
	for part := range strings.SplitSeq(name, "/") {
		if part != "" && part != "." {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "/"), ""
}

// join is path.Join for names that are clean already.
func join(folder, name string) string {
	if folder == "." {
		return name
	}
	return folder + "/" + name
}

// Dates are clamped to what an int64 of nanoseconds holds since 1970, since
// file systems and [os.Chtimes] do strange things beyond.
var (
	minDate = time.Unix(0, 0).UTC()
	maxDate = time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC)
)

// date is the time of an entry in UTC: before 1970 it is 1970-01-01, from 2262
// on 2262-01-01.
func date(t time.Time) time.Time {
	// By seconds, since absurd times overflow comparisons but not Unix.
	switch sec := t.Unix(); {
	case sec < minDate.Unix():
		return minDate
	case sec >= maxDate.Unix():
		return maxDate
	}
	return t.UTC()
}
