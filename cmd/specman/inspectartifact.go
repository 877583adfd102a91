package main

import (
	"context"
	"errors"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/specman/specman/internal/config"
	"github.com/specman/specman/internal/sync/oci"
)

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

// artifact judges what a tag or digest of a repository is, as a sync would, and reads
// its archive.
func (i *inspector) artifact(ctx context.Context, repository *oci.Repository, source *config.Source, tag string) error {
	follows, byPattern, err := followed(source, tag)
	if err != nil {
		return err
	}
	err = i.release(ctx, repository, source.Archive, tag, byPattern)
	if a := i.found.Artifact; a != nil {
		a.Followed = follows
	}
	return err
}

// release judges a manifest and reads its archive.
func (i *inspector) release(ctx context.Context, repository *oci.Repository, title, tag string, byPattern bool) error {
	m, err := repository.Manifest(ctx, tag)
	if oci.KindOf(err) == oci.Malformed {
		i.refuse("", err.Error(), "push it again, as `oras push` or `specman push` does")
		return nil
	}
	if err != nil {
		return err
	}
	i.found.Artifact = describe(m, repository.String(), tag)
	chosen, err := oci.ChooseLayer(m, title, byPattern)
	if errors.Is(err, oci.ErrNoArchive) {
		i.refuse("", err.Error(), "push the archive as "+title+" (source.archive), or as the only file")
		i.found.noArchive = true
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
