package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry"
)

const (
	maxIndexBytes = 16 << 20
	// Other tools write index.json in place: what cannot be parsed is read again.
	indexReads    = 4
	indexReadWait = 50 * time.Millisecond

	hintDamagedLayout = "the folder is damaged: push the artifact again"
)

// layout is a backend in an OCI image layout (image-spec, image-layout.md): a
// folder, or anything else with its files.
type layout struct {
	fsys fs.FS
	name string // for people
	dir  string // where pushes go; empty: read-only
}

func openLayoutDir(dir string) *layout {
	return &layout{fsys: os.DirFS(dir), name: "oci-layout:" + dir, dir: dir}
}

// OpenLayoutFS is a repository over the files of an OCI image layout; name is
// for people. It cannot be pushed to.
func OpenLayoutFS(fsys fs.FS, name string) (*Repository, error) {
	r, err := Open(Config{Repository: "oci-layout:" + name})
	if err != nil {
		return nil, err
	}
	r.backend = &layout{fsys: fsys, name: name}
	return r, nil
}

func (l *layout) fingerprint() string { return "" }

func (l *layout) target(reference string) string {
	switch {
	case reference == "":
		return l.name
	case digest.Digest(reference).Validate() == nil:
		return l.name + "@" + reference
	}
	return l.name + ":" + reference
}

// fail sorts an error of the file system.
func (l *layout) fail(operation, reference string, err error) *Error {
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	e := &Error{Operation: operation, Target: l.target(reference), Kind: Unavailable, Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Kind, e.Cure = Absent, hintAbsent[operation]
	case errors.Is(err, fs.ErrPermission):
		e.Kind, e.Cure = Forbidden, "give the user that Specman runs as the right to read (to push: to write) the folder"
	case errors.Is(err, context.Canceled):
		e.Kind = Canceled
	}
	return e
}

// index reads index.json, and looks for the marker file only if it is not there.
func (l *layout) index(ctx context.Context) (*ocispec.Index, error) {
	for try := 1; ; try++ {
		raw, err := l.readFile(ocispec.ImageIndexFile, maxIndexBytes)
		if err != nil {
			return nil, err
		}
		var index ocispec.Index
		if err = json.Unmarshal(raw, &index); err == nil {
			return &index, nil
		}
		if try == indexReads {
			return nil, &Error{
				Operation: opTags, Target: l.name, Kind: Malformed, Err: fmt.Errorf("index.json: %w", err),
				Cure: "source.repository names a folder that is no OCI image layout, or a tool was ended while writing it: push again",
			}
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(indexReadWait):
		}
	}
}

func (l *layout) readFile(name string, limit int64) ([]byte, error) {
	f, err := l.fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := readBounded(f, limit)
	var large *Error
	if errors.As(err, &large) {
		large.Operation, large.Target = opManifest, l.target("")+"/"+name
	}
	return raw, err
}

// isTag says whether the distribution specification allows a name as a tag.
func isTag(name string) bool {
	return registry.Reference{Reference: name}.ValidateReferenceAsTag() == nil
}

// tagOf reads a descriptor's tag. Some tools write a whole image name there.
func tagOf(desc ocispec.Descriptor) string {
	name := desc.Annotations[ocispec.AnnotationRefName]
	if strings.Contains(name, "/") {
		_, name, _ = strings.Cut(path.Base(name), ":")
	}
	if !isTag(name) {
		return ""
	}
	return name
}

func (l *layout) tags(ctx context.Context) ([]string, error) {
	index, err := l.index(ctx)
	if err != nil {
		return nil, l.fail(opTags, "", err)
	}
	list := tagList{seen: make(map[string]bool)}
	for _, desc := range index.Manifests {
		if tag := tagOf(desc); tag != "" {
			_ = list.add([]string{tag}) // a folder has no pages to go in a circle
		}
	}
	return list.tags, nil
}

func (l *layout) resolve(ctx context.Context, reference string) (ocispec.Descriptor, error) {
	if dgst, err := digest.Parse(reference); err == nil {
		info, err := fs.Stat(l.fsys, blobPath(dgst))
		if err != nil {
			return ocispec.Descriptor{}, l.fail(opHead, reference, err)
		}
		return ocispec.Descriptor{Digest: dgst, Size: info.Size()}, nil
	}
	index, err := l.index(ctx)
	if err != nil {
		return ocispec.Descriptor{}, l.fail(opHead, reference, err)
	}
	found := ocispec.Descriptor{}
	for _, desc := range index.Manifests {
		if tagOf(desc) == reference { // the later entry counts
			found = desc
		}
	}
	if found.Digest == "" {
		return ocispec.Descriptor{}, l.fail(opHead, reference, fs.ErrNotExist)
	}
	if err := found.Digest.Validate(); err != nil {
		return ocispec.Descriptor{}, &Error{Operation: opHead, Target: l.target(reference), Kind: Malformed, Err: err}
	}
	return ocispec.Descriptor{MediaType: found.MediaType, Digest: found.Digest, Size: found.Size}, nil
}

func (l *layout) manifest(ctx context.Context, reference string) (rawManifest, error) {
	desc, err := l.resolve(ctx, reference)
	if err != nil {
		return rawManifest{}, err
	}
	raw, err := l.readFile(blobPath(desc.Digest), MaxManifestBytes)
	if err != nil {
		return rawManifest{}, l.fail(opManifest, reference, err)
	}
	// Of a tag, too, the bytes must be what the index says.
	if got := desc.Digest.Algorithm().FromBytes(raw); got != desc.Digest {
		return rawManifest{}, &Error{Operation: opManifest, Target: l.target(reference), Kind: Corrupt, Err: fmt.Errorf("its digest is %s", got), Cure: hintDamagedLayout}
	}
	return rawManifest{raw, desc.MediaType, desc.Digest}, nil
}

func (l *layout) blob(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, l.fail(opBlob, string(desc.Digest), err)
	}
	f, err := l.fsys.Open(blobPath(desc.Digest))
	if err != nil {
		return nil, l.fail(opBlob, string(desc.Digest), err)
	}
	if info, err := f.Stat(); err == nil && info.Size() != desc.Size {
		f.Close()
		return nil, &Error{
			Operation: opBlob, Target: l.target(string(desc.Digest)), Kind: Corrupt,
			Err:  fmt.Errorf("the file has %d bytes, and not %d", info.Size(), desc.Size),
			Cure: hintDamagedLayout,
		}
	}
	return &layoutBlob{File: f, ctx: ctx, fail: func(err error) error { return l.fail(opBlob, string(desc.Digest), err) }}, nil
}

// layoutBlob is a file whose reader ends when its context is canceled, but not
// at its deadline, as a registry's does.
type layoutBlob struct {
	fs.File
	ctx  context.Context
	fail func(error) error
}

func (b *layoutBlob) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); errors.Is(err, context.Canceled) {
		return 0, b.fail(err)
	}
	n, err := b.File.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.fail(err)
	}
	return n, err
}

func blobPath(dgst digest.Digest) string {
	return path.Join(ocispec.ImageBlobsDir, dgst.Algorithm().String(), dgst.Encoded())
}
