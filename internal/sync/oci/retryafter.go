package oci

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// MaxRetryAfter is the longest wait that a registry can ask for.
const MaxRetryAfter = time.Hour

// retryAfter reads Retry-After in both its forms (RFC 9110, section 10.2.3). A
// date is measured against the answer's own Date, so that a wrong clock on
// either side does not matter.
func retryAfter(header http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(header.Get("Retry-After"))
	if value == "" {
		return 0
	}
	var wait time.Duration
	if seconds, err := strconv.ParseInt(value, 10, 64); err == nil {
		wait = time.Duration(min(seconds, int64(MaxRetryAfter/time.Second))) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		if date, err := http.ParseTime(header.Get("Date")); err == nil {
			now = date
		}
		wait = at.Sub(now)
	}
	return max(0, min(wait, MaxRetryAfter))
}
