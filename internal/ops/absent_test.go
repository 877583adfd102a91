package ops

import (
	"context"
	"io"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/specman/specman/internal/sync/oci"
)

// absent is a repository that has nothing.
type absent struct{}

var errAbsent = &oci.Error{Kind: oci.Absent}

func (absent) Tags(context.Context) ([]string, error) { return nil, nil }
func (absent) Resolve(context.Context, string) (ocispec.Descriptor, error) {
	return ocispec.Descriptor{}, errAbsent
}
func (absent) Manifest(context.Context, string) (*oci.Manifest, error) { return nil, errAbsent }
func (absent) Blob(context.Context, ocispec.Descriptor) (io.ReadCloser, error) {
	return nil, errAbsent
}
func (absent) Fingerprint() string { return "" }
