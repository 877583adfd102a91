package poller

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/archive"
	"github.com/specman/specman/internal/sync/gate"
	"github.com/specman/specman/internal/sync/oci"
	"github.com/specman/specman/internal/sync/selector"
)

// Source is a repository as the poller sees it. Its errors are *oci.Error
// where the registry or the way to it is at fault. Its methods are called from
// one goroutine at a time, but for Fingerprint.
type Source interface {
	// Tags lists the tags in the registry's order.
	Tags(ctx context.Context) ([]string, error)
	// Resolve returns the descriptor of the manifest that a tag, or a digest, names.
	Resolve(ctx context.Context, reference string) (ocispec.Descriptor, error)
	// Manifest fetches a manifest; its Digest is what the reference resolved to then.
	Manifest(ctx context.Context, reference string) (*oci.Manifest, error)
	// Blob reads a layer. EOF means that its size and digest are right. The
	// context's end ends the reading.
	Blob(ctx context.Context, layer ocispec.Descriptor) (io.ReadCloser, error)
	// Fingerprint changes when a credential or certificate changes. It is cheap
	// and safe for concurrent use.
	Fingerprint() string
}

// Config is one source's part of the configuration (docs/configuration.md).
type Config struct {
	Name       string
	Repository string // for people
	Source     Source

	Select      []selector.Selector // top of the view first
	Exclude     []string            // tags or digests
	MaxReleases int
	Archive     string // title of the layer
	Limits      archive.Limits

	Interval   time.Duration // between polls, jittered by a tenth
	Timeout    time.Duration // of all in a sync but the bodies of blobs
	MaxBackoff time.Duration // ceiling of the wait between failed syncs

	Gate   gate.Rules
	Verify Verifier // nil: signatures are not asked for

	Store   *store.Store
	Metrics *Metrics
	Logger  *slog.Logger
}

// Verifier says whether a manifest may be trusted.
type Verifier interface {
	// Verify returns nil if the manifest is signed as the policy asks.
	Verify(ctx context.Context, m *oci.Manifest) error
	// Policy changes when what it would accept changes.
	Policy() string
}

// policy is a digest of all that judges a release. A refusal under another
// policy is not remembered.
func (c *Config) policy(meant bool) string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%q %+v %+v %t", c.Archive, c.Limits, c.Gate, meant)
	if c.Verify != nil {
		fmt.Fprintf(sum, " %q", c.Verify.Policy())
	}
	return fmt.Sprintf("%x", sum.Sum(nil)[:8])
}
