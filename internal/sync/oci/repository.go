package oci

import (
	"context"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Repository is one repository of artifacts. All methods may be called at the
// same time.
type Repository struct {
	cfg     Config
	backend backend
}

// backend is where the bytes are: a registry or a layout. Both return *[Error].
type backend interface {
	// tags lists without duplicates, in the backend's order.
	tags(ctx context.Context) ([]string, error)
	// resolve may leave the descriptor's size and media type unset.
	resolve(ctx context.Context, reference string) (ocispec.Descriptor, error)
	// manifest returns at most MaxManifestBytes, not yet checked or parsed.
	manifest(ctx context.Context, reference string) (rawManifest, error)
	// blob returns a stream that may be longer or shorter than desc says, or hold other bytes.
	blob(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error)
	// push stores a file's blob, the config, and the manifest under a tag, in that order.
	push(ctx context.Context, upload upload) error
	// target names the repository, with a reference if there is one.
	target(reference string) string
	fingerprint() string
}

// rawManifest is a manifest as it came.
type rawManifest struct {
	bytes       []byte
	contentType string
	claimed     digest.Digest // what the backend says that its digest is; may be empty or wrong
}

// String names the repository for people; it holds no secrets.
func (r *Repository) String() string { return r.backend.target("") }

// Fingerprint changes when the content of a credential, CA or key file changes,
// or such a file appears or vanishes. It reads these files, and what is asked for
// after it is asked with what it has read; without it, a request notices a change
// within a second. It asks no network, and is comparable with others of the same
// Repository only.
func (r *Repository) Fingerprint() string { return r.backend.fingerprint() }

// Tags lists all tags in the registry's or the layout's order, without
// duplicates. A repository that is not there is [Absent]; one that is there and
// empty has no tags and no error.
func (r *Repository) Tags(ctx context.Context) ([]string, error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	return r.backend.tags(ctx)
}

// Resolve returns the descriptor of a tag's or digest's manifest. It costs one
// HEAD, or a GET where the registry does not answer HEAD as it should. Size and
// media type are hints only, and may be missing.
func (r *Repository) Resolve(ctx context.Context, reference string) (ocispec.Descriptor, error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	return r.backend.resolve(ctx, reference)
}

// Manifest fetches the manifest of a tag or digest, and follows an index that
// holds a single one. Its Digest is computed from the bytes, so it is right also
// where the tag moved since it was resolved.
func (r *Repository) Manifest(ctx context.Context, reference string) (*Manifest, error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()

	m := &Manifest{}
	for depth := 0; ; depth++ {
		raw, doc, err := r.fetchDocument(ctx, reference)
		if err != nil {
			return nil, err
		}
		if depth == 0 {
			m.Digest, m.MediaType, m.Raw = raw.claimed, doc.MediaType, raw.bytes
		}
		m.fill(doc)
		switch {
		case len(doc.Manifests) != 1:
			return m, nil
		case depth == maxIndexDepth:
			return nil, &Error{
				Operation: opManifest, Target: r.backend.target(reference), Kind: Malformed,
				Err: fmt.Errorf("indexes within indexes, more than %d deep", maxIndexDepth),
			}
		}
		reference = doc.Manifests[0].Digest.String()
	}
}

// fetchDocument fetches one manifest, parses it, and sets what it claims to
// what it is.
func (r *Repository) fetchDocument(ctx context.Context, reference string) (rawManifest, *document, error) {
	raw, err := r.backend.manifest(ctx, reference)
	if err != nil {
		return raw, nil, err
	}
	doc, err := raw.parse(reference)
	if err != nil {
		return raw, nil, explain(err, opManifest, r.backend.target(reference))
	}
	return raw, doc, nil
}

// Blob opens a blob. Its reader gives io.EOF only after size and digest were
// verified. A body that breaks is taken up again where it stopped, a bounded
// number of times.
//
// ctx's deadline ends the wait for the first byte, not the body, which may take
// hours as long as it moves (see Config.StallTimeout). Canceling ctx ends the
// body too, but only until its deadline: a caller that wants to cancel a long
// body gives a context without deadline (Config.Timeout then bounds the wait
// for the first byte), or closes the reader.
func (r *Repository) Blob(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	fail := func(err error) error {
		return &Error{Operation: opBlob, Target: r.backend.target(string(desc.Digest)), Kind: Malformed, Err: err}
	}
	if err := desc.Digest.Validate(); err != nil {
		return nil, fail(fmt.Errorf("digest %q: %w", desc.Digest, err))
	}
	if desc.Size < 0 {
		return nil, fail(fmt.Errorf("its size is %d", desc.Size))
	}
	body, err := r.backend.blob(ctx, desc)
	if err != nil {
		return nil, err
	}
	return newVerifier(body, desc, r.backend.target(string(desc.Digest)), r.cfg.Metrics.bytes(r.cfg.Source)), nil
}

// bounded gives ctx a deadline if it has none.
func (r *Repository) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, r.cfg.Timeout)
}
