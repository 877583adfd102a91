package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/specman/specman/internal/config"
	"github.com/specman/specman/internal/sync/archive"
	"github.com/specman/specman/internal/sync/oci"
)

// inspection is what inspect finds out; its JSON is what `inspect -o json` prints.
type inspection struct {
	Accepted bool     `json:"accepted"`
	Refused  *refusal `json:"refused,omitempty"` // nil if Accepted

	Artifact *artifact `json:"artifact,omitempty"` // nil: of a file

	Format       string        `json:"format"` // tar, tar+gzip or tar+zstd; empty where it could not be told
	Digest       digest.Digest `json:"digest"` // of the archive; empty where none was read
	ArchiveBytes int64         `json:"archiveBytes"`
	Files        int           `json:"files"`
	Folders      int           `json:"folders"`
	Bytes        int64         `json:"bytes"` // of all files, unpacked
	ThroughLinks int           `json:"throughLinks"`
	Skipped      []skipped     `json:"skipped"` // never null
	SkippedTotal int           `json:"skippedTotal"`

	cure string // of Refused
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

// artifact is what stands around an archive in a repository.
type artifact struct {
	Reference       string        `json:"reference"`
	Followed        bool          `json:"followed"` // by the configured selectors
	Manifest        digest.Digest `json:"manifest"`
	MediaType       string        `json:"mediaType"`
	ArtifactType    string        `json:"artifactType,omitempty"`
	ConfigMediaType string        `json:"configMediaType,omitempty"`
	Created         time.Time     `json:"created,omitzero"`
	Layers          []layer       `json:"layers"`          // never null
	Layer           digest.Digest `json:"layer,omitempty"` // the archive; empty where there is none
}

type layer struct {
	Digest    digest.Digest `json:"digest"`
	MediaType string        `json:"mediaType"`
	Bytes     int64         `json:"bytes"`
	Title     string        `json:"title"`
}

// inspector is one run of inspect.
type inspector struct {
	app    *app
	limits archive.Limits
	found  inspection
}

// file reads an archive on disk, or standard input for "-".
func (i *inspector) file(ctx context.Context, name string) error {
	if name == "-" {
		return i.archive(ctx, i.app.stdin, 0, "standard input")
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
	return i.archive(ctx, f, info.Size(), name)
}

// artifact judges what a tag or digest of a repository is, as a sync would, and reads
// its archive.
func (i *inspector) artifact(ctx context.Context, repository *oci.Repository, source *config.Source, tag string) error {
	follows, byPattern, err := followed(source, tag)
	if err != nil {
		return err
	}
	m, err := repository.Manifest(ctx, tag)
	if oci.KindOf(err) == oci.Malformed {
		i.refuse("", err.Error(), "push it again, as `oras push` or `specman push` does")
		return nil
	}
	if err != nil {
		return err
	}
	i.found.Artifact = describe(m, repository.String(), tag)
	i.found.Artifact.Followed = follows
	chosen, err := oci.ChooseLayer(m, source.Archive, byPattern)
	if errors.Is(err, oci.ErrNoArchive) {
		i.refuse("", err.Error(), "push the archive as "+source.Archive+" (source.archive), or as the only file")
		return nil
	}
	if err != nil {
		return err
	}
	i.found.Artifact.Layer = chosen.Digest
	body, err := repository.Blob(ctx, chosen)
	if err != nil {
		return err
	}
	defer body.Close()
	return i.archive(ctx, body, chosen.Size, "the layer")
}

func describe(m *oci.Manifest, repository, tag string) *artifact {
	a := &artifact{
		Reference: repository + ":" + tag, Manifest: m.Digest, MediaType: m.MediaType,
		ArtifactType: m.ArtifactType, ConfigMediaType: m.ConfigMediaType, Created: m.Created, Layers: []layer{},
	}
	if digest.Digest(tag).Validate() == nil {
		a.Reference = repository + "@" + tag
	}
	for _, l := range m.Layers {
		a.Layers = append(a.Layers, layer{l.Digest, l.MediaType, l.Size, l.Annotations[ocispec.AnnotationTitle]})
	}
	return a
}

// archive reads an archive of size bytes, 0 if that is not known, to its end.
func (i *inspector) archive(ctx context.Context, r io.Reader, size int64, what string) error {
	sum := sha256.New()
	progress := i.app.progress("reading " + what)
	through := progress.reader(io.TeeReader(r, sum), size)
	report, err := archive.Check(ctx, through, i.limits, nil)
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
	i.found.Refused, i.found.cure = &refusal{entry, reason}, cure
	if i.found.Skipped == nil {
		i.found.Skipped = []skipped{}
	}
}
