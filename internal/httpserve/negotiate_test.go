package httpserve

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/variant"
)

func TestEncodings(t *testing.T) {
	text := strings.Repeat("apiVersion: v1\nkind: ConfigMap\n", 100)
	s := openStore(t)
	follow(t, s, hold(t, s, "1.0.0", tree{"text.yaml": text, "small.yaml": "a: 1\n", "text.bin": text}))
	r := start(t, s, withVariants(t, s))
	for _, row := range []struct{ accept, path, want string }{
		{"", "/text.yaml", "identity"},
		{"gzip", "/text.yaml", "gzip"},
		{"zstd", "/text.yaml", "zstd"},
		{"GZIP", "/text.yaml", "gzip"},
		{"x-gzip", "/text.yaml", "gzip"},
		{"br", "/text.yaml", "identity"},
		{"gzip, deflate, br, zstd", "/text.yaml", "smallest"},
		{"gzip;q=1.0, zstd;q=0.5", "/text.yaml", "gzip"},
		{"gzip;q=0.5, zstd;q=0.9", "/text.yaml", "zstd"},
		{"gzip;q=0.001", "/text.yaml", "gzip"},
		{"gzip;q=0", "/text.yaml", "identity"},
		{"gzip; q=0 , zstd;q=0.000", "/text.yaml", "identity"},
		{"identity;q=1, gzip;q=0.5", "/text.yaml", "identity"},
		{"identity;q=0.5, gzip;q=1", "/text.yaml", "gzip"},
		{"identity;q=0", "/text.yaml", "identity"}, // none that is acceptable is there: the header is disregarded
		{"identity;q=0, gzip;q=0.1", "/text.yaml", "gzip"},
		{"*", "/text.yaml", "smallest"},
		{"*;q=0", "/text.yaml", "identity"},
		{"*;q=0, gzip", "/text.yaml", "gzip"},
		{"gzip;q=0, *", "/text.yaml", "zstd"},
		{"gzip;q=nonsense", "/text.yaml", "gzip"},
		{",, ;q=1, gzip", "/text.yaml", "gzip"},
		{"gzip", "/small.yaml", "identity"},
		{"gzip", "/text.bin", "identity"},
		{"gzip", "/@1.0.0/text.yaml", "gzip"},
	} {
		for _, version := range []int{1, 2} {
			t.Run(fmt.Sprintf("HTTP %d: %s %s", version, row.path, row.accept), func(t *testing.T) {
				client := r.client(t, version)
				var header []string
				if row.accept != "" {
					header = append(header, "Accept-Encoding: "+row.accept)
				}
				got := r.ask(t, client, "GET", row.path, header...)
				require.Equal(t, 200, got.StatusCode)
				if strings.HasSuffix(row.path, ".yaml") {
					assert.Equal(t, "Accept-Encoding", got.Header.Get("Vary"), "on what could have variants")
				} else {
					assert.Empty(t, got.Header.Get("Vary"))
				}
				coding, plain := got.Header.Get("Content-Encoding"), got.body
				switch coding {
				case "gzip":
					plain = gunzip(t, got.body)
				case "zstd":
					plain = unzstd(t, got.body)
				case "":
					coding = "identity"
				}
				if row.want == "smallest" {
					other := map[string]string{"gzip": "zstd", "zstd": "gzip"}[coding]
					require.NotEmpty(t, other)
					assert.LessOrEqual(t, len(got.body), len(r.ask(t, client, "GET", row.path, "Accept-Encoding: "+other).body))
				} else {
					assert.Equal(t, row.want, coding)
				}
				if row.path == "/small.yaml" {
					assert.Equal(t, "a: 1\n", plain)
				} else {
					assert.Equal(t, text, plain)
				}
				sum := sumOf(got.body)
				assert.Equal(t, reprDigest(&sum), got.Header.Get("Repr-Digest"), "of the coded bytes")
				assert.Len(t, got.body, int(got.ContentLength))
			})
		}
	}
}

