package httpserve

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/variant"
)

// The contents that the rows below speak of.
var (
	versions = strings.Repeat("- version: 4.6.0\n  filepath: \"/roar/nickfury/4.6/version.yaml\"\n", 40)
	packed   = string([]byte{0x1f, 0x8b, 8, 0, 1, 2, 3, 4, 5, 6})
)

var conductTree = tree{
	"roar/nickfury/versions.yaml": versions,
	"digits.txt":                  "0123456789",
	"data.bin":                    "0123456789",
	"empty.txt":                   "",
	"manifests.tgz":               packed,
	"UPPER.JSON":                  "{}",
	"LICENSE":                     "Apache",
	"site/index.html":             "<h1>site</h1>\n",
	"site/page.html":              "<p>page</p>\n",
	"a b/ü<&>.txt":                "odd\n",
	"a b/\\evil.com/x.txt":        "backslash\n",
	"evil.com/x.txt":              "host\n",
	"deep/er/est/x.txt":           "deep\n",
	"hollow/":                     "",
	"@tools/x.txt":                "tools\n",
	"line\r\nbreak: 1/x.txt":      "crlf\n",
	"...":                         "three dots",
}

// conduct holds what RFC 9110 and the contract say of an answer. A request is a
// request line and header lines. An answer is a status, header lines, and, after
// an empty line, the body. In a header line "-" means absent and "~" contains.
// {etag NAME} and {digest NAME} stand for those of the file's content.
var conduct = []struct{ say, request, answer string }{
	// Files and their headers.
	{"a file", "GET /digits.txt", `200
Content-Type: text/plain; charset=utf-8
Content-Length: 10
Etag: {etag digits.txt}
Repr-Digest: {digest digits.txt}
Accept-Ranges: bytes
Cache-Control: no-cache
Vary: Accept-Encoding
Specman-View: {view}
Specman-Release: 2.0.0
X-Content-Type-Options: nosniff
Content-Encoding: -
Last-Modified: -
Location: -

0123456789`},
	{"HEAD is GET without its body", "HEAD /digits.txt", `200
Content-Length: 10
Etag: {etag digits.txt}
Repr-Digest: {digest digits.txt}
Content-Type: text/plain; charset=utf-8

`},
	{"the upper release", "GET /shared.yaml", "200\nSpecman-Release: 2.0.0\nContent-Type: application/yaml\n\nnew\n"},
	{"the release below", "GET /only.yaml", "200\nSpecman-Release: 1.0.0\n\nfrom 1.0.0\n"},
	{"a gzip", "GET /manifests.tgz", "200\nContent-Type: application/gzip\nContent-Encoding: -\nVary: -"},
	{"an extension in capitals", "GET /UPPER.JSON", "200\nContent-Type: application/json"},
	{"no extension", "GET /LICENSE", "200\nContent-Type: application/octet-stream"},
	{"an empty file", "GET /empty.txt", "200\nContent-Length: 0\n\n"},
	{"a login that nobody asked for", "GET /digits.txt\nAuthorization: Basic Og==", "200"},
	{"a bad login that nobody asked for", "GET /digits.txt\nAuthorization: nonsense", "200"},

	// Paths.
	{"two slashes", "GET //digits.txt", "200\n\n0123456789"},
	{"many slashes", "GET ///deep////er//est/x.txt", "200\n\ndeep\n"},
	{"dot segments", "GET /deep/./er/../er/est/x.txt", "200\n\ndeep\n"},
	{"encoded dot segments", "GET /deep/%2e/er/%2E%2e/er/est/x.txt", "200\n\ndeep\n"},
	{"an encoded slash", "GET /deep%2Fer/est%2fx.txt", "200\n\ndeep\n"},
	{"encoded once only", "GET /deep%252Fer/est/x.txt", "404"},
	{"above the root", "GET /../digits.txt", "400"},
	{"above the root, further in", "GET /deep/../../digits.txt", "400"},
	{"above the root, encoded", "GET /deep/%2e%2e/%2e%2e/etc/passwd", "400"},
	{"above the root, with an encoded slash", "GET /..%2f..%2fetc/passwd", "400"},
	{"above the root, encoded twice, is a name", "GET /%252e%252e/%252e%252e/etc/passwd", "404"},
	{"an overlong dot is no dot", "GET /%c0%ae%c0%ae/%c0%ae%c0%ae/etc/passwd", "404"},
	{"a backslash is no slash", "GET /..%5c..%5cetc%5cpasswd", "404"},
	{"NUL", "GET /digits.txt%00.html", "400\nSpecman-View: {view}"},
	{"three dots are a name", "GET /...", "200\n\nthree dots"},
	{"blank and more in a name", "GET /a%20b/%C3%BC%3C%26%3E.txt", "200\n\nodd\n"},
	{"CR and LF in a name", "GET /line%0D%0Abreak:%201/x.txt", "200\n\ncrlf\n"},
	{"a query changes nothing", "GET /digits.txt?x=/../", "200\n\n0123456789"},
	{"a file with a slash", "GET /digits.txt/", "404"},
	{"a file as a folder", "GET /digits.txt/x", "404"},
	{"a file and a dot", "GET /digits.txt/.", "404"},
	{"nothing there", "GET /nothing", "404\nCache-Control: no-cache\nContent-Type: text/plain; charset=utf-8\nSpecman-View: {view}\nEtag: -"},
	{"nothing there, for a program", "GET /nothing\nAccept: application/json", `404
Content-Type: application/problem+json
Vary: Accept

{"type":"about:blank","title":"Not Found","status":404,"detail":"there is no such path in this tree"}
`},
	{"HEAD of nothing", "HEAD /nothing", "404\n\n"},

	// Folders.
	{"a folder without its slash", "GET /deep/er", "301\nLocation: /deep/er/\nCache-Control: no-cache\nSpecman-View: {view}\nSpecman-Release: 2.0.0"},
	{"… HEAD too", "HEAD /deep/er", "301\nLocation: /deep/er/"},
	{"… keeps the query", "GET /deep/er?a=b&c", "301\nLocation: /deep/er/?a=b&c"},
	{"… goes to no other host", "GET //evil.com", "301\nLocation: /evil.com/"},
	{"… nor by way of a backslash", "GET /a%20b/%5Cevil.com", "301\nLocation: /a%20b/%5Cevil.com/"},
	{"… nor by dots", "GET /x/..//evil.com", "301\nLocation: /evil.com/"},
	{"… and puts nothing into the header", "GET /line%0D%0Abreak:%201", "301\nLocation: /line%0D%0Abreak:%201/\nBreak: -"},
	{"… ends with a dot", "GET /deep/.", "200\nContent-Type: text/html; charset=utf-8"},
	{"a folder with an index", "GET /site/", "200\nContent-Type: text/html; charset=utf-8\nVary: Accept-Encoding\nEtag: {etag site/index.html}\n\n<h1>site</h1>\n"},
	{"… whatever is accepted", "GET /site/\nAccept: application/json", "200\n\n<h1>site</h1>\n"},
	{"the index by name", "GET /site/index.html", "200\n\n<h1>site</h1>\n"},
	{"a listing", "GET /deep/", "200\nContent-Type: text/html; charset=utf-8\nVary: Accept\nCache-Control: no-cache\nLast-Modified: -\nContent-Security-Policy: ~default-src 'none'"},
	{"a listing as JSON", "GET /deep/er/est/\nAccept: application/json", `200
Content-Type: application/json
Vary: Accept

[
  {
    "name": "x.txt",
    "type": "file",
    "mtime": "Fri, 06 Dec 2024 12:43:14 GMT",
    "size": 5,
    "sha256": "{sum deep/er/est/x.txt}"
  }
]
`},
	{"a listing of folders as JSON", "GET /deep/\nAccept: application/json;q=0.9, */*;q=0.1", `200

[
  {
    "name": "er",
    "type": "directory",
    "mtime": "Fri, 06 Dec 2024 12:43:14 GMT"
  }
]
`},
	{"an empty folder as JSON", "GET /hollow/\nAccept: application/json", "200\n\n[]\n"},
	{"JSON is not preferred", "GET /deep/\nAccept: text/html,application/json;q=0.9,*/*;q=0.8", "200\nContent-Type: text/html; charset=utf-8"},
	{"JSON and anything", "GET /deep/\nAccept: application/json, text/plain;q=0.5, */*", "200\nContent-Type: application/json"},
	{"anything", "GET /deep/\nAccept: */*", "200\nContent-Type: text/html; charset=utf-8"},
	{"JSON is refused", "GET /deep/\nAccept: application/json;q=0, */*", "200\nContent-Type: text/html; charset=utf-8"},

	// Versions.
	{"by tag", "GET /@1.0.0/shared.yaml", "200\nCache-Control: no-cache\nSpecman-View: {manifest 1.0.0}\nSpecman-Release: 1.0.0\n\nold\n"},
	{"by manifest digest", "GET /@{manifest 1.0.0}/shared.yaml", "200\nCache-Control: public, max-age=31536000, immutable\nSpecman-View: {manifest 1.0.0}\nLast-Modified: -\n\nold\n"},
	{"by view", "GET /@{view}/shared.yaml", "200\nCache-Control: public, max-age=31536000, immutable\nSpecman-View: {view}\n\nnew\n"},
	{"a release alone", "GET /@1.0.0/digits.txt", "404\nCache-Control: no-cache\nSpecman-View: {manifest 1.0.0}"},
	{"errors by digest are not kept", "GET /@{manifest 1.0.0}/nothing", "404\nCache-Control: no-cache"},
	{"listings by digest are not kept", "GET /@{manifest 1.0.0}/", "200\nCache-Control: no-cache\nSpecman-View: {manifest 1.0.0}"},
	{"a version's root without slash", "GET /@1.0.0", "301\nLocation: /@1.0.0/\nCache-Control: no-cache"},
	{"a version's folder without slash", "GET /@{view}/deep?q", "301\nLocation: /@{view}/deep/?q\nCache-Control: no-cache"},
	{"slashes in front of a version", "GET //@1.0.0//shared.yaml", "200\n\nold\n"},
	{"an encoded at sign", "GET /%401.0.0/shared.yaml", "200\n\nold\n"},
	{"out of a version by dots", "GET /@1.0.0/../shared.yaml", "200\nSpecman-View: {view}\n\nnew\n"},
	{"above the root by way of a version", "GET /@1.0.0/../../shared.yaml", "400"},
	{"a version that is not held", "GET /@9.9.9/shared.yaml", "404\nSpecman-View: {view}"},
	{"a folder that begins with @", "GET /@tools/x.txt", "200\nSpecman-View: {view}\n\ntools\n"},
	{"304 by digest", "GET /@{manifest 1.0.0}/only.yaml\nIf-None-Match: {etag only.yaml}", "304\nCache-Control: public, max-age=31536000, immutable\nEtag: {etag only.yaml}"},

	// Methods.
	{"OPTIONS", "OPTIONS /digits.txt", "204\nAllow: GET, HEAD, OPTIONS\nSpecman-View: {view}\n\n"},
	{"POST", "POST /digits.txt", "405\nAllow: GET, HEAD, OPTIONS\nSpecman-View: {view}"},
	{"PUT", "PUT /digits.txt", "405\nAllow: GET, HEAD, OPTIONS"},
	{"DELETE, for a program", "DELETE /digits.txt\nAccept: application/json", "405\nAllow: GET, HEAD, OPTIONS\nContent-Type: application/problem+json"},
	{"a method of nobody", "BREW /digits.txt", "405\nAllow: GET, HEAD, OPTIONS"},
	{"TRACE", "TRACE /digits.txt", "405"},

	// If-None-Match and If-Match (RFC 9110, 13.1.1 and 13.1.2).
	{"the same ETag", "GET /digits.txt\nIf-None-Match: {etag digits.txt}", `304
Etag: {etag digits.txt}
Cache-Control: no-cache
Vary: Accept-Encoding
Specman-View: {view}
Content-Type: -
Content-Length: -

`},
	{"… HEAD too", "HEAD /digits.txt\nIf-None-Match: {etag digits.txt}", "304"},
	{"… compared weakly", "GET /digits.txt\nIf-None-Match: W/{etag digits.txt}", "304"},
	{"… in a list", "GET /digits.txt\nIf-None-Match: \"a,b\", W/\"c\" ,, {etag digits.txt}", "304\nEtag: {etag digits.txt}\nVary: Accept-Encoding"},
	{"… in a list of two lines", "GET /digits.txt\nIf-None-Match: \"a\"\nIf-None-Match: {etag digits.txt}", "304"},
	{"… any", "GET /digits.txt\nIf-None-Match: *", "304"},
	{"another ETag", "GET /digits.txt\nIf-None-Match: \"x\"", "200\n\n0123456789"},
	{"an ETag without quotes is none", "GET /digits.txt\nIf-None-Match: x", "200"},
	{"… and any of nothing", "GET /nothing\nIf-None-Match: *", "404"},
	{"… is not for a redirect", "GET /deep\nIf-None-Match: *", "301"},
	{"… counts more than a date", "GET /digits.txt\nIf-None-Match: \"x\"\nIf-Modified-Since: Fri, 31 Dec 2049 00:00:00 GMT", "200"},
	{"If-Match that matches", "GET /digits.txt\nIf-Match: \"x\", {etag digits.txt}", "200\n\n0123456789"},
	{"If-Match in two lines", "GET /digits.txt\nIf-Match: \"x\"\nIf-Match: {etag digits.txt}", "200"},
	{"If-Match of any", "GET /digits.txt\nIf-Match: *", "200"},
	{"If-Match is strong", "GET /digits.txt\nIf-Match: W/{etag digits.txt}", "412"},
	{"If-Match that does not", "GET /digits.txt\nIf-Match: \"x\"", `412
Content-Type: text/plain; charset=utf-8
Cache-Control: no-cache
Specman-View: {view}
X-Content-Type-Options: nosniff
Etag: {etag digits.txt}
Repr-Digest: -`},
	{"… for a program", "GET /digits.txt\nIf-Match: \"x\"\nAccept: application/json", "412\nContent-Type: application/problem+json"},
	{"… HEAD", "HEAD /digits.txt\nIf-Match: \"x\"", "412\n\n"},
	{"… before If-None-Match", "GET /digits.txt\nIf-Match: \"x\"\nIf-None-Match: {etag digits.txt}", "412"},
	{"… and then If-None-Match", "GET /digits.txt\nIf-Match: *\nIf-None-Match: {etag digits.txt}", "304"},
	{"dates without Last-Modified", "GET /digits.txt\nIf-Modified-Since: Fri, 31 Dec 2049 00:00:00 GMT", "200"},
	{"… the other way", "GET /digits.txt\nIf-Unmodified-Since: Fri, 31 Dec 1999 00:00:00 GMT", "200"},

	// Ranges (RFC 9110, 14).
	{"a range", "GET /digits.txt\nRange: bytes=2-4", `206
Content-Range: bytes 2-4/10
Content-Length: 3
Etag: {etag digits.txt}
Repr-Digest: {digest digits.txt}
Content-Type: text/plain; charset=utf-8
Vary: Accept-Encoding

234`},
	{"the unit in capitals", "GET /digits.txt\nRange: Bytes=2-4", "206\n\n234"},
	{"to the end", "GET /digits.txt\nRange: bytes=7-", "206\nContent-Range: bytes 7-9/10\n\n789"},
	{"a suffix", "GET /digits.txt\nRange: bytes=-3", "206\nContent-Range: bytes 7-9/10\n\n789"},
	{"a suffix of more than all", "GET /digits.txt\nRange: bytes=-99", "206\nContent-Range: bytes 0-9/10\n\n0123456789"},
	{"beyond the end", "GET /digits.txt\nRange: bytes=8-99", "206\nContent-Range: bytes 8-9/10\n\n89"},
	{"far beyond the end", "GET /digits.txt\nRange: bytes=8-99999999999999999999999999", "206\nContent-Range: bytes 8-9/10\n\n89"},
	{"a suffix of absurd length", "GET /digits.txt\nRange: bytes=-99999999999999999999999999", "206\nContent-Range: bytes 0-9/10"},
	{"from beyond the end", "GET /digits.txt\nRange: bytes=10-", `416
Content-Range: bytes */10
Content-Type: text/plain; charset=utf-8
Cache-Control: no-cache
Etag: {etag digits.txt}
Repr-Digest: -
Specman-View: {view}`},
	{"from far beyond the end", "GET /digits.txt\nRange: bytes=99999999999999999999999999-", "416\nContent-Range: bytes */10"},
	{"a suffix of nothing", "GET /digits.txt\nRange: bytes=-0", "416\nContent-Range: bytes */10"},
	{"… for a program", "GET /digits.txt\nRange: bytes=10-\nAccept: application/json", "416\nContent-Type: application/problem+json"},
	{"no range at all", "GET /digits.txt\nRange: bytes=4-2", "416\nContent-Range: bytes */10"},
	{"an unknown unit", "GET /digits.txt\nRange: lines=1-2", "200\n\n0123456789"},
	{"no unit", "GET /digits.txt\nRange: 1-2", "200"},
	{"two lines", "GET /digits.txt\nRange: bytes=1-2\nRange: bytes=3-4", "200"},
	{"a range of an empty file", "GET /empty.txt\nRange: bytes=0-", "200\nContent-Length: 0"},
	{"Range is for GET", "HEAD /digits.txt\nRange: bytes=2-4", "200\nContent-Length: 10\nContent-Range: -"},
	{"two ranges", "GET /digits.txt\nRange: bytes=0-0,-1", "206\nContent-Type: ~multipart/byteranges; boundary="},
	{"two, of which one can be had", "GET /digits.txt\nRange: bytes=5-6,50-60", "206\nContent-Range: bytes 5-6/10\n\n56"},
	{"a hundred ranges", "GET /data.bin\nRange: bytes=" + strings.Repeat("0-0,", 99) + "0-0", "200\n\n0123456789"},
	{"overlapping ranges", "GET /data.bin\nRange: bytes=0-2,1-3,2-4,3-5", "200"},
	{"more bytes than there are", "GET /data.bin\nRange: bytes=0-9,0-9", "200"},
	{"If-Range that matches", "GET /digits.txt\nRange: bytes=2-4\nIf-Range: {etag digits.txt}", "206\n\n234"},
	{"If-Range that does not", "GET /digits.txt\nRange: bytes=2-4\nIf-Range: \"x\"", "200\n\n0123456789"},
	{"If-Range is strong", "GET /digits.txt\nRange: bytes=2-4\nIf-Range: W/{etag digits.txt}", "200"},
	{"If-Range by date, without Last-Modified", "GET /digits.txt\nRange: bytes=2-4\nIf-Range: Fri, 31 Dec 2049 00:00:00 GMT", "200"},
	{"If-Range that does not, beyond the end", "GET /digits.txt\nRange: bytes=99-\nIf-Range: \"x\"", "200"},
	{"If-Range without Range", "GET /digits.txt\nIf-Range: \"x\"", "200"},
	{"a condition before a range", "GET /digits.txt\nRange: bytes=99-\nIf-None-Match: {etag digits.txt}", "304"},
	{"… that fails", "GET /digits.txt\nRange: bytes=2-4\nIf-Match: \"x\"", "412\nContent-Range: -"},
}

