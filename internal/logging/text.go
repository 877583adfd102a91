package logging

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"
)

// textHandler writes logrus's text layout, as Palette's services do:
//
//	time="2024-12-06T12:43:14Z" level=info msg="Syncing with OCI repo" key=value
//
// The message is always quoted, a value only where it needs it.
type textHandler struct {
	out   *output
	level slog.Leveler
	attrs []byte // of With, ready to write
	group string // of WithGroup, with a dot behind each
}

// output is what a handler shares with those derived from it.
type output struct {
	mu    sync.Mutex // held while writing, not while formatting: a value's own method may log
	w     io.Writer
	lines sync.Pool // of *[]byte, the memory of records
}

// maxKept is the longest line whose memory is used again.
const maxKept = 16 << 10

func newTextHandler(w io.Writer, level slog.Leveler) *textHandler {
	return &textHandler{out: &output{w: w}, level: level}
}

func (h *textHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.level.Level()
}

func (h *textHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	derived := *h
	derived.attrs = slices.Clip(h.attrs) // so that appending never writes into h's
	for _, a := range attrs {
		derived.attrs = appendAttr(derived.attrs, h.group, a)
	}
	return &derived
}

func (h *textHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	derived := *h
	derived.group = h.group + name + "."
	return &derived
}

func (h *textHandler) Handle(_ context.Context, r slog.Record) error {
	kept, ok := h.out.lines.Get().(*[]byte)
	if !ok {
		kept = new([]byte)
	}
	line := (*kept)[:0]
	defer func() {
		if cap(line) <= maxKept {
			*kept = line
			h.out.lines.Put(kept)
		}
	}()

	if !r.Time.IsZero() {
		line = append(line, `time="`...)
		line = r.Time.UTC().AppendFormat(line, time.RFC3339)
		line = append(line, `" `...)
	}
	line = append(line, "level="...)
	line = append(line, levelWord(r.Level)...)
	line = append(line, " msg="...)
	line = strconv.AppendQuote(line, r.Message)
	line = append(line, h.attrs...)
	r.Attrs(func(a slog.Attr) bool {
		line = appendAttr(line, h.group, a)
		return true
	})
	line = append(line, '\n')

	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	_, err := h.out.w.Write(line)
	return err
}

// appendAttr appends ` key=value`, or the attributes of a group, each with the
// group's name before its own.
func appendAttr(line []byte, group string, a slog.Attr) []byte {
	a.Value = a.Value.Resolve()
	if a.Equal(slog.Attr{}) {
		return line
	}
	if a.Value.Kind() == slog.KindGroup {
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, member := range a.Value.Group() {
			line = appendAttr(line, group, member)
		}
		return line
	}
	line = append(line, ' ')
	line = appendWord(line, group+a.Key)
	line = append(line, '=')
	return appendValue(line, a.Value)
}

func appendValue(line []byte, v slog.Value) []byte {
	switch v.Kind() {
	case slog.KindInt64:
		return strconv.AppendInt(line, v.Int64(), 10)
	case slog.KindUint64:
		return strconv.AppendUint(line, v.Uint64(), 10)
	case slog.KindBool:
		return strconv.AppendBool(line, v.Bool())
	case slog.KindTime:
		return appendWord(line, v.Time().UTC().Format(time.RFC3339Nano))
	case slog.KindAny:
		return appendWord(line, anyText(v.Any()))
	default:
		return appendWord(line, v.String())
	}
}

// anyText is what a value says of itself; fmt catches the panics of its methods.
func anyText(v any) string {
	if b, ok := v.([]byte); ok {
		return string(b)
	}
	return fmt.Sprint(v)
}

// appendWord appends text, in quotes if it holds anything but logrus's plain
// letters. Quotes escape control characters, line breaks and what is no UTF-8.
func appendWord(line []byte, text string) []byte {
	if text == "" || !isPlain(text) {
		return strconv.AppendQuote(line, text)
	}
	return append(line, text...)
}

func isPlain(text string) bool {
	for i := range len(text) {
		switch c := text[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '.', c == '_', c == '/', c == '@', c == '^', c == '+':
		default:
			return false
		}
	}
	return true
}
