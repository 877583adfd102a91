package httpserve

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// plain says whether a request is a GET or HEAD without Range and without any
// condition but, at most, one If-None-Match; and whether that one names etag.
// All else, a list or * among it, is for http.ServeContent.
func plain(r *http.Request, etag string) (plain, matches bool) {
	h := r.Header
	if len(h["Range"]) > 0 || len(h["If-Match"]) > 0 || len(h["If-Unmodified-Since"]) > 0 {
		return false, false
	}
	switch lines := h["If-None-Match"]; len(lines) {
	case 0:
		return len(h["If-Modified-Since"]) == 0, false
	case 1:
		// If-Modified-Since beside it is not looked at (RFC 9110, 13.2.2).
		matches = strings.TrimPrefix(lines[0], "W/") == etag
		return matches, matches
	}
	return false, false
}

// prepareConditions mends what http.ServeContent does not see as RFC 9110
// has it, or as a swap of views needs it, by changing the request's header:
//
//   - it reads the first line of a list only (5.3: the lines are one list);
//   - two dates are no date (5.5: the field is invalid, and ignored);
//   - any later date does for If-Modified-Since (13.1.3). But a client that takes the end of
//     its download for the date of what it got, as `curl -z` does, or whose clock is ahead,
//     would keep what was here before a swap: only the date that goes with this content is one;
//   - Range is defined for GET alone (14.2);
//   - see canonicalRange for the rest of Range.
func prepareConditions(r *http.Request, modified time.Time, size int64) {
	h := r.Header
	for _, name := range []string{"If-Match", "If-None-Match"} {
		if lines := h[name]; len(lines) > 1 {
			h[name] = []string{strings.Join(lines, ", ")}
		}
	}
	for _, name := range []string{"If-Modified-Since", "If-Unmodified-Since"} {
		if len(h[name]) > 1 {
			delete(h, name)
		}
	}
	if since, err := http.ParseTime(h.Get("If-Modified-Since")); err == nil && !since.Equal(modified) {
		delete(h, "If-Modified-Since")
	}
	if len(h["If-Range"]) > 1 {
		delete(h, "Range") // which representation the client has a part of is not clear
	}
	if lines := h["Range"]; len(lines) > 0 {
		if value := canonicalRange(lines, size); value != "" && r.Method == http.MethodGet {
			h["Range"] = []string{value}
		} else {
			delete(h, "Range")
		}
	}
}

// maxRanges bounds what one request may ask for. Each further range costs a
// part's header.
const maxRanges = 32

// span is a range of a file: first and last byte, both included.
type span struct{ first, last int64 }

// canonicalRange rewrites a Range header to what http.ServeContent answers
// rightly: ranges that lie inside the file, or one that is not satisfiable,
// for 416. It returns "" where the header is to be ignored:
//
//   - a unit other than bytes, or several lines (RFC 9110, 14.2);
//   - more than 32 ranges, or more than two that overlap another: a client that
//     is broken or means harm (14.2);
//   - a file of no bytes, of which the whole is as good as any part.
//
// What is no range at all ("bytes=5-2") is answered with 416, as a range that
// begins after the end is; a number beyond the file's end, however long, means
// the end.
func canonicalRange(lines []string, size int64) string {
	unit, set, ok := strings.Cut(lines[0], "=")
	if len(lines) > 1 || !ok || !strings.EqualFold(strings.TrimSpace(unit), "bytes") || size == 0 {
		return ""
	}
	unsatisfiable := fmt.Sprintf("bytes=%d-", size)
	var spans []span
	count := 0
	for member := range strings.SplitSeq(set, ",") {
		member = strings.Trim(member, " \t")
		if member == "" {
			continue
		}
		if count++; count > maxRanges {
			return ""
		}
		s, ok := parseSpan(member, size)
		if !ok {
			return unsatisfiable
		}
		if s.first <= s.last {
			spans = append(spans, s)
		}
	}
	if len(spans) == 0 {
		return unsatisfiable
	}
	if overlapping(spans) > 2 {
		return ""
	}
	var b strings.Builder
	b.WriteString("bytes=")
	for n, s := range spans {
		if n > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%d-%d", s.first, s.last)
	}
	return b.String()
}

// parseSpan reads "first-last", "first-" or "-suffix" for a file of size bytes.
// A range with no byte of the file in it comes back with first > last.
func parseSpan(member string, size int64) (s span, ok bool) {
	first, last, ok := strings.Cut(member, "-")
	if !ok {
		return span{}, false
	}
	if first == "" {
		length, ok := parseOffset(last)
		return span{max(size-length, 0), size - 1}, ok
	}
	s.first, ok = parseOffset(first)
	if !ok {
		return span{}, false
	}
	s.last = size - 1
	if last != "" {
		end, ok := parseOffset(last)
		if !ok || end < s.first {
			return span{}, false
		}
		s.last = min(end, s.last)
	}
	return s, true
}

// parseOffset reads 1*DIGIT. What does not fit in 63 bits is as good as the
// largest number that does: no file is that long.
func parseOffset(digits string) (int64, bool) {
	for n := range len(digits) {
		if digits[n] < '0' || digits[n] > '9' {
			return 0, false
		}
	}
	if digits == "" {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 1<<63 - 1, true
	}
	return n, true
}

// overlapping counts the ranges that begin before one that begins no later ends.
func overlapping(spans []span) (count int) {
	sorted := slices.SortedFunc(slices.Values(spans), func(a, b span) int { return cmp.Compare(a.first, b.first) })
	last := int64(-1)
	for _, s := range sorted {
		if s.first <= last {
			count++
		}
		last = max(last, s.last)
	}
	return count
}