func TestConduct(t *testing.T) {
	s := openStore(t)
	upper := maps.Clone(conductTree)
	upper["shared.yaml"] = "new\n"
	lower := hold(t, s, "1.0.0", tree{"shared.yaml": "old\n", "only.yaml": "from 1.0.0\n"})
	top := hold(t, s, "2.0.0", upper)
	follow(t, s, lower)
	follow(t, s, top, lower) // so soon after a swap that no date of what it brings is ever safe
	r := start(t, s, withVariants(t, s))

	contents := maps.Clone(upper)
	contents["only.yaml"] = "from 1.0.0\n"
	fill := func(text string) string {
		for _, c := range []store.Contribution{lower, top} {
			text = strings.ReplaceAll(text, "{manifest "+c.Tag+"}", c.Manifest.String())
		}
		view := s.Acquire()
		defer view.Close()
		text = strings.ReplaceAll(text, "{view}", view.ID())
		for name, content := range contents {
			entry, ok := view.Lookup(strings.TrimSuffix(name, "/"))
			require.True(t, ok, name)
			text = strings.ReplaceAll(text, "{sum "+name+"}", sumHex(content))
			text = strings.ReplaceAll(text, "{etag "+name+"}", `"`+sumHex(content)+`"`)
			text = strings.ReplaceAll(text, "{digest "+name+"}", reprDigest(&entry.Sum))
		}
		return text
	}
	for _, version := range []int{1, 2} {
		client := r.client(t, version)
		for _, row := range conduct {
			t.Run(fmt.Sprintf("HTTP %d: %s", version, row.say), func(t *testing.T) {
				lines := strings.Split(fill(row.request), "\n")
				method, path, _ := strings.Cut(lines[0], " ")
				got := r.ask(t, client, method, path, lines[1:]...)
				assert.Equal(t, version, got.ProtoMajor)
				assert.Equal(t, []string{"nosniff"}, got.Header["X-Content-Type-Options"])
				checkAnswer(t, fill(row.answer), got)
			})
		}
	}
}

