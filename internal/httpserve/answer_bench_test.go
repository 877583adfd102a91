package httpserve

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// discard is a ResponseWriter that costs nothing itself.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

// BenchmarkAnswer is what one answer from memory costs here, without net/http.
func BenchmarkAnswer(b *testing.B) {
	s := openStore(b)
	follow(b, s, hold(b, s, "1.0.0", tree{"small.yaml": strings.Repeat("key: value that is not very long\n", 280)}))
	r := start(b, s, withVariants(b, s), func(o *Options) { o.CacheBytes = 64 << 20 })
	for _, row := range []struct{ say, encoding string }{{"identity", ""}, {"gzip", "gzip"}} {
		b.Run(row.say, func(b *testing.B) {
			req := httptest.NewRequest(http.MethodGet, "/small.yaml", nil)
			if row.encoding != "" {
				req.Header.Set("Accept-Encoding", row.encoding)
			}
			d := &discard{make(http.Header)}
			b.ReportAllocs()
			for b.Loop() {
				clear(d.header)
				r.answer(d, req)
			}
		})
	}
}
