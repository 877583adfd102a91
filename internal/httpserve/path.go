package httpserve

import (
	"errors"
	"net/url"
	"strings"
)

var errBadPath = errors.New("the path is not valid")

// target is the path of a request, cleaned.
type target struct {
	// name is what a view is asked for: no slash at either end, none twice,
	// no dot segments. The root is "".
	name string
	// folder is set where the request's path ends like a folder's: with a
	// slash, or with a dot segment (RFC 3986, 5.2.4).
	folder bool
}

// parsePath cleans the percent-decoded path of a request without asking the
// client to come back: slashes are merged, dot segments are resolved. A path
// that leads above the root, or holds a NUL, is refused.
func parsePath(path string) (target, error) {
	switch {
	case path == "" || path == "/": // "" is the path of "GET https://host"
		return target{folder: true}, nil
	case path[0] != '/' || strings.IndexByte(path, 0) >= 0:
		return target{}, errBadPath
	}
	if !strings.Contains(path, "//") && !strings.Contains(path, "/.") {
		name := path[1:]
		folder := name[len(name)-1] == '/'
		return target{strings.TrimSuffix(name, "/"), folder}, nil
	}
	var segments []string
	folder := false
	for segment := range strings.SplitSeq(path, "/") {
		folder = false
		switch segment {
		case "", ".":
			folder = true
		case "..":
			if len(segments) == 0 {
				return target{}, errBadPath
			}
			segments = segments[:len(segments)-1]
			folder = true
		default:
			segments = append(segments, segment)
		}
	}
	return target{strings.Join(segments, "/"), folder}, nil
}

// version splits "@4.5.13/roar/x" into "4.5.13" and "roar/x". "/@4.5.13" is a
// folder without its slash, "/@4.5.13/" the root there.
func (t target) version() (version string, rest target, ok bool) {
	if t.name == "" || t.name[0] != '@' {
		return "", t, false
	}
	version, name, _ := strings.Cut(t.name[1:], "/")
	return version, target{name, t.folder}, version != ""
}

// location is where a folder is, as the value of a Location header: an
// absolute path with one slash at its beginning, so that no browser takes a
// folder for a host, and with nothing in it that could end a header.
func location(name, rawQuery string) string {
	u := url.URL{Path: "/" + name + "/"}
	if name == "" {
		u.Path = "/"
	}
	if rawQuery == "" {
		return u.EscapedPath()
	}
	return u.EscapedPath() + "?" + escapeQuery(rawQuery)
}

// escapeQuery leaves a query as it came, but for bytes that no URL may hold.
func escapeQuery(query string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for n := range len(query) {
		if c := query[n]; c > ' ' && c < 0x7f && c != '"' && c != '<' && c != '>' && c != '\\' {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}
