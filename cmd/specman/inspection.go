package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/opencontainers/go-digest"

	"github.com/specman/specman/internal/config"
	"github.com/specman/specman/internal/sync/archive"
)

// inspection is what inspect finds out; its JSON is what `inspect -o json` prints.
type inspection struct {
	Accepted bool     `json:"accepted"`
	Refused  *refusal `json:"refused,omitempty"` // nil if Accepted

	Artifact *artifact `json:"artifact,omitempty"` // nil: of a file

	// Releases are what an OCI layout in a file holds; of another archive there are none.
	Releases []layoutRelease `json:"releases,omitempty"`

	Format       string        `json:"format"` // tar, tar+gzip or tar+zstd; empty where it could not be told
	Digest       digest.Digest `json:"digest"` // of the archive; empty where none was read
	ArchiveBytes int64         `json:"archiveBytes"`
	Files        int           `json:"files"`
	Folders      int           `json:"folders"`
	Bytes        int64         `json:"bytes"` // of all files, unpacked
	ThroughLinks int           `json:"throughLinks"`
	Skipped      []skipped     `json:"skipped"` // never null
	SkippedTotal int           `json:"skippedTotal"`

	cure      string // of Refused
	noArchive bool   // Refused because it is none, and does not say that it is
}

// refusal is why nothing of an archive or artifact would be served.
type refusal struct {
	Entry  string `json:"entry,omitempty"` // empty: it as a whole
	Reason string `json:"reason"`
}

func (r *refusal) String() string {
	if r.Entry == "" {
		return r.Reason
	}
	return fmt.Sprintf("entry %q: %s", r.Entry, r.Reason)
}

type skipped struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// inspector is one run of inspect.
type inspector struct {
	app    *app
	limits archive.Limits
	found  inspection
	mark   layoutMark // of the archive that was read last
}

// file reads an archive on disk, or standard input for "-". One that holds an OCI
// layout is judged by what it holds, as an import does.
func (i *inspector) file(ctx context.Context, name string, source *config.Source) error {
	if name == "-" {
		if err := i.archive(ctx, i.app.stdin, 0, "standard input"); err != nil || !i.isLayout() {
			return err
		}
		return notInPlace("standard input")
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := i.archive(ctx, f, info.Size(), name); err != nil || !i.isLayout() {
		return err
	}
	if i.found.Format != "tar" || !info.Mode().IsRegular() {
		return notInPlace(name)
	}
	return i.layout(ctx, f, info.Size(), name, source)
}

// archive reads an archive of size bytes, 0 if that is not known, to its end.
func (i *inspector) archive(ctx context.Context, r io.Reader, size int64, what string) error {
	sum := sha256.New()
	progress := i.app.progress("reading " + what)
	through := progress.reader(io.TeeReader(r, sum), size)
	i.mark = layoutMark{}
	report, err := archive.Extract(ctx, through, i.limits, &i.mark)
	progress.end()

	f := &i.found
	f.Format, f.Digest, f.ArchiveBytes = report.Format, digest.NewDigest(digest.SHA256, sum), through.done
	f.Files, f.Folders, f.Bytes, f.ThroughLinks = report.Files, report.Dirs, report.Bytes, report.Aliases
	f.Skipped, f.SkippedTotal = []skipped{}, report.SkippedTotal
	for _, s := range report.Skipped {
		f.Skipped = append(f.Skipped, skipped(s))
	}
	var bad *archive.RefusedError
	switch {
	case errors.As(err, &bad):
		reason := bad.Reason
		if bad.Err != nil {
			reason += ": " + bad.Err.Error()
		}
		i.refuse(bad.Entry, reason, "")
		return nil
	case err != nil:
		return fmt.Errorf("%s: %w", what, err)
	}
	f.Accepted = true
	return nil
}

func (i *inspector) refuse(entry, reason, cure string) {
	i.found.Accepted = false
	i.found.Refused, i.found.cure = &refusal{entry, reason}, cure
	if i.found.Skipped == nil {
		i.found.Skipped = []skipped{}
	}
}
