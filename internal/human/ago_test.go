package human

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestAgo(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		at   time.Duration
		want string
	}{
		{-time.Second, "just now"}, {-2 * time.Second, "2 seconds ago"}, {-119 * time.Second, "119 seconds ago"},
		{-2 * time.Minute, "2 minutes ago"}, {-90 * time.Minute, "90 minutes ago"}, {-47 * time.Hour, "47 hours ago"}, {-48 * time.Hour, "2 days ago"},
		{time.Second, "now"}, {45 * time.Second, "in 45 seconds"},
	} {
		assert.Equal(t, c.want, Ago(now.Add(c.at), now))
	}
	assert.Equal(t, "never", Ago(time.Time{}, now))
}
