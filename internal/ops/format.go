package ops

import (
	"strings"

	"github.com/opencontainers/go-digest"
)

// short is a digest as people compare it: its first 12 digits.
func short(d digest.Digest) string {
	_, hex, ok := strings.Cut(d.String(), ":")
	if !ok || len(hex) < 12 {
		return d.String()
	}
	return hex[:12]
}
