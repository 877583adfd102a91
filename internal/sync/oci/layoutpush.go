package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/specman/specman/internal/atomicfile"
)

// push stores an artifact in the folder, which it makes if needed. Blobs come
// first and the index last, each by rename, so a reader sees the old or the new
// index, and every blob that either names.
func (l *layout) push(ctx context.Context, up upload) error {
	if l.dir == "" {
		return &Error{Kind: Misconfigured, Err: errors.New("this layout cannot be written")}
	}
	if err := os.MkdirAll(l.dir, 0o755); err != nil {
		return l.fail(opPush, up.tag, err)
	}
	unlock, err := lockFolder(ctx, l.dir)
	if err != nil {
		return l.fail(opPush, up.tag, err)
	}
	defer unlock()

	steps := []func() error{
		func() error { return l.store(up.layer, func() (io.ReadCloser, error) { return up.archive(ctx) }) },
		func() error { return l.store(up.config, inMemory(up.config.Data)) },
		func() error { return l.store(up.manifest, inMemory(up.raw)) },
		func() error { return l.mark() },
		func() error { return l.tag(ctx, up.manifest, up.tag) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return l.fail(opPush, up.tag, err)
		}
	}
	return nil
}

// lockWait is how often it is tried again to lock a folder into which another pushes.
const lockWait = 50 * time.Millisecond

// lockFolder keeps two pushes from losing each other's tags. The lock is on the
// folder itself, so that nothing foreign lies in a layout.
func lockFolder(ctx context.Context, dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for {
		switch err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
		case err == nil, errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.ENOLCK): // some network volumes have no locks
			return func() { f.Close() }, nil
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR):
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", dir, err)
		}
		select {
		case <-ctx.Done(): // the other one may never end
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", dir, ctx.Err())
		case <-time.After(lockWait):
		}
	}
}

func inMemory(content []byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
}

// store writes a blob, unless it is there whole.
func (l *layout) store(desc ocispec.Descriptor, open func() (io.ReadCloser, error)) error {
	name := filepath.Join(l.dir, filepath.FromSlash(blobPath(desc.Digest)))
	if info, err := os.Stat(name); err == nil && info.Size() == desc.Size {
		return nil
	}
	content, err := open()
	if err != nil {
		return err
	}
	checked := newVerifier(content, desc, l.target(string(desc.Digest)), func(int) {})
	defer checked.Close()
	return atomicfile.Write(name, checked, 0o644)
}

// mark writes the file that says that this is a layout.
func (l *layout) mark() error {
	name := filepath.Join(l.dir, ocispec.ImageLayoutFile)
	if _, err := os.Stat(name); err == nil {
		return nil
	}
	raw, err := json.Marshal(ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
	if err != nil {
		return err
	}
	return atomicfile.Write(name, bytes.NewReader(raw), 0o644)
}

// tag points a tag at a manifest. What it pointed to stays in the index without
// a name, and can be reached by digest.
func (l *layout) tag(ctx context.Context, manifest ocispec.Descriptor, tag string) error {
	index, err := l.index(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		index, err = &ocispec.Index{}, nil
	}
	if err != nil {
		return err
	}
	index.Versioned = specs.Versioned{SchemaVersion: 2}
	index.MediaType = ocispec.MediaTypeImageIndex

	kept := []ocispec.Descriptor{}
	for _, desc := range index.Manifests {
		if tagOf(desc) == tag {
			delete(desc.Annotations, ocispec.AnnotationRefName)
		}
		if desc.Digest == manifest.Digest && tagOf(desc) == "" {
			continue // it comes again, with its name
		}
		kept = append(kept, desc)
	}
	manifest.Annotations = map[string]string{ocispec.AnnotationRefName: tag}
	index.Manifests = append(kept, manifest)

	raw, err := json.Marshal(index)
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(l.dir, ocispec.ImageIndexFile), bytes.NewReader(raw), 0o644)
}
