package httpserve

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sent answers a request for a body through the whole of sendAsked.
func sent(r *http.Request, body, etag string) *http.Response {
	w := httptest.NewRecorder()
	a := &answer{ResponseWriter: w, request: r}
	a.Header()["Etag"] = []string{etag}
	a.Header()["Content-Type"] = []string{"text/plain"}
	a.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
	a.sendAsked(&content{body: []byte(body)}, time.Time{}, int64(len(body)))
	return w.Result()
}

// Whatever a Range header holds, the answer is whole and says what it is.
func FuzzRange(f *testing.F) {
	for _, header := range []string{
		"bytes=0-0", "bytes=-1", "bytes=5-", "bytes=9-5", "bytes=0-0,-1", "bytes=0-1,3-4,6-7", "bytes=-0", "bytes=99-", "lines=1-2", "bytes=",
		"bytes = 1-2", "Bytes=1-2", "bytes=1-2,", "bytes=,,", "bytes=--1", "bytes=1-2-3", "bytes=99999999999999999999-", "bytes=-99999999999999999999",
		"bytes=+1-2", "bytes=0-,0-,0-", "bytes=\t1-2 , 3-4", strings.Repeat("bytes=1-1,", 100),
	} {
		f.Add(header, uint16(10))
	}
	f.Add("bytes=0-0", uint16(0))
	f.Fuzz(func(t *testing.T, header string, size uint16) {
		body := strings.Repeat("0123456789abcdef", int(size)/16+1)[:size]
		r := httptest.NewRequest("GET", "/", nil)
		r.Header["Range"] = []string{header}
		res := sent(r, body, `"etag"`)
		got, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		assert.Equal(t, strconv.Itoa(len(got)), res.Header.Get("Content-Length"))
		assert.LessOrEqual(t, len(got), len(body)+maxRanges*200+200, "an answer does not grow with the number of ranges")
		switch res.StatusCode {
		case 200:
			assert.Equal(t, body, string(got))
			assert.Empty(t, res.Header.Get("Content-Range"))
		case 206:
			kind, params, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
			require.NoError(t, err)
			if kind != "multipart/byteranges" {
				checkPart(t, body, res.Header.Get("Content-Range"), string(got))
				return
			}
			parts := multipart.NewReader(bytes.NewReader(got), params["boundary"])
			for {
				part, err := parts.NextPart()
				if err == io.EOF {
					return
				}
				require.NoError(t, err)
				content, err := io.ReadAll(part)
				require.NoError(t, err)
				checkPart(t, body, part.Header.Get("Content-Range"), string(content))
			}
		case 416:
			assert.Equal(t, "bytes */"+strconv.Itoa(len(body)), res.Header.Get("Content-Range"))
		default:
			assert.Fail(t, "status", res.StatusCode)
		}
	})
}

func checkPart(t *testing.T, body, contentRange, content string) {
	t.Helper()
	span, ok := strings.CutPrefix(contentRange, "bytes ")
	require.True(t, ok, contentRange)
	span, size, _ := strings.Cut(span, "/")
	assert.Equal(t, strconv.Itoa(len(body)), size)
	first, last, _ := strings.Cut(span, "-")
	from, err := strconv.Atoi(first)
	require.NoError(t, err)
	to, err := strconv.Atoi(last)
	require.NoError(t, err)
	require.LessOrEqual(t, from, to)
	assert.Equal(t, body[from:to+1], content)
}

// The short way and http.ServeContent must come to the same answer.
func FuzzConditions(f *testing.F) {
	const etag, body = `"e1"`, "0123456789"
	f.Add(`"e1"`, "", "", "", "")
	f.Add(`W/"e1"`, "", "", "", "")
	f.Add(`"x", "e1"`, "", "", "", "")
	f.Add("*", "*", "Fri, 31 Dec 1999 00:00:00 GMT", "bytes=1-2", `"e1"`)
	f.Add("", `"x"`, "", "", "")
	f.Add(`"e`, `W/"e1"`, "x", "bytes=99-", `W/"e1"`)
	f.Add(`"e1" "e2"`, "", "", "", "")
	f.Fuzz(func(t *testing.T, noneMatch, match, since, ranges, ifRange string) {
		r := httptest.NewRequest("GET", "/", nil)
		for name, value := range map[string]string{"If-None-Match": noneMatch, "If-Match": match, "If-Modified-Since": since, "Range": ranges, "If-Range": ifRange} {
			if value = strings.TrimSpace(value); value != "" { // net/http trims as well
				r.Header[name] = []string{value}
			}
		}
		isPlain, matches := plain(r, etag)
		res := sent(r, body, etag)
		got, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		switch {
		case matches:
			assert.Equal(t, 304, res.StatusCode)
		case isPlain:
			assert.Equal(t, 200, res.StatusCode)
		}
		assert.Contains(t, []int{200, 206, 304, 412, 416}, res.StatusCode)
		switch res.StatusCode {
		case 200:
			assert.Equal(t, body, string(got))
		case 304:
			assert.Empty(t, got)
		case 412:
			assert.NotEmpty(t, r.Header["If-Match"])
		}
		assert.Equal(t, etag, res.Header.Get("Etag"))
	})
}

// A cleaned path has nothing in it that a view does not know, and cleaning it
// again changes nothing.
func FuzzPath(f *testing.F) {
	for _, p := range []string{"/", "", "/a", "/a/", "//a", "/a/../b", "/../a", "/a/./b/.", "/a\x00b", "/@1.0/x", "/a//..//../b", "/...", "a"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p string) {
		got, err := parsePath(p)
		if err != nil {
			assert.Equal(t, target{}, got)
			return
		}
		assert.False(t, strings.HasPrefix(got.name, "/") || strings.HasSuffix(got.name, "/") || strings.Contains(got.name, "//"))
		assert.NotContains(t, got.name, "\x00")
		for segment := range strings.SplitSeq(got.name, "/") {
			assert.NotContains(t, []string{".", ".."}, segment)
		}
		assert.Equal(t, strings.TrimPrefix(path.Clean("/"+p), "/"), got.name)
		again, err := parsePath("/" + got.name)
		require.NoError(t, err)
		assert.Equal(t, got.name, again.name)

		// Where it redirects to is a path of this server, and the same folder.
		to := location(got.name, "")
		assert.Regexp(t, `^/([!-.0-\[\]-~][!-\[\]-~]*)?$`, to, "one slash first, nothing that ends a header, no backslash")
		u, err := url.Parse(to)
		require.NoError(t, err)
		assert.Empty(t, u.Host)
		back, err := parsePath(u.Path)
		require.NoError(t, err)
		assert.Equal(t, target{got.name, true}, back)
	})
}
