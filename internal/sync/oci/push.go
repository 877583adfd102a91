package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// orasArtifactType is what `oras push FILE` of 1.1 and later says of what it
// pushes. It also calls each single file a tar, whatever it is.
const orasArtifactType = "application/vnd.unknown.artifact.v1"

// pushHeaderWait is long, since registries hash and copy an upload before they answer.
const pushHeaderWait = 10 * time.Minute

// PushRequest is what to push.
type PushRequest struct {
	File     string                  // path of the archive
	Tag      string                  // what to call it
	Title    string                  // the layer's title; empty: File's base name
	Created  time.Time               // zero: now
	Progress func(sent, total int64) // called now and then while the archive is sent; may be nil
}

// upload is an artifact made ready: the archive's descriptor, and a manifest.
type upload struct {
	tag      string
	file     string
	layer    ocispec.Descriptor
	config   ocispec.Descriptor
	manifest ocispec.Descriptor
	raw      []byte // of the manifest
	progress func(sent, total int64)
}

// Push stores a file and tags it, as `oras push REPOSITORY:TAG FILE` does, so
// that `oras pull` and other readers take it. The tag moves last, so that a
// reader sees the old or the new artifact whole. It returns the manifest's
// descriptor.
//
// ctx alone bounds it: an upload may take long.
func (r *Repository) Push(ctx context.Context, req PushRequest) (ocispec.Descriptor, error) {
	up, err := prepare(ctx, req)
	if err == nil {
		err = r.backend.push(ctx, up)
	}
	if err != nil {
		return ocispec.Descriptor{}, explain(err, opPush, r.backend.target(req.Tag))
	}
	return up.manifest, nil
}

func prepare(ctx context.Context, req PushRequest) (upload, error) {
	if !isTag(req.Tag) {
		return upload{}, &Error{Kind: Misconfigured, Err: fmt.Errorf("%q is no tag", req.Tag), Cure: "letters, digits and . _ - up to 128, as in REPOSITORY:0.0.0"}
	}
	if req.Title == "" {
		req.Title = filepath.Base(req.File)
	}
	if req.Created.IsZero() {
		req.Created = time.Now()
	}
	layer, err := describeFile(ctx, req.File)
	if err != nil {
		return upload{}, misconfigured(err)
	}
	layer.Annotations = map[string]string{ocispec.AnnotationTitle: req.Title}

	// Byte for byte what oras-go would pack, which is not asked to: importing its
	// copying and packing costs every start of every command its initialisation.
	m := ocispec.Manifest{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    ocispec.MediaTypeImageManifest,
		ArtifactType: orasArtifactType,
		Config:       ocispec.DescriptorEmptyJSON,
		Layers:       []ocispec.Descriptor{layer},
		Annotations:  map[string]string{ocispec.AnnotationCreated: req.Created.UTC().Format(time.RFC3339)},
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return upload{}, err
	}
	return upload{
		tag: req.Tag, file: req.File, layer: layer, config: m.Config,
		manifest: ocispec.Descriptor{MediaType: m.MediaType, ArtifactType: m.ArtifactType, Digest: digest.FromBytes(raw), Size: int64(len(raw))},
		raw:      raw, progress: req.Progress,
	}, nil
}

func describeFile(ctx context.Context, name string) (ocispec.Descriptor, error) {
	f, err := os.Open(name)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return ocispec.Descriptor{}, err
	} else if !info.Mode().IsRegular() {
		return ocispec.Descriptor{}, fmt.Errorf("%s is no file", name)
	}
	digester := digest.Canonical.Digester()
	size, err := io.Copy(digester.Hash(), &cancelable{f, ctx})
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digester.Digest(), Size: size}, nil
}

// cancelable ends a copy when its context does.
type cancelable struct {
	io.Reader
	ctx context.Context
}

func (c *cancelable) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.Reader.Read(p)
}

// archive opens the file to be sent, and tells the progress.
func (u upload) archive(ctx context.Context) (io.ReadCloser, error) {
	f, err := os.Open(u.file)
	if err != nil {
		return nil, err
	}
	return &progressReader{reader: &cancelable{f, ctx}, file: f, total: u.layer.Size, tell: u.progress}, nil
}

type progressReader struct {
	reader      io.Reader
	file        *os.File
	sent, total int64
	tell        func(sent, total int64)
}

func (p *progressReader) Read(b []byte) (int, error) {
	n, err := p.reader.Read(b)
	p.sent += int64(n)
	if p.tell != nil && n > 0 {
		p.tell(p.sent, p.total)
	}
	return n, err
}

func (p *progressReader) Close() error { return p.file.Close() }

// push sends blobs that the registry lacks, then the manifest under the tag.
func (r *remoteRepository) push(ctx context.Context, up upload) error {
	s, err := newSession(r.cfg, r.ref, "", pushHeaderWait)
	if err != nil {
		return misconfigured(err)
	}
	defer s.transport.CloseIdleConnections()
	ctx = auth.AppendRepositoryScope(ctx, r.ref, auth.ActionPull, auth.ActionPush)

	repo := &remote.Repository{Client: s.client, Reference: r.ref, PlainHTTP: r.cfg.PlainHTTP}
	blobs := repo.Blobs()
	for _, blob := range []struct {
		desc ocispec.Descriptor
		open func() (io.ReadCloser, error)
	}{
		{up.config, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(up.config.Data)), nil }},
		{up.layer, func() (io.ReadCloser, error) { return up.archive(ctx) }},
	} {
		exists, err := blobs.Exists(ctx, blob.desc)
		if err != nil {
			return pushError(err)
		}
		if exists {
			continue
		}
		reader, err := blob.open()
		if err != nil {
			return misconfigured(err)
		}
		err = blobs.Push(ctx, blob.desc, reader)
		reader.Close()
		if err != nil {
			return pushError(err)
		}
	}
	if err := repo.PushReference(ctx, up.manifest, bytes.NewReader(up.raw), up.tag); err != nil {
		return pushError(err)
	}
	return nil
}

// pushError gives the cures that differ from those of reading.
func pushError(err error) error {
	var own *Error
	if !errors.As(err, &own) {
		return err
	}
	e := *own
	said := ""
	if e.Err != nil {
		said = strings.ToLower(e.Err.Error())
	}
	switch {
	case strings.Contains(said, "immutable"):
		e.Cure = "tags of this repository are immutable, so this one cannot be pushed a second time: push under another tag, or allow overwriting (ECR: image tag mutability; Harbor: tag immutability rules)"
	case e.Kind == Forbidden:
		e.Cure = "the login works but may not push here: give the account push rights on this repository"
	case e.Kind == Absent:
		e.Cure = hintAbsent[opPush]
	case e.Status == 413:
		e.Cure = "a proxy before the registry limits uploads (nginx: client_max_body_size 0)"
	}
	return &e
}