// Programs that read nginx's format find a date in each entry, also of an archive
// that was made without dates (as `specman pack` makes them, and a tar writer that
// is told none) and of a folder that has no entry of its own.
func TestListingOfWhatHasNoDate(t *testing.T) {
	s := openStore(t)
	layer := digest.FromString("undated")
	st, err := s.NewStaging(layer)
	require.NoError(t, err)
	require.NoError(t, st.Dir("dated", archiveDate))
	require.NoError(t, st.Dir("implied", time.Time{}))
	require.NoError(t, st.File("implied/x.txt", time.Unix(0, 0), 1, strings.NewReader("x")))
	require.NoError(t, st.Publish())
	manifest := digest.FromString("manifest")
	require.NoError(t, s.Add(store.Release{Source: "default", Tag: "1.0.0", Manifest: manifest, Layer: layer, Fetched: time.Now()}))
	follow(t, s, store.Contribution{Tag: "1.0.0", Manifest: manifest})
	r := start(t, s)

	dates := func(path string) (dates []string) {
		var list []map[string]any
		require.NoError(t, json.Unmarshal([]byte(r.ask(t, r.client(t, 1), "GET", path, "Accept: application/json").body), &list))
		for _, entry := range list {
			dates = append(dates, fmt.Sprint(entry["name"], ": ", entry["mtime"]))
		}
		return dates
	}
	assert.Equal(t, []string{"dated: Fri, 06 Dec 2024 12:43:14 GMT", "implied: Thu, 01 Jan 1970 00:00:00 GMT"}, dates("/"))
	assert.Equal(t, []string{"x.txt: Thu, 01 Jan 1970 00:00:00 GMT"}, dates("/implied/"))
}

