package logging

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// noon is 12:43:14 UTC, told in another zone and with a fraction.
var noon = time.Date(2024, 12, 6, 13, 43, 14, 987654321, time.FixedZone("CET", 3600))

// line logs one record at noon and gives what was written.
func line(t *testing.T, layout string, level slog.Level, msg string, attrs ...slog.Attr) string {
	t.Helper()
	var out bytes.Buffer
	logger, err := New(&out, layout, slog.LevelDebug)
	require.NoError(t, err)
	record := slog.NewRecord(noon, level, msg, 0)
	record.AddAttrs(attrs...)
	require.NoError(t, logger.Handler().Handle(context.Background(), record))
	return out.String()
}

func TestTheGuidesLines(t *testing.T) {
	for _, msg := range []string{
		"Syncing with OCI repo", "tags[4.5.11 4.5.13 0.0.0]", "Downloading 0.0.0", "filename: manifests.tgz, isDir: false", "Persisting 0.0.0",
	} {
		assert.Equal(t, `time="2024-12-06T12:43:14Z" level=info msg="`+msg+"\"\n", line(t, Text, slog.LevelInfo, msg))
	}
}

type stringer struct{ text string }

func (s *stringer) String() string { return s.text }

type secret string

func (secret) LogValue() slog.Value { return slog.StringValue("***") }

