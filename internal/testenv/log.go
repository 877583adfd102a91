package testenv

import (
	"bytes"
	"strings"
	"sync"
)

// A Log is what a program under test has written so far: a test reads it while it is
// written. Its zero value is empty.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String returns all of it.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Lines returns its lines, without what ends them.
func (l *Log) Lines() []string { return strings.Split(strings.TrimSpace(l.String()), "\n") }
