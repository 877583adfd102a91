package selector

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestCompareVersions(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"4.5.13", "4.5.9", 1},
		{"v4.5.13", "4.5.13", 0},
		{"4.5", "4.5.0", 0},
		{"4.6.0-rc.1", "4.6.0", -1},
		{"0.0.0", "4.5.13", -1},
		{"latest", "0.0.1", -1},
		{"", "latest", 0},
		{"4.5.13", "", 1},
	} {
		assert.Equal(t, c.want, CompareVersions(c.a, c.b), "%q and %q", c.a, c.b)
		assert.Equal(t, -c.want, CompareVersions(c.b, c.a), "%q and %q", c.b, c.a)
	}
}
