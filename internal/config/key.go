package config

import (
	"fmt"
	"strings"
)

// Kind is what a key holds.
type Kind string

// The kinds of values, by the names that help and reference print.
const (
	Text     Kind = "text"     // string
	Bool     Kind = "bool"     // bool: true or false, nothing else
	Int      Kind = "int"      // int, decimal
	Duration Kind = "duration" // time.Duration, as Go writes it
	Size     Kind = "size"     // int64 bytes; Ki, Mi, Gi and Ti are powers of 1024
	List     Kind = "list"     // []string
)

// Key is one row of the table: all that is known of one setting.
type Key struct {
	Name    string // "source.maxReleases", as in the file
	Kind    Kind
	Default string // as one would write it in the environment
	Help    string // one paragraph; its first sentence is the flag's usage

	OneOf    []string // Text: the only words allowed
	Min, Max int64    // Int; Size in bytes; Duration in nanoseconds. Max 0: no upper limit
	Required bool     // Text and List: must not be empty

	Secret bool // never printed
	Twin   bool // has a `…File` twin from which the value can be read instead

	// check refuses a text, or one item of a list; its error says what is allowed.
	check func(string) error
	// computed says in words what an empty Default becomes.
	computed string
}

// Env is the key's environment variable: dots become underscores, letters capitals.
func (k Key) Env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(k.Name, ".", "_"))
}

// Flag is the key's flag, without its dashes.
func (k Key) Flag() string { return k.Name }

// defaultValue is what the key holds where nobody set it.
func (k Key) defaultValue() any {
	if k.Default == "" && k.Kind != List {
		return ""
	}
	// Checks that the caller brings are for what users write.
	k.check = nil
	value, err := k.parse(k.Default)
	if err != nil {
		panic("config: default of " + k.Name + ": " + err.Error())
	}
	return value
}

// Summary is the first sentence of the help.
func (k Key) Summary() string {
	first, _, _ := strings.Cut(k.Help, ". ")
	return strings.TrimSuffix(first, ".")
}

// Allowed says in words which values the key takes.
func (k Key) Allowed() string {
	switch k.Kind {
	case Bool:
		return "true or false"
	case Int:
		return "a whole number " + k.limits(func(n int64) string { return fmt.Sprint(n) })
	case Duration:
		return "a duration " + k.limits(formatDuration) + ", as 30s, 5m or 12h"
	case Size:
		return "a size " + k.limits(formatSize) + ", as 512Mi, 8Gi or plain bytes"
	case List:
		if k.Required {
			return "a list of at least one text"
		}
		return "a list of texts"
	}
	if len(k.OneOf) > 0 {
		return "one of " + strings.Join(k.OneOf, ", ")
	}
	return "text"
}

func (k Key) limits(format func(int64) string) string {
	if k.Max == 0 {
		return "from " + format(k.Min)
	}
	return "from " + format(k.Min) + " to " + format(k.Max)
}

func (k Key) inSource() bool { return strings.HasPrefix(k.Name, sourcePrefix) }
