package ops

import (
	"fmt"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// Ago says how far a moment lies from now, as a person would: "just now",
// "3 minutes ago", "in 40 seconds"; "never" for none.
func Ago(t, now time.Time) string {
	if t.IsZero() {
		return "never"
	}
	d := now.Sub(t)
	form := "%s ago"
	if d < 0 {
		d, form = -d, "in %s"
	}
	for _, unit := range []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}} {
		// Two of a unit at least, so that 90 minutes are not "1 hour".
		if n := int(d / unit.size); n >= 2 {
			return fmt.Sprintf(form, fmt.Sprintf("%d %ss", n, unit.name))
		}
	}
	if form == "in %s" {
		return "now"
	}
	return "just now"
}

// size is a number of bytes for people, as 1.5 MiB.
func size(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	value, unit := float64(n), 0
	for value >= 1024 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", value), ".0") + " " + units[unit]
}

// short is a digest as people compare it: its first 12 digits.
func short(d digest.Digest) string {
	_, hex, ok := strings.Cut(d.String(), ":")
	if !ok || len(hex) < 12 {
		return d.String()
	}
	return hex[:12]
}
