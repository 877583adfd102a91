package config

import (
	"fmt"
	"strings"
)

// Origin is where a value came from.
type Origin struct {
	From string `json:"from"`           // "default", "file", "environment" or "flag"
	Name string `json:"name,omitempty"` // path of the file, name of the variable, flag with its dashes
	Line int    `json:"line,omitempty"` // in the file, from 1
}

var fromDefault = Origin{From: "default"}

// String is the place as one would look for it: file:line, a variable, a flag.
func (o Origin) String() string {
	switch {
	case o.From == "file" && o.Line > 0:
		return fmt.Sprintf("%s:%d", o.Name, o.Line)
	case o.Name != "":
		return o.Name
	}
	return o.From
}

// Mistake is one thing that is wrong with the configuration.
type Mistake struct {
	Key     string // as the user wrote it; empty where a file is wrong as a whole
	Origin  Origin
	Problem string // what is wrong and what is allowed
}

func (m Mistake) String() string {
	if m.Key == "" {
		return fmt.Sprintf("%s: %s", m.Origin, m.Problem)
	}
	return fmt.Sprintf("%s: %s (%s)", m.Key, m.Problem, m.Origin)
}

// Error is every mistake that was found, in the order of file, environment, flags
// and at last what does not fit together.
type Error struct {
	Mistakes []Mistake
}

// Error puts each mistake on a line of its own.
func (e *Error) Error() string {
	lines := make([]string, 0, len(e.Mistakes)+1)
	if len(e.Mistakes) == 1 {
		return "wrong configuration: " + e.Mistakes[0].String()
	}
	lines = append(lines, fmt.Sprintf("wrong configuration, %d mistakes:", len(e.Mistakes)))
	for _, m := range e.Mistakes {
		lines = append(lines, "  "+m.String())
	}
	return strings.Join(lines, "\n")
}
