package selector

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// The grammars that are read by hand are those of the specifications' regular
// expressions.
func TestGrammars(t *testing.T) {
	tag := regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	digest := regexp.MustCompile(`^sha256:[a-f0-9]{64}$`)

	texts := []string{"", "0.0.0", "v4.5.11-rc.1", "a..b--c", "_", "a\n", "\na", "é", "a é", "sha256:"}
	for b := range 256 { // each byte alone, first, inside and last
		c := string([]byte{byte(b)})
		texts = append(texts, c, c+"a", "a"+c+"a", "a"+c)
		hex := strings.Repeat("0", 63)
		texts = append(texts, "sha256:"+c+hex, "sha256:"+hex+c, "sha256:"+hex[:31]+c+hex[31:])
	}
	for _, n := range []int{63, 64, 65, 127, 128, 129} {
		texts = append(texts, strings.Repeat("a", n), "sha256:"+strings.Repeat("a", n), "sha512:"+strings.Repeat("a", n))
	}
	tags, digests := 0, 0
	for _, text := range texts {
		assert.Equal(t, tag.MatchString(text), isTag(text), "tag %q", text)
		assert.Equal(t, digest.MatchString(text), isDigest(text), "digest %q", text)
		if isTag(text) {
			tags++
		}
		if isDigest(text) {
			digests++
		}
	}
	assert.NotZero(t, tags)
	assert.NotZero(t, digests)
}
