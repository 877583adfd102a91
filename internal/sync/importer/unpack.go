package importer

import (
	"context"
	"crypto/sha256"
	"hash"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/archive"
)

// unpacked is an archive in a staging folder, sealed. Its user ends the staging.
type unpacked struct {
	staging *store.Staging
	layer   digest.Digest
	size    int64 // bytes of the archive
	report  archive.Report
	skipped []store.Skipped
}

// unpack reads an archive to its end into a staging folder. Where nobody told its
// digest and size, layer is empty and size 0.
func (i *run) unpack(ctx context.Context, r io.Reader, layer digest.Digest, size int64) (_ *unpacked, err error) {
	if err := i.store.MakeSpace(size, 1); err != nil {
		return nil, err
	}
	staging, err := i.store.NewStaging(layer)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			staging.Discard()
		}
	}()
	measured := &measure{r: r, hash: sha256.New()}
	u := &unpacked{staging: staging}
	if u.report, err = archive.Extract(ctx, measured, i.Limits, staging); err != nil {
		return nil, err
	}
	u.skipped = make([]store.Skipped, len(u.report.Skipped))
	for n, s := range u.report.Skipped {
		u.skipped[n] = store.Skipped(s)
	}
	staging.Skip(u.skipped, u.report.SkippedTotal)
	u.size, u.layer = measured.size, layer
	if layer == "" {
		u.layer = digest.NewDigest(digest.SHA256, measured.hash)
		if err := staging.Identify(u.layer); err != nil {
			return nil, err
		}
	}
	return u, staging.Seal()
}

// measure knows the size and digest of what was read through it.
type measure struct {
	r    io.Reader
	size int64
	hash hash.Hash
}

func (m *measure) Read(b []byte) (int, error) {
	n, err := m.r.Read(b)
	m.hash.Write(b[:n])
	m.size += int64(n)
	return n, err
}