// checkAnswer holds an answer against a row's text.
func checkAnswer(t *testing.T, want string, got answered) {
	t.Helper()
	head, body, hasBody := strings.Cut(want, "\n\n")
	lines := strings.Split(head, "\n")
	assert.Equal(t, lines[0], strconv.Itoa(got.StatusCode))
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		has := got.Header.Values(name)
		switch {
		case value == "-":
			assert.Empty(t, has, name)
		case strings.HasPrefix(value, "~"):
			assert.Contains(t, strings.Join(has, ", "), value[1:], name)
		default:
			assert.Equal(t, value, strings.Join(has, ", "), name)
		}
	}
	if hasBody {
		assert.Equal(t, body, got.body)
	}
	if got.Request.Method == http.MethodHead || got.StatusCode == http.StatusNotModified {
		assert.Empty(t, got.body)
	} else if got.ContentLength >= 0 {
		assert.Len(t, got.body, int(got.ContentLength))
	}
}

// withVariants gives a server the variants of what the store serves.
func withVariants(t testing.TB, s *store.Store) func(*Options) {
	t.Helper()
	made, err := variant.Open(variant.Options{Dir: filepath.Join(t.TempDir(), "variants")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, made.Close()) })
	if view := s.Acquire(); view != nil {
		defer view.Close()
		require.NoError(t, made.Make(context.Background(), TextFiles(view)))
	}
	return func(o *Options) { o.Variants = made }
}
