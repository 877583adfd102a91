// Package logging makes the two log layouts of Specman: the text layout that
// operators of Palette grep for, and JSON.
//
// What is always true: one record is one line and one Write, whatever its values
// hold; times are UTC; level words are debug, info, warn and error. Handlers are
// safe for concurrent use, and those derived from one (With, WithGroup) never
// write into each other's lines.
package logging

import (
	"fmt"
	"io"
	"log/slog"
)

// The layouts that [New] knows.
const (
	Text = "text" // time="…" level=info msg="…" key=value
	JSON = "json" // {"time":"…","level":"info","msg":"…"}
)

// New makes a logger that writes records of at least the given level to w. Give a
// *slog.LevelVar as level to change it while the program runs. The layout is Text
// or JSON; anything else is an error.
func New(w io.Writer, layout string, level slog.Leveler) (*slog.Logger, error) {
	switch layout {
	case Text:
		return slog.New(newTextHandler(w, level)), nil
	case JSON:
		return slog.New(newJSONHandler(w, level)), nil
	}
	return nil, fmt.Errorf("log layout %q is not known; allowed are %s and %s", layout, Text, JSON)
}

// ParseLevel reads one of the four level words.
func ParseLevel(word string) (slog.Level, error) {
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if word == levelWord(level) {
			return level, nil
		}
	}
	return 0, fmt.Errorf("log level %q is not known; allowed are debug, info, warn and error", word)
}

// levelWord is the word of a level; a level between two words has the lower one.
func levelWord(level slog.Level) string {
	switch {
	case level < slog.LevelInfo:
		return "debug"
	case level < slog.LevelWarn:
		return "info"
	case level < slog.LevelError:
		return "warn"
	}
	return "error"
}

// newJSONHandler is slog's own, with our level words, UTC, and durations as people
// read them.
func newJSONHandler(w io.Writer, level slog.Leveler) slog.Handler {
	return slog.NewJSONHandler(w, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.LevelKey {
				if l, ok := a.Value.Any().(slog.Level); ok {
					return slog.String(slog.LevelKey, levelWord(l))
				}
			}
			switch a.Value.Kind() {
			case slog.KindTime:
				return slog.Time(a.Key, a.Value.Time().UTC())
			case slog.KindDuration:
				return slog.String(a.Key, a.Value.Duration().String())
			}
			return a
		},
	})
}
