package oci_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/specman/specman/internal/sync/oci"
)

func openLayout(t *testing.T, dir string) *oci.Repository {
	t.Helper()
	r, err := oci.Open(oci.Config{Repository: "oci-layout:" + dir})
	require.NoError(t, err)
	return r
}

func push(t *testing.T, r *oci.Repository, tag, content string) ocispec.Descriptor {
	t.Helper()
	file := write(t, filepath.Join(t.TempDir(), "manifests.tgz"), content)
	desc, err := r.Push(t.Context(), oci.PushRequest{File: file, Tag: tag, Created: day})
	require.NoError(t, err)
	return desc
}

func TestLayout(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "by push")
	r := openLayout(t, dir)
	_, err := r.Tags(t.Context())
	e := failure(t, err)
	assert.Equal(t, oci.Absent, e.Kind)
	assert.Contains(t, e.Cure, "nothing was pushed")

	old := push(t, r, "0.0.0", "old")
	push(t, r, "4.5.13", "other")
	moved := push(t, r, "0.0.0", "new")

	tags, err := r.Tags(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"4.5.13", "0.0.0"}, tags)
	desc, err := r.Resolve(t.Context(), "0.0.0")
	require.NoError(t, err)
	assert.Equal(t, moved.Digest, desc.Digest)
	got, err := sync(t.Context(), r, "0.0.0")
	require.NoError(t, err)
	assert.Equal(t, "new", string(got))

	m, err := r.Manifest(t.Context(), old.Digest.String())
	require.NoError(t, err, "what a tag pointed to stays")
	assert.Equal(t, day, m.Created)
	_, err = r.Resolve(t.Context(), "1.0.0")
	assert.Equal(t, oci.Absent, failure(t, err).Kind)

	again := push(t, r, "0.0.0", "new")
	assert.Equal(t, moved.Digest, again.Digest, "the same content at the same time is the same artifact")
	var index ocispec.Index
	raw, err := os.ReadFile(filepath.Join(dir, "index.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &index))
	assert.Len(t, index.Manifests, 3)
	leftovers, err := filepath.Glob(filepath.Join(dir, "blobs", "sha256", ".new-*"))
	require.NoError(t, err)
	assert.Empty(t, leftovers)
}

func TestDamagedLayout(t *testing.T) {
	blob := func(dir string, d ocispec.Descriptor) string {
		return filepath.Join(dir, "blobs", "sha256", d.Digest.Encoded())
	}
	tests := []struct {
		name   string
		damage func(t *testing.T, dir string, manifest, layer ocispec.Descriptor)
		kind   oci.Kind
	}{
		{"index cut off", func(t *testing.T, dir string, _, _ ocispec.Descriptor) {
			write(t, filepath.Join(dir, "index.json"), `{"manifests":[`)
		}, oci.Malformed},
		{"manifest gone", func(t *testing.T, dir string, manifest, _ ocispec.Descriptor) {
			require.NoError(t, os.Remove(blob(dir, manifest)))
		}, oci.Absent},
		{"manifest changed", func(t *testing.T, dir string, manifest, _ ocispec.Descriptor) {
			write(t, blob(dir, manifest), "{}")
		}, oci.Corrupt},
		{"layer gone", func(t *testing.T, dir string, _, layer ocispec.Descriptor) {
			require.NoError(t, os.Remove(blob(dir, layer)))
		}, oci.Absent},
		{"layer shorter", func(t *testing.T, dir string, _, layer ocispec.Descriptor) {
			write(t, blob(dir, layer), "archiv")
		}, oci.Corrupt},
		{"layer changed", func(t *testing.T, dir string, _, layer ocispec.Descriptor) {
			write(t, blob(dir, layer), "Archive")
		}, oci.Corrupt},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			r := openLayout(t, dir)
			manifest := push(t, r, "0.0.0", "archive")
			m, err := r.Manifest(t.Context(), "0.0.0")
			require.NoError(t, err)
			tt.damage(t, dir, manifest, m.Layers[0])
			_, err = sync(t.Context(), r, "0.0.0")
			e := failure(t, err)
			assert.Equal(t, tt.kind, e.Kind, "%v", e)
			assert.NotEmpty(t, e.Cure)
		})
	}
}

// A tool that writes index.json in place is met in the middle of it.
func TestLayoutIndexIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	r := openLayout(t, dir)
	push(t, r, "0.0.0", "archive")
	whole, err := os.ReadFile(filepath.Join(dir, "index.json"))
	require.NoError(t, err)
	write(t, filepath.Join(dir, "index.json"), string(whole[:20]))
	time.AfterFunc(20*time.Millisecond, func() { _ = os.WriteFile(filepath.Join(dir, "index.json"), whole, 0o600) })
	tags, err := r.Tags(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"0.0.0"}, tags)
}

