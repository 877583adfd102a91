package archive

import (
	"fmt"
	"strconv"
	"strings"
)

// RefusedError says that an archive is not fit to be served. The archive itself
// is at fault, so fetching the same bytes again is of no use.
type RefusedError struct {
	Entry  string // as in the archive, cut in the middle if long; "" if it is the archive as a whole
	Reason string // safe to print
	Err    error  // what a decoder said, if one did
}

// Error is one line that is safe to print.
func (e *RefusedError) Error() string {
	var b strings.Builder
	b.WriteString("archive refused")
	if e.Entry != "" {
		b.WriteString(" at entry ")
		b.WriteString(quote(e.Entry))
	}
	b.WriteString(": ")
	b.WriteString(e.Reason)
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(e.Err.Error())
	}
	return b.String()
}

func (e *RefusedError) Unwrap() error { return e.Err }

func refuse(entry, format string, args ...any) *RefusedError {
	return &RefusedError{Entry: shorten(entry), Reason: fmt.Sprintf(format, args...)}
}

// quote makes a name from an archive safe for logs and terminals.
func quote(name string) string {
	return strconv.Quote(shorten(name))
}

// shorten keeps the beginning and the end of a long name: the end tells files
// apart, the beginning says where they are.
func shorten(name string) string {
	const head, tail = 160, 80
	if len(name) <= head+tail {
		return name
	}
	return name[:head] + "…" + name[len(name)-tail:]
}
