// Package human writes quantities as people read them.
package human

import (
	"fmt"
	"strings"
)

// Bytes writes a number of bytes with the largest binary unit that leaves one
// or more, and at most one decimal: 512 B, 1.5 MiB, 10 GiB.
func Bytes(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	value, unit := float64(n), 0
	for value >= 1024 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", value), ".0") + " " + units[unit]
}
