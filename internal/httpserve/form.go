package httpserve

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"time"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/variant"
)

// form is the shape in which a file is sent: as it is, or coded.
type form struct {
	coding variant.Coding
	size   int64
	tag    variant.Tag // of a coded form
	etag   string
}

func identity(entry store.Entry) form {
	var etag [2 + 2*sha256.Size]byte
	etag[0], etag[len(etag)-1] = '"', '"'
	hex.Encode(etag[1:], entry.Sum[:])
	return form{size: entry.Size, etag: string(etag[:])}
}

// chooseForm picks what the client likes best; of equals the smallest.
func (s *Server) chooseForm(acceptEncoding []string, entry store.Entry) form {
	accepted := acceptedEncodings(acceptEncoding)
	if accepted.gzip == 0 && accepted.zstd == 0 {
		return identity(entry)
	}
	set, ok := s.opts.Variants.Find(entry.Sum)
	if !ok {
		return identity(entry)
	}
	best, size, q := variant.Identity, entry.Size, accepted.identity
	for _, c := range [...]struct {
		coding variant.Coding
		q      int
	}{{variant.Zstd, accepted.zstd}, {variant.Gzip, accepted.gzip}} {
		v, ok := set.Get(c.coding)
		if ok && (c.q > q || c.q == q && c.q > 0 && v.Size < size) {
			best, size, q = c.coding, v.Size, c.q
		}
	}
	if best == variant.Identity {
		return identity(entry)
	}
	v, _ := set.Get(best)
	// With the content's sum before it, a tag that somebody made collide with
	// another file's is of no use to him.
	var space [2 + sha256.Size + 2*len(v.Tag) + 8]byte
	etag := append(hex.AppendEncode(append(space[:0], '"'), entry.Sum[:16]), '-')
	etag = append(hex.AppendEncode(append(append(etag, best.String()...), '-'), v.Tag[:]), '"')
	return form{coding: best, size: size, tag: v.Tag, etag: string(etag)}
}

func reprDigest(sum *[sha256.Size]byte) string { return string(appendDigest(nil, sum)) }

func appendDigest(text []byte, sum *[sha256.Size]byte) []byte {
	return append(base64.StdEncoding.AppendEncode(append(text, "sha-256=:"...), sum[:]), ':')
}

// lastModified is the date that may be sent for content that is served here
// since then; zero for none. It is rounded up, so that a client which got what
// was here before in the same second, and asks with that second, is told that
// it changed.
func lastModified(since, now time.Time) time.Time {
	if since.IsZero() {
		return time.Time{}
	}
	date := since.Truncate(time.Second)
	if date.Before(since) {
		date = date.Add(time.Second)
	}
	if now.Sub(date) < time.Second {
		return time.Time{}
	}
	return date
}