func TestTextValues(t *testing.T) {
	for _, row := range []struct {
		name string
		attr slog.Attr
		want string
	}{
		{"plain text", slog.String("k", "aZ0-._/@^+"), "k=aZ0-._/@^+"},
		{"empty", slog.String("k", ""), `k=""`},
		{"blank", slog.String("k", "a b"), `k="a b"`},
		{"equals sign", slog.String("k", "a=b"), `k="a=b"`},
		{"colon, as in a digest", slog.String("k", "sha256:00"), `k="sha256:00"`},
		{"quote and backslash", slog.String("k", `a"b\`), `k="a\"b\\"`},
		{"line break", slog.String("k", "a\nlevel=error"), `k="a\nlevel=error"`},
		{"carriage return and escape", slog.String("k", "\r\x1b[31m"), `k="\r\x1b[31m"`},
		{"line separator and text direction", slog.String("k", "\u2028\u202e"), `k="\u2028\u202e"`},
		{"no UTF-8", slog.String("k", "\xff"), `k="\xff"`},
		{"letters of the world", slog.String("k", "größe"), `k="größe"`},
		{"numbers", slog.Int("k", -3), "k=-3"},
		{"large number", slog.Uint64("k", 1<<63), "k=9223372036854775808"},
		{"fraction", slog.Float64("k", 0.5), "k=0.5"},
		{"bool", slog.Bool("k", true), "k=true"},
		{"duration", slog.Duration("k", 90*time.Second), "k=1m30s"},
		{"time", slog.Time("k", noon), `k="2024-12-06T12:43:14.987654321Z"`},
		{"error", slog.Any("k", errors.New("no such host")), `k="no such host"`},
		{"list", slog.Any("k", []string{"a", "b"}), `k="[a b]"`},
		{"bytes", slog.Any("k", []byte("ab")), "k=ab"},
		{"nil", slog.Any("k", nil), `k="<nil>"`},
		{"stringer", slog.Any("k", &stringer{"x"}), "k=x"},
		{"stringer that panics", slog.Any("k", (*stringer)(nil)), `k="<nil>"`},
		{"value that hides itself", slog.Any("k", secret("x")), `k="***"`},
		{"key with a blank", slog.Int("a b", 1), `"a b"=1`},
		{"key with a line break", slog.Int("a\nb", 1), `"a\nb"=1`},
		{"group", slog.Group("g", "a", 1, slog.Group("h", "b", 2)), "g.a=1 g.h.b=2"},
		{"group without a name", slog.Group("", "a", 1), "a=1"},
	} {
		t.Run(row.name, func(t *testing.T) {
			assert.Equal(t, `time="2024-12-06T12:43:14Z" level=info msg="m" `+row.want+"\n", line(t, Text, slog.LevelInfo, "m", row.attr))
		})
	}
	t.Run("an empty group and an empty attribute say nothing", func(t *testing.T) {
		assert.Equal(t, `time="2024-12-06T12:43:14Z" level=info msg="m"`+"\n", line(t, Text, slog.LevelInfo, "m", slog.Group("g"), slog.Attr{}))
	})
	t.Run("the message is quoted and stays on its line", func(t *testing.T) {
		assert.Equal(t, `time="2024-12-06T12:43:14Z" level=warn msg="a\n\"b\""`+"\n", line(t, Text, slog.LevelWarn, "a\n\"b\""))
	})
	t.Run("a record without a time has none", func(t *testing.T) {
		var out bytes.Buffer
		require.NoError(t, newTextHandler(&out, slog.LevelInfo).Handle(context.Background(), slog.Record{Message: "m"}))
		assert.Equal(t, "level=info msg=\"m\"\n", out.String())
	})
}

func TestLevels(t *testing.T) {
	for level, word := range map[slog.Level]string{
		slog.LevelDebug - 4: "debug", slog.LevelDebug: "debug", slog.LevelInfo: "info", slog.LevelInfo + 1: "info",
		slog.LevelWarn: "warn", slog.LevelError: "error", slog.LevelError + 4: "error",
	} {
		assert.Contains(t, line(t, Text, level, "m"), " level="+word+" ")
		assert.Contains(t, line(t, JSON, level, "m"), `"level":"`+word+`"`)
	}
	for _, word := range []string{"debug", "info", "warn", "error"} {
		level, err := ParseLevel(word)
		require.NoError(t, err)
		assert.Equal(t, word, levelWord(level))
	}
	for _, word := range []string{"", "warning", "INFO", "trace"} {
		_, err := ParseLevel(word)
		assert.ErrorContains(t, err, "allowed are debug, info, warn and error")
	}
}

func TestLevelSwitchesWhileRunning(t *testing.T) {
	for _, layout := range []string{Text, JSON} {
		var out bytes.Buffer
		var level slog.LevelVar
		logger, err := New(&out, layout, &level)
		require.NoError(t, err)
		derived := logger.With("k", 1)

		derived.Debug("one")
		level.Set(slog.LevelDebug)
		derived.Debug("two")
		level.Set(slog.LevelError)
		derived.Warn("three")
		assert.NotContains(t, out.String(), "one")
		assert.Contains(t, out.String(), "two")
		assert.NotContains(t, out.String(), "three")
	}
}

func TestDerivedLoggersKeepApart(t *testing.T) {
	var out bytes.Buffer
	logger := slog.New(newTextHandler(&out, slog.LevelInfo))
	base := logger.With("a", 1)
	left, right := base.With("b", 2), base.With("c", 3)
	grouped := right.WithGroup("g").With("d", 4).WithGroup("").WithGroup("h")
	left.Info("left", "x", 0)
	right.Info("right", "x", 0)
	grouped.Info("grouped", "x", 0)
	base.Info("base")
	var got []string
	for l := range strings.Lines(out.String()) {
		_, l, _ = strings.Cut(l, "msg=")
		got = append(got, strings.TrimSpace(l))
	}
	assert.Equal(t, []string{`"left" a=1 b=2 x=0`, `"right" a=1 c=3 x=0`, `"grouped" a=1 c=3 g.d=4 g.h.x=0`, `"base" a=1`}, got)
}

func TestJSON(t *testing.T) {
	text := line(t, JSON, slog.LevelError, "a\n\"b\"\x1b",
		slog.Duration("took", 90*time.Second), slog.Any("err", errors.New("no such host")), slog.Time("at", noon),
		slog.Group("g", "level", "own", "time", "own"), slog.Any("list", []string{"x"}), slog.String("bad", "\xff"))
	assert.Equal(t, 1, strings.Count(text, "\n"), "one record is one line")
	var got map[string]any
	require.NoError(t, json.Unmarshal([]byte(text), &got))
	assert.Equal(t, map[string]any{
		"time": "2024-12-06T12:43:14.987654321Z", "level": "error", "msg": "a\n\"b\"\x1b", "took": "1m30s", "err": "no such host",
		"at": "2024-12-06T12:43:14.987654321Z", "g": map[string]any{"level": "own", "time": "own"}, "list": []any{"x"}, "bad": "\uFFFD",
	}, got)
	assert.Contains(t, line(t, JSON, slog.LevelInfo, "m", slog.String("level", "of the caller")), `"level":"of the caller"`)
}

func TestUnknownLayout(t *testing.T) {
	_, err := New(io.Discard, "xml", slog.LevelInfo)
	assert.EqualError(t, err, `log layout "xml" is not known; allowed are text and json`)
}

// writes keeps each Write apart.
type writes struct {
	mu  sync.Mutex
	all []string
}

func (w *writes) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, string(p))
	return len(p), nil
}

func TestOneRecordIsOneWriteFromAnyGoroutine(t *testing.T) {
	for _, layout := range []string{Text, JSON} {
		t.Run(layout, func(t *testing.T) {
			var out writes
			logger, err := New(&out, layout, slog.LevelInfo)
			require.NoError(t, err)
			const goroutines, records = 8, 200
			want := map[string]bool{}
			var wait sync.WaitGroup
			for g := range goroutines {
				for r := range records {
					want[fmt.Sprintf("%d-%d", g, r)] = true
				}
				mine := logger.With("g", g)
				wait.Go(func() {
					for r := range records {
						// Long ones too, whose memory is not kept.
						mine.Info(fmt.Sprintf("%d-%d", g, r), "pad", strings.Repeat("x", r*100))
					}
				})
			}
			wait.Wait()
			require.Len(t, out.all, goroutines*records)
			for _, line := range out.all {
				require.Equal(t, 1, strings.Count(line, "\n"))
				require.True(t, strings.HasSuffix(line, "\n"))
				_, rest, _ := strings.Cut(strings.ReplaceAll(line, `"msg":"`, `msg="`), `msg="`)
				msg, _, _ := strings.Cut(rest, `"`)
				require.True(t, want[msg], "%q is written once and whole", msg)
				delete(want, msg)
			}
			assert.Empty(t, want)
		})
	}
}

// A value may log while it is being logged.
func TestValueThatLogs(t *testing.T) {
	var out bytes.Buffer
	logger := slog.New(newTextHandler(&out, slog.LevelInfo))
	logger.Info("outer", "v", talkative{logger})
	assert.Contains(t, out.String(), `msg="inner"`+"\n")
	assert.Contains(t, out.String(), `msg="outer" v=x`+"\n")
}

type talkative struct{ logger *slog.Logger }

func (v talkative) LogValue() slog.Value {
	v.logger.Info("inner")
	return slog.StringValue("x")
}

func TestHandlerPassesOnWhyAWriteFailed(t *testing.T) {
	handler := newTextHandler(failing{}, slog.LevelInfo)
	assert.ErrorIs(t, handler.Handle(context.Background(), slog.Record{}), io.ErrClosedPipe)
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
