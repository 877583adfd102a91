// Package unpack turns an untrusted stream into a staged tree. It is the one place
// where an archive meets the store, whoever brings it: a sync or an import.
package unpack

import (
	"context"
	"crypto/sha256"
	"hash"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/archive"
)

// Tree is an archive in a staging folder, sealed: it can be read and judged, and
// nobody is served from it. Its user ends Staging with Publish or Discard.
type Tree struct {
	Staging *store.Staging
	Layer   digest.Digest // of the archive
	Size    int64         // bytes of the archive

	Skipped      []store.Skipped // what of the archive is not served, up to 1,000 entries
	SkippedTotal int             // all of them
}

// Stream reads an archive to its end into a staging folder of st. It has left nothing
// behind where it fails. That r has the digest layer is for r to say, at its end; of a
// stream whose digest nobody told, layer is empty, and Stream takes it. Where the volume
// is full, the error is a *SpaceError.
func Stream(ctx context.Context, st *store.Store, r io.Reader, layer digest.Digest, limits archive.Limits) (*Tree, error) {
	staging, err := st.NewStaging(layer)
	if err != nil {
		return nil, err
	}
	t := &Tree{Staging: staging, Layer: layer}
	if err := t.fill(ctx, r, limits); err != nil {
		staging.Discard()
		return nil, err
	}
	return t, nil
}

func (t *Tree) fill(ctx context.Context, r io.Reader, limits archive.Limits) error {
	measured := &measure{r: r}
	if t.Layer == "" {
		measured.hash = sha256.New()
	}
	into := &filler{Staging: t.Staging}
	report, err := archive.Extract(ctx, measured, limits, into)
	if err == nil {
		err = into.lack()
	}
	if err != nil {
		return err
	}
	t.Size, t.SkippedTotal = measured.size, report.SkippedTotal
	t.Skipped = make([]store.Skipped, len(report.Skipped))
	for n, s := range report.Skipped {
		t.Skipped[n] = store.Skipped(s)
	}
	t.Staging.Skip(t.Skipped, t.SkippedTotal)
	if t.Layer == "" {
		t.Layer = digest.NewDigest(digest.SHA256, measured.hash)
		if err := t.Staging.Identify(t.Layer); err != nil {
			return err
		}
	}
	if err := into.Seal(); err != nil {
		return err
	}
	return into.lack()
}

// measure knows the size of what was read through it and, with a hash, its digest.
type measure struct {
	r    io.Reader
	size int64
	hash hash.Hash // nil: nobody asks
}

func (m *measure) Read(b []byte) (int, error) {
	n, err := m.r.Read(b)
	m.size += int64(n)
	if m.hash != nil {
		m.hash.Write(b[:n])
	}
	return n, err
}
