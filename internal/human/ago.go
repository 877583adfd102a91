package human

import (
	"fmt"
	"time"
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