// Tools differ in what they write as a name.
func TestLayoutNames(t *testing.T) {
	dir := t.TempDir()
	desc := push(t, openLayout(t, dir), "first", "archive")
	named := func(name string) ocispec.Descriptor {
		return ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size, Annotations: map[string]string{ocispec.AnnotationRefName: name}}
	}
	raw, err := json.Marshal(ocispec.Index{Manifests: []ocispec.Descriptor{
		named("4.5.13"), named("registry.example:5000/a/b:0.0.0"), {Digest: desc.Digest}, named("registry.example:5000/a/b"), named("4.5.13"),
	}})
	require.NoError(t, err)
	write(t, filepath.Join(dir, "index.json"), string(raw))
	tags, err := openLayout(t, dir).Tags(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"4.5.13", "0.0.0"}, tags)
	_, err = openLayout(t, dir).Manifest(t.Context(), "0.0.0")
	require.NoError(t, err)
}

// A reader beside pushes sees one whole artifact or another, and pushes beside
// each other lose no tag.
func TestLayoutIsReadWhilePushed(t *testing.T) {
	dir := t.TempDir()
	push(t, openLayout(t, dir), "0.0.0", "content 0")
	const pushers, pushes = 3, 15
	done := make(chan error, pushers)
	for p := range pushers {
		go func() {
			var err error
			for n := 0; n < pushes && err == nil; n++ {
				err = pushTo(t.Context(), t.TempDir(), dir, "0.0.0", fmt.Sprintf("content %d %d", p, n))
			}
			if err == nil {
				err = pushTo(t.Context(), t.TempDir(), dir, fmt.Sprintf("1.0.%d", p), "last")
			}
			done <- err
		}()
	}
	r := openLayout(t, dir)
	for running := pushers; running > 0; {
		select {
		case err := <-done:
			require.NoError(t, err)
			running--
		default:
			got, err := sync(t.Context(), r, "0.0.0")
			require.NoError(t, err)
			assert.Contains(t, string(got), "content")
		}
	}
	tags, err := r.Tags(t.Context())
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{"0.0.0", "1.0.0", "1.0.1", "1.0.2"}, tags)
}

func pushTo(ctx context.Context, temp, dir, tag, content string) error {
	file := filepath.Join(temp, "manifests.tgz")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		return err
	}
	r, err := oci.Open(oci.Config{Repository: "oci-layout:" + dir})
	if err != nil {
		return err
	}
	_, err = r.Push(ctx, oci.PushRequest{File: file, Tag: tag})
	return err
}

