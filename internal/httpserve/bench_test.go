package httpserve

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkServe asks for one file over and over, as many clients at a time as
// -cpu times 16. Client and server share the processors.
func BenchmarkServe(b *testing.B) {
	s := openStore(b)
	follow(b, s, hold(b, s, "1.0.0", tree{
		"small.yaml": strings.Repeat("key: value that is not very long\n", 280), // 9 KB
		"large.bin":  strings.Repeat("0123456789abcdef", 512<<10),               // 8 MiB
	}))
	variants := withVariants(b, s)
	for _, version := range []int{1, 2} {
		for _, direct := range []bool{false, true} {
			r := start(b, s, variants, func(o *Options) { o.DirectWrites = direct })
			for _, row := range []struct{ say, path, header string }{
				{"small", "/small.yaml", ""},
				{"304", "/small.yaml", "If-None-Match"},
				{"gzip", "/small.yaml", "Accept-Encoding"},
				{"large", "/large.bin", ""},
			} {
				b.Run(fmt.Sprintf("http=%d/direct=%v/%s", version, direct, row.say), func(b *testing.B) {
					client := r.client(b, version)
					first := r.ask(b, client, "GET", row.path)
					value := map[string]string{"If-None-Match": first.Header.Get("Etag"), "Accept-Encoding": "gzip"}[row.header]
					b.SetBytes(int64(len(first.body)))
					b.SetParallelism(16)
					b.ReportAllocs()
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							req, err := http.NewRequest("GET", "https://"+r.addr+row.path, nil)
							require.NoError(b, err)
							if row.header != "" {
								req.Header.Set(row.header, value)
							}
							res, err := client.Do(req)
							require.NoError(b, err)
							_, err = io.Copy(io.Discard, res.Body)
							require.NoError(b, err)
							res.Body.Close()
						}
					})
				})
			}
		}
	}
}
