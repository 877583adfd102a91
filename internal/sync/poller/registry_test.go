package poller

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/sync/oci"
	"github.com/specman/specman/internal/testenv"
)

// registry is a repository in memory. Its Source methods count what they are
// asked; what a test changes while a poller runs is behind the mutex.
type registry struct {
	mu          sync.Mutex
	tags        []string
	byTag       map[string]digest.Digest
	manifests   map[digest.Digest]*oci.Manifest
	blobs       map[digest.Digest][]byte
	calls       []string
	fail        func(call string) error
	fingerprint string
}

func newRegistry() *registry {
	return &registry{byTag: map[string]digest.Digest{}, manifests: map[digest.Digest]*oci.Manifest{}, blobs: map[digest.Digest][]byte{}}
}

// push puts an archive of the files under a tag, as ORAS does, and returns the
// manifest's digest.
func (r *registry) push(t *testing.T, tag string, created time.Time, files map[string]string) digest.Digest {
	t.Helper()
	return r.pushBytes(t, tag, created, tgz(t, files))
}

func (r *registry) pushBytes(t *testing.T, tag string, created time.Time, archive []byte) digest.Digest {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	layer := ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromBytes(archive), Size: int64(len(archive)),
		Annotations: map[string]string{ocispec.AnnotationTitle: "manifests.tgz"},
	}
	r.blobs[layer.Digest] = archive
	return r.put(t, tag, &oci.Manifest{ConfigMediaType: ocispec.MediaTypeEmptyJSON, Created: created, Layers: []ocispec.Descriptor{layer}})
}

func (r *registry) put(t *testing.T, tag string, m *oci.Manifest) digest.Digest {
	t.Helper()
	raw, err := json.Marshal(struct {
		*oci.Manifest
		Tag string
	}{m, tag})
	require.NoError(t, err)
	m.Raw, m.Digest = raw, digest.FromBytes(raw)
	r.manifests[m.Digest] = m
	r.point(tag, m.Digest)
	return m.Digest
}

func (r *registry) point(tag string, d digest.Digest) {
	if !slices.Contains(r.tags, tag) {
		r.tags = append(r.tags, tag)
	}
	r.byTag[tag] = d
}

func (r *registry) remove(tag string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tags = slices.DeleteFunc(r.tags, func(t string) bool { return t == tag })
	delete(r.byTag, tag)
}

// failing makes the calls for which f returns an error end in it.
func (r *registry) failing(f func(call string) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail = f
}

// asked returns what was asked since the last time, and forgets it.
func (r *registry) asked() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	calls := r.calls
	r.calls = nil
	return calls
}

func (r *registry) call(format string, args ...any) error {
	call := fmt.Sprintf(format, args...)
	r.calls = append(r.calls, call)
	if r.fail != nil {
		return r.fail(call)
	}
	return nil
}

func absent(what string) error {
	return &oci.Error{Kind: oci.Absent, Status: 404, Target: what, Err: errors.New("not found")}
}

func (r *registry) Tags(context.Context) ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.call("tags"); err != nil {
		return nil, err
	}
	return slices.Clone(r.tags), nil
}

func (r *registry) Resolve(_ context.Context, reference string) (ocispec.Descriptor, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.call("head %s", reference); err != nil {
		return ocispec.Descriptor{}, err
	}
	m := r.find(reference)
	if m == nil {
		return ocispec.Descriptor{}, absent(reference)
	}
	return ocispec.Descriptor{Digest: m.Digest, Size: int64(len(m.Raw))}, nil
}

func (r *registry) find(reference string) *oci.Manifest {
	if d, ok := r.byTag[reference]; ok {
		return r.manifests[d]
	}
	return r.manifests[digest.Digest(reference)]
}

func (r *registry) Manifest(_ context.Context, reference string) (*oci.Manifest, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.call("manifest %s", reference); err != nil {
		return nil, err
	}
	m := r.find(reference)
	if m == nil {
		return nil, absent(reference)
	}
	return m, nil
}

func (r *registry) Blob(_ context.Context, layer ocispec.Descriptor) (io.ReadCloser, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.call("blob"); err != nil {
		return nil, err
	}
	b, ok := r.blobs[layer.Digest]
	if !ok {
		return nil, absent(layer.Digest.String())
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

func (r *registry) Fingerprint() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fingerprint
}

func (r *registry) login(fingerprint string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fingerprint = fingerprint
}

func tgz(t *testing.T, files map[string]string) []byte {
	t.Helper()
	entries := make(map[string]string)
	for name, content := range files {
		entries["./"+name] = content
	}
	return testenv.TGZ(t, entries)
}