func TestLayoutBodyIsCanceled(t *testing.T) {
	dir := t.TempDir()
	r := openLayout(t, dir)
	push(t, r, "0.0.0", "archive")
	m, err := r.Manifest(t.Context(), "0.0.0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	body, err := r.Blob(ctx, m.Layers[0])
	require.NoError(t, err)
	defer body.Close()
	cancel()
	_, err = io.ReadAll(body)
	assert.Equal(t, oci.Canceled, failure(t, err).Kind)
}

// A push that hangs holds the folder's lock, and whoever waits for that can give up.
func TestAPushThatWaitsForAnotherIsCanceled(t *testing.T) {
	dir := t.TempDir()
	other, err := os.Open(dir)
	require.NoError(t, err)
	defer other.Close()
	require.NoError(t, unix.Flock(int(other.Fd()), unix.LOCK_EX))

	r := openLayout(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	file := write(t, filepath.Join(t.TempDir(), "manifests.tgz"), "archive")
	_, err = r.Push(ctx, oci.PushRequest{File: file, Tag: "0.0.0"})
	assert.Equal(t, oci.Canceled, failure(t, err).Kind)

	require.NoError(t, unix.Flock(int(other.Fd()), unix.LOCK_UN))
	push(t, r, "0.0.0", "archive")
}

func TestPushRefuses(t *testing.T) {
	r := openLayout(t, t.TempDir())
	_, err := r.Push(t.Context(), oci.PushRequest{File: "/", Tag: "0.0.0"})
	assert.Equal(t, oci.Misconfigured, failure(t, err).Kind)
	_, err = r.Push(t.Context(), oci.PushRequest{File: write(t, filepath.Join(t.TempDir(), "f"), "x"), Tag: "a/b"})
	e := failure(t, err)
	assert.Equal(t, "push", e.Operation)
	assert.Contains(t, e.Error(), `"a/b" is no tag`)
}

// A layout in a tar is read in place, and is not to be pushed to.
func TestLayoutInTar(t *testing.T) {
	dir := t.TempDir()
	push(t, openLayout(t, dir), "0.0.0", "archive")
	pack := func(change func(tar.Header) tar.Header) *bytes.Reader {
		var packed bytes.Buffer
		w := tar.NewWriter(&packed)
		require.NoError(t, fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
			require.NoError(t, err)
			info, err := entry.Info()
			require.NoError(t, err)
			header, err := tar.FileInfoHeader(info, "")
			require.NoError(t, err)
			header.Name, header.AccessTime, header.ChangeTime = "./"+name, time.Time{}, time.Time{}
			*header = change(*header)
			require.NoError(t, w.WriteHeader(header))
			if info.Mode().IsRegular() {
				content, err := os.ReadFile(filepath.Join(dir, name))
				require.NoError(t, err)
				_, err = w.Write(content)
				require.NoError(t, err)
			}
			return nil
		}))
		require.NoError(t, w.Close())
		return bytes.NewReader(packed.Bytes())
	}
	for _, format := range []tar.Format{tar.FormatUSTAR, tar.FormatPAX, tar.FormatGNU} {
		packed := pack(func(h tar.Header) tar.Header {
			h.Format = format
			if format == tar.FormatPAX {
				h.PAXRecords = map[string]string{"comment": "has a header of its own"}
			}
			return h
		})
		r, err := openTar(packed, packed.Size())
		require.NoError(t, err)
		tags, err := r.Tags(t.Context())
		require.NoError(t, err)
		assert.Equal(t, []string{"0.0.0"}, tags)
		got, err := sync(t.Context(), r, "0.0.0")
		require.NoError(t, err)
		assert.Equal(t, "archive", string(got))
		assert.Equal(t, "bundle.tar", r.String())
		_, err = r.Push(t.Context(), oci.PushRequest{File: write(t, filepath.Join(t.TempDir(), "f"), "x"), Tag: "1"})
		assert.Equal(t, oci.Misconfigured, failure(t, err).Kind)
	}

	for content, want := range map[string]string{
		"\x1f\x8b\x08\x00":                         "decompress it first",
		"\x28\xb5\x2f\xfd":                         "decompress it first",
		"no tar at all" + strings.Repeat("x", 600): "invalid tar header",
	} {
		_, err := openTar(strings.NewReader(content), int64(len(content)))
		assert.ErrorContains(t, err, want)
	}
	empty := strings.NewReader(strings.Repeat("\x00", 1024))
	r, err := openTar(empty, empty.Size())
	require.NoError(t, err)
	_, err = r.Tags(t.Context())
	assert.Equal(t, oci.Absent, failure(t, err).Kind)
}

func openTar(f io.ReaderAt, size int64) (*oci.Repository, error) {
	files, err := oci.TarFS(f, size)
	if err != nil {
		return nil, err
	}
	return oci.OpenLayoutFS(files, "bundle.tar")
}

// What GNU tar makes of a folder in which files are hard links of each other, or have
// holes.
func TestLayoutInTarOfLinksAndHoles(t *testing.T) {
	dir := t.TempDir()
	packed := filepath.Join(t.TempDir(), "bundle.tar")
	open := func() (*oci.Repository, error) {
		f, err := os.Open(packed)
		require.NoError(t, err)
		t.Cleanup(func() { f.Close() })
		info, err := f.Stat()
		require.NoError(t, err)
		return openTar(f, info.Size())
	}
	m := push(t, openLayout(t, dir), "0.0.0", "archive")
	require.NoError(t, os.Link(filepath.Join(dir, "blobs", "sha256", m.Digest.Encoded()), filepath.Join(dir, "another name")))
	command(t, "tar", "-cf", packed, "-C", dir, "another name", "oci-layout", "index.json", "blobs")
	r, err := open()
	require.NoError(t, err)
	got, err := sync(t.Context(), r, "0.0.0")
	require.NoError(t, err, "the manifest stands in the tar as a link")
	assert.Equal(t, "archive", string(got))

	require.NoError(t, os.Truncate(write(t, filepath.Join(dir, "holes"), "x"), 1<<20))
	for _, format := range []string{"gnu", "pax"} {
		command(t, "tar", "-S", "--format="+format, "-cf", packed, "-C", dir, ".")
		_, err = open()
		assert.ErrorContains(t, err, `"./holes" is kept as a sparse file`)
	}
}

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
}