// A variant is a representation of its own: ETag, conditions and ranges are
// of its bytes.
func TestVariantIsItsOwnRepresentation(t *testing.T) {
	large := largeText(1 << 20)
	s := openStore(t)
	follow(t, s, hold(t, s, "1.0.0", tree{"small.yaml": strings.Repeat("key: value\n", 500), "large.yaml": large}))
	r := start(t, s, withVariants(t, s))
	// A date is told from a second after the swap on: not between two answers.
	require.Eventually(t, func() bool {
		return r.ask(t, r.client(t, 1), "HEAD", "/small.yaml").Header.Get("Last-Modified") != ""
	}, 10*time.Second, 50*time.Millisecond)
	for _, version := range []int{1, 2} {
		client := r.client(t, version)
		for _, path := range []string{"/small.yaml", "/large.yaml"} {
			t.Run(fmt.Sprint("HTTP ", version, ": ", path), func(t *testing.T) {
				etags := map[string]bool{}
				for _, coding := range []string{"identity", "gzip", "zstd"} {
					accept := "Accept-Encoding: " + coding
					whole := r.ask(t, client, "GET", path, accept)
					require.Equal(t, 200, whole.StatusCode)
					etag := whole.Header.Get("Etag")
					assert.Regexp(t, `^"[^"]+"$`, etag, "strong")
					assert.False(t, etags[etag], "one ETag for one form")
					etags[etag] = true
					if path == "/large.yaml" {
						require.Greater(t, len(whole.body), maxCached, "so that it is not served from the cache")
					}

					head := r.ask(t, client, "HEAD", path, accept)
					head.Header.Del("Date")
					whole.Header.Del("Date")
					assert.Equal(t, whole.Header, head.Header)

					assert.Equal(t, 304, r.ask(t, client, "GET", path, accept, "If-None-Match: "+etag).StatusCode)
					other := r.ask(t, client, "GET", path, accept, `If-None-Match: "`+sumHex("x")+`"`)
					assert.Equal(t, whole.body, other.body)

					part := r.ask(t, client, "GET", path, accept, "Range: bytes=5-24", "If-Range: "+etag)
					assert.Equal(t, 206, part.StatusCode)
					assert.Equal(t, whole.body[5:25], part.body)
					assert.Equal(t, fmt.Sprintf("bytes 5-24/%d", len(whole.body)), part.Header.Get("Content-Range"))
					for _, name := range []string{"Content-Encoding", "Etag", "Repr-Digest", "Vary", "Content-Type"} {
						assert.Equal(t, whole.Header[name], part.Header[name], name)
					}
					beyond := r.ask(t, client, "GET", path, accept, fmt.Sprintf("Range: bytes=%d-", len(whole.body)))
					assert.Equal(t, 416, beyond.StatusCode)
					assert.Empty(t, beyond.Header.Get("Content-Encoding"), "the error is not coded")
				}
				identity := r.ask(t, client, "GET", path)
				gzipped := r.ask(t, client, "GET", path, "Accept-Encoding: gzip", "If-None-Match: "+identity.Header.Get("Etag"))
				assert.Equal(t, 200, gzipped.StatusCode, "the ETag of another form does not match")
			})
		}
	}
}

// largeText is text that stays large when it is compressed.
func largeText(size int) string {
	var b strings.Builder
	r := rand.New(rand.NewChaCha8([32]byte{2}))
	for b.Len() < size {
		fmt.Fprintf(&b, "key%d: %x\n", r.Uint32(), r.Uint64())
	}
	return b.String()
}

func TestLostVariantIsServedAsIdentity(t *testing.T) {
	text := strings.Repeat("key: value\n", 500)
	s := openStore(t)
	follow(t, s, hold(t, s, "1.0.0", tree{"a.yaml": text}))
	dir := t.TempDir()
	variants, err := variant.Open(variant.Options{Dir: dir})
	require.NoError(t, err)
	defer variants.Close()
	r := start(t, s, func(o *Options) { o.Variants = variants })
	view := s.Acquire()
	defer view.Close()
	require.NoError(t, variants.Make(context.Background(), TextFiles(view)))
	spoilVariants(t, dir, sumOf(text))

	client := r.client(t, 2)
	got := r.ask(t, client, "GET", "/a.yaml", "Accept-Encoding: gzip")
	assert.Equal(t, 200, got.StatusCode)
	assert.Empty(t, got.Header.Get("Content-Encoding"))
	assert.Equal(t, text, got.body)
	assert.Equal(t, `"`+sumHex(text)+`"`, got.Header.Get("Etag"))

	require.NoError(t, variants.Make(context.Background(), TextFiles(view)))
	got = r.ask(t, client, "GET", "/a.yaml", "Accept-Encoding: gzip")
	assert.Equal(t, text, gunzip(t, got.body), "and made anew")
}

func TestPrefersJSON(t *testing.T) {
	for _, row := range []struct {
		accept string
		want   bool
	}{
		{"application/json", true},
		{"APPLICATION/JSON", true},
		{"application/problem+json", true},
		{"application/*", true},
		{"application/json;charset=utf-8", true},
		{"application/json, text/plain, */*", true},
		{"application/json, */*", true},
		{"application/json;q=0.5, text/html;q=0.4", true},
		{"application/json;q=0.5, text/html", false},
		{"text/html, application/xhtml+xml, */*;q=0.8", false},
		{"*/*", false},
		{"text/*", false},
		{"image/png", false},
		{"application/json;q=0", false},
		{"", false},
	} {
		assert.Equal(t, row.want, prefersJSON([]string{row.accept}), row.accept)
	}
	assert.False(t, prefersJSON(nil))
	assert.True(t, prefersJSON([]string{"text/html;q=0.1", "application/json"}), "two lines are one list")
}
