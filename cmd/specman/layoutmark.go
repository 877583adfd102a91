package main

import (
	"bytes"
	"io"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/specman/specman/internal/sync/importer"
)

// maxMarkBytes is far more than the marker file of a layout has.
const maxMarkBytes = 4 << 10

// layoutMark is a sink for an archive that keeps nothing but what tells an OCI layout
// from a tree: its two files at the top.
type layoutMark struct {
	index bool
	mark  []byte
}

// isLayout says whether what was read, and would be accepted as an archive, is a layout.
func (i *inspector) isLayout() bool {
	return i.found.Accepted && i.mark.index && importer.IsLayout(bytes.NewReader(i.mark.mark))
}

// File implements archive.Sink.
func (m *layoutMark) File(name string, _ time.Time, _ int64, content io.Reader) (err error) {
	switch name {
	case ocispec.ImageIndexFile:
		m.index = true
	case ocispec.ImageLayoutFile:
		m.mark, err = io.ReadAll(io.LimitReader(content, maxMarkBytes))
	}
	return err
}

// Remove implements archive.Sink.
func (m *layoutMark) Remove(name string) error {
	switch name {
	case ocispec.ImageIndexFile:
		m.index = false
	case ocispec.ImageLayoutFile:
		m.mark = nil
	}
	return nil
}

// The rest of an archive.Sink.
func (m *layoutMark) Dir(string, time.Time) error             { return nil }
func (m *layoutMark) HardLink(string, string) error           { return nil }
func (m *layoutMark) Symlink(string, string, time.Time) error { return nil }
func (m *layoutMark) Alias(string, string, bool) error        { return nil }
