package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"

	"github.com/specman/specman/internal/testenv"
)

// manifestRepository is where Palette expects its manifests.
const manifestRepository = "spectro-packs/spectro-manifests/manifest"

// targz packs files as the guide's command does, by a path without a leading
// slash.
func targz(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	require.NoError(t, err)
	w := tar.NewWriter(z)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: "./" + name, Mode: 0o640, Size: int64(len(files[name])), ModTime: time.Unix(1733488994, 0)}))
		_, err = w.Write([]byte(files[name]))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	require.NoError(t, z.Close())
	return b.Bytes()
}

// www copies the example's tree to a folder of the test's own.
func www(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "html")
	out, err := exec.Command("cp", "-a", filepath.Join("..", "..", "examples", "www"), dir).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return dir
}

// tarWWW runs the guide's own command in a folder. GNU tar ends with 1, and a good
// archive, when it meets the archive that it is making.
func tarWWW(t testing.TB, dir string) {
	t.Helper()
	cmd := exec.Command("tar", "-czvf", "manifests.tgz", ".")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() > 1 {
		require.NoError(t, err, "%s", out)
	}
}

// filesIn reads a folder as path → content, symlinks followed, as a web server
// does; the archive in it is left out.
func filesIn(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	var walk func(path string)
	walk = func(path string) {
		entries, err := os.ReadDir(filepath.Join(dir, path))
		require.NoError(t, err)
		for _, e := range entries {
			name := filepath.Join(path, e.Name())
			info, err := os.Stat(filepath.Join(dir, name))
			require.NoError(t, err)
			if info.IsDir() {
				walk(name)
				continue
			}
			content, err := os.ReadFile(filepath.Join(dir, name))
			require.NoError(t, err)
			files["/"+name] = string(content)
		}
	}
	walk(".")
	delete(files, "/manifests.tgz")
	return files
}

// publisher pushes artifacts of ORAS's shape in-process, which a hundred swaps
// want: the blobs once, then only the tag moves.
type publisher struct {
	t         testing.TB
	repo      *remote.Repository
	manifests map[digest.Digest][]byte
}

func newPublisher(t testing.TB, r *testenv.Registry) *publisher {
	t.Helper()
	repo, err := remote.NewRepository(r.Repo(manifestRepository))
	require.NoError(t, err)
	repo.PlainHTTP = true
	return &publisher{t, repo, map[digest.Digest][]byte{}}
}

// push uploads an archive and tags it.
func (p *publisher) push(tag string, archive []byte) ocispec.Descriptor {
	p.t.Helper()
	return p.pushManifest(tag, archive, ocispec.Manifest{
		ArtifactType: "application/vnd.unknown.artifact.v1", Config: ocispec.DescriptorEmptyJSON,
		Layers: []ocispec.Descriptor{{
			MediaType: ocispec.MediaTypeImageLayer, Annotations: map[string]string{ocispec.AnnotationTitle: "manifests.tgz"},
		}},
	})
}

// pushChart uploads what `helm push` makes of a signed chart, which no selector
// means.
func (p *publisher) pushChart(tag string) ocispec.Descriptor {
	p.t.Helper()
	config := ocispec.DescriptorEmptyJSON
	config.MediaType = "application/vnd.cncf.helm.config.v1+json"
	provenance := []byte("signed")
	layer := ocispec.Descriptor{
		MediaType: "application/vnd.cncf.helm.chart.provenance.v1.prov", Digest: digest.FromBytes(provenance), Size: int64(len(provenance)),
	}
	require.NoError(p.t, p.repo.Blobs().Push(context.Background(), layer, bytes.NewReader(provenance)))
	return p.pushManifest(tag, targz(p.t, map[string]string{"palette/Chart.yaml": "name: palette"}), ocispec.Manifest{
		Config: config,
		Layers: []ocispec.Descriptor{{MediaType: "application/vnd.cncf.helm.chart.content.v1.tar+gzip"}, layer},
	})
}

// pushManifest uploads an archive as the first layer of a manifest, and tags that.
func (p *publisher) pushManifest(tag string, archive []byte, m ocispec.Manifest) ocispec.Descriptor {
	p.t.Helper()
	ctx := context.Background()
	m.Versioned, m.MediaType = specs.Versioned{SchemaVersion: 2}, ocispec.MediaTypeImageManifest
	m.Annotations = map[string]string{ocispec.AnnotationCreated: time.Now().UTC().Format(time.RFC3339)}
	m.Layers[0].Digest, m.Layers[0].Size = digest.FromBytes(archive), int64(len(archive))
	manifest, err := json.Marshal(m)
	require.NoError(p.t, err)
	require.NoError(p.t, p.repo.Blobs().Push(ctx, m.Layers[0], bytes.NewReader(archive)))
	require.NoError(p.t, p.repo.Blobs().Push(ctx, m.Config, strings.NewReader("{}")))
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(manifest), Size: int64(len(manifest))}
	p.manifests[desc.Digest] = manifest
	p.move(tag, desc)
	return desc
}

// move makes a tag name a manifest that was pushed. It is put again, since zot
// drops a manifest that the last tag has left; the blobs stay.
func (p *publisher) move(tag string, to ocispec.Descriptor) {
	p.t.Helper()
	require.NoError(p.t, p.repo.PushReference(context.Background(), to, bytes.NewReader(p.manifests[to.Digest]), tag))
}

// delete removes a manifest, and with it every tag of it.
func (p *publisher) delete(d ocispec.Descriptor) {
	p.t.Helper()
	err := p.repo.Delete(context.Background(), d)
	if !errors.Is(err, errdef.ErrNotFound) { // by zot, when the tag moved on
		require.NoError(p.t, err)
	}
}

// bulk is a tree whose every file says, in each of its lines, which version it is
// of. What is served is checked without asking what was pushed when.
type bulk struct {
	files int
	size  int // bytes a file, about

	made sync.Map // version + path → content
}

// content is the file at a path in a version: text that shrinks, but not to nothing.
func (b *bulk) content(version, path string) string {
	if made, ok := b.made.Load(version + path); ok {
		return made.(string)
	}
	noise := rand.New(rand.NewChaCha8(sha256.Sum256([]byte(version + path))))
	var text strings.Builder
	fmt.Fprintf(&text, "version: %s\npath: %s\n", version, path)
	for text.Len() < b.size {
		fmt.Fprintf(&text, "%s %016x%016x\n", version, noise.Uint64(), noise.Uint64())
	}
	fmt.Fprintf(&text, "end: %s\n", version)
	b.made.Store(version+path, text.String())
	return text.String()
}

func (b *bulk) path(n int) string {
	return fmt.Sprintf("data/%02d/file-%04d%s", n%16, n, []string{".yaml", ".json", ".tgz"}[n%3])
}

func (b *bulk) archive(t testing.TB, version string) []byte {
	t.Helper()
	files := map[string]string{}
	for n := range b.files {
		files[b.path(n)] = b.content(version, b.path(n))
	}
	return targz(t, files)
}

// check says of which version a body is, and what is wrong with it.
func (b *bulk) check(path string, body []byte) (version string, err error) {
	version, ok := strings.CutPrefix(firstLine(string(body)), "version: ")
	if !ok || len(version) > 4 {
		return "", fmt.Errorf("%s begins with %.60q", path, body)
	}
	if want := b.content(version, path); string(body) != want {
		return version, fmt.Errorf("%s: %d bytes that are not the %d of version %s", path, len(body), len(want), version)
	}
	return version, nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
