package oci_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/sync/oci"
	"github.com/specman/specman/internal/sync/oci/ocitest"
)

// Registries that differ from the specification, and are read all the same.
// idle is what a poll costs once the difference is known.
func TestOddRegistries(t *testing.T) {
	const tags, head, manifest, blob = ocitest.Tags, ocitest.Head, ocitest.Manifest, ocitest.Blob
	byHead, byGet := map[string]int{tags: 1, head: 1}, map[string]int{tags: 1, manifest: 1}
	tests := []struct {
		name   string
		faults []ocitest.Fault
		idle   map[string]int
	}{
		{"honest", nil, byHead},
		{"HEAD refused", []ocitest.Fault{{Operation: head, Answer: ocitest.Status(405, "UNSUPPORTED", "")}}, byGet},
		{"HEAD not implemented", []ocitest.Fault{{Operation: head, Answer: ocitest.Status(501, "UNSUPPORTED", "")}}, byGet},
		{"HEAD forbidden", []ocitest.Fault{{Operation: head, Answer: ocitest.Status(403, "", "")}}, byGet},
		{"no digest", []ocitest.Fault{{Operation: head, Answer: ocitest.NoDigest()}, {Operation: manifest, Answer: ocitest.NoDigest()}}, byGet},
		{"a digest that is none", []ocitest.Fault{{Operation: head, Answer: ocitest.Header("Docker-Content-Digest", "sha256:7")}}, byGet},
		{"a wrong digest at GET", []ocitest.Fault{{Operation: manifest, Answer: ocitest.WrongDigest()}}, byHead},
		{"no content type", []ocitest.Fault{{Operation: head, Answer: ocitest.Header("Content-Type", "")}, {Operation: manifest, Answer: ocitest.Header("Content-Type", "text/plain")}}, byHead},
		{"no lengths", []ocitest.Fault{{Answer: ocitest.Chunked()}}, byHead},
		{"a redirect of everything", []ocitest.Fault{{Answer: redirectOnce}}, map[string]int{tags: 2, head: 2}},
		{"a page without new tags", []ocitest.Fault{{Operation: tags, Times: 1, Answer: ocitest.Header("Link", `</v2/`+repository+`/tags/list?n=9>; rel="next"`)}}, byHead},
		{"blobs without ranges", []ocitest.Fault{{Operation: blob, Answer: ocitest.NoRanges()}}, byHead},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			registry := newRegistry()
			artifact := registry.Push("0.0.0", "manifests.tgz", []byte("archive"), day)
			for _, f := range tt.faults {
				registry.Break(f)
			}
			r := open(t, startHTTP(t, registry))
			got, err := sync(t.Context(), r, "0.0.0")
			require.NoError(t, err)
			assert.Equal(t, "archive", string(got))

			registry.Forget()
			_, err = r.Tags(t.Context())
			require.NoError(t, err)
			desc, err := r.Resolve(t.Context(), "0.0.0")
			require.NoError(t, err)
			assert.Equal(t, artifact.Manifest, desc.Digest)
			assert.Equal(t, tt.idle, registry.Counts())
		})
	}
}

func redirectOnce(w http.ResponseWriter, req *http.Request, honest http.Handler) {
	if req.URL.Query().Has("X-Signature") {
		honest.ServeHTTP(w, req)
		return
	}
	ocitest.Redirect("")(w, req, honest)
}

// A registry that denies a tag is asked for it with GET once an hour, and never where HEAD
// is answered for others; a proxy that begins to refuse HEAD is found out.
func TestHeadForbidden(t *testing.T) {
	const head, manifest = ocitest.Head, ocitest.Manifest
	forbidden := ocitest.Status(403, "DENIED", "not yours")
	site := func(t *testing.T, test func(*ocitest.Registry, *oci.Repository, func(polls int) map[string]int)) {
		t.Setenv("DOCKER_CONFIG", t.TempDir())
		synctest.Test(t, func(t *testing.T) {
			registry := newRegistry()
			for _, tag := range []string{"0.0.0", "1.0.0"} {
				registry.Push(tag, "manifests.tgz", []byte(tag), day)
			}
			pipe := ocitest.NewPipe(registry)
			defer pipe.Close()
			r := open(t, "registry.test", func(c *oci.Config) { c.DialContext = pipe.Dial })
			test(registry, r, func(polls int) map[string]int {
				registry.Forget()
				for range polls {
					for _, tag := range []string{"0.0.0", "1.0.0"} {
						if _, err := r.Resolve(t.Context(), tag); err != nil {
							e := failure(t, err)
							assert.Equal(t, oci.Forbidden, e.Kind)
							assert.Contains(t, e.Error(), "resolve registry.test/"+repository+":"+tag+": 403 Forbidden")
							assert.Contains(t, e.Cure, "pull rights")
						}
					}
					time.Sleep(time.Minute)
				}
				return registry.Counts()
			})
		})
	}
	t.Run("the repository is denied", func(t *testing.T) {
		site(t, func(registry *ocitest.Registry, _ *oci.Repository, polling func(int) map[string]int) {
			registry.Break(ocitest.Fault{Operation: head, Answer: forbidden})
			registry.Break(ocitest.Fault{Operation: manifest, Answer: forbidden})
			assert.Equal(t, map[string]int{head: 120, manifest: 1}, polling(60))
		})
	})
	t.Run("one tag is denied", func(t *testing.T) {
		site(t, func(registry *ocitest.Registry, _ *oci.Repository, polling func(int) map[string]int) {
			registry.Break(ocitest.Fault{Operation: head, Answer: func(w http.ResponseWriter, req *http.Request, honest http.Handler) {
				if strings.HasSuffix(req.URL.Path, "/1.0.0") {
					honest = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { forbidden(w, req, nil) })
				}
				honest.ServeHTTP(w, req)
			}})
			assert.Equal(t, map[string]int{head: 240}, polling(120))
		})
	})
	t.Run("a proxy refuses HEAD from now on", func(t *testing.T) {
		site(t, func(registry *ocitest.Registry, r *oci.Repository, polling func(int) map[string]int) {
			polling(1)
			registry.Break(ocitest.Fault{Operation: head, Answer: forbidden})
			polling(60)
			_, err := r.Resolve(context.Background(), "0.0.0")
			require.NoError(t, err)
			registry.Heal()
			polling(60)
			assert.Equal(t, map[string]int{head: 2}, polling(1))
		})
	})
}

// Where HEAD says the same wrong thing twice, GET is asked from then on. Where a
// tag just moves between the two, HEAD stays in use.
func TestHeadThatLies(t *testing.T) {
	registry := newRegistry()
	artifact := registry.Push("0.0.0", "manifests.tgz", []byte("archive"), day)
	registry.Break(ocitest.Fault{Operation: ocitest.Head, Answer: ocitest.WrongDigest()})
	r := open(t, startHTTP(t, registry))
	for poll := range 4 {
		desc, err := r.Resolve(t.Context(), "0.0.0")
		require.NoError(t, err)
		if desc.Digest != artifact.Manifest {
			require.Less(t, poll, 2)
			m, err := r.Manifest(t.Context(), "0.0.0")
			require.NoError(t, err)
			assert.Equal(t, artifact.Manifest, m.Digest, "GET decides")
		}
	}
	assert.Equal(t, 2, registry.Count(ocitest.Head))

	moving := newRegistry()
	r = open(t, startHTTP(t, moving))
	for n := range 4 {
		moving.Push("0.0.0", "manifests.tgz", fmt.Appendf(nil, "%d", n), day)
		_, err := r.Resolve(t.Context(), "0.0.0")
		require.NoError(t, err)
		moved := moving.Push("0.0.0", "manifests.tgz", fmt.Appendf(nil, "%d moved", n), day)
		m, err := r.Manifest(t.Context(), "0.0.0")
		require.NoError(t, err)
		assert.Equal(t, moved.Manifest, m.Digest, "the release is what GET's digest says")
	}
	assert.Equal(t, 4, moving.Count(ocitest.Head))
}

func TestTagLists(t *testing.T) {
	t.Run("ten thousand in pages, in the registry's order", func(t *testing.T) {
		registry := newRegistry()
		artifact := registry.Push("9999.0.0", "manifests.tgz", []byte("archive"), day)
		want := []string{"9999.0.0"}
		for n := range 9999 {
			tag := fmt.Sprintf("%d.0.0", 9998-n)
			registry.Tag(tag, artifact.Manifest)
			want = append(want, tag)
		}
		registry.SetPageSize(100)
		tags, err := open(t, startHTTP(t, registry)).Tags(t.Context())
		require.NoError(t, err)
		assert.Equal(t, want, tags)
		assert.Equal(t, 100, registry.Count(ocitest.Tags))
	})
	t.Run("absolute links of the same origin", func(t *testing.T) {
		registry := newRegistry()
		registry.Push("1.0.0", "manifests.tgz", []byte("a"), day)
		registry.Push("2.0.0", "manifests.tgz", []byte("b"), day)
		registry.SetPageSize(1)
		registry.Break(ocitest.Fault{Operation: ocitest.Tags, Times: 1, Answer: func(w http.ResponseWriter, req *http.Request, _ http.Handler) {
			w.Header().Set("Link", fmt.Sprintf(`<http://%s%s?last=1.0.0>; rel="next"`, req.Host, req.URL.Path))
			_, _ = w.Write([]byte(`{"tags":["1.0.0"]}`))
		}})
		tags, err := open(t, startHTTP(t, registry)).Tags(t.Context())
		require.NoError(t, err)
		assert.Equal(t, []string{"1.0.0", "2.0.0"}, tags)
	})
	// RFC 8288: a header may hold several links, and a link several parameters and relations.
	for _, link := range []string{
		`<NEXT>`,
		`<NEXT>;rel=next`,
		`<NEXT>; title="a, b"; REL="Next"`,
		`</v2/first>; rel="first", <NEXT>; rel="prefetch next"`,
		`<NEXT>; rel="next", <https://elsewhere.example/>; rel="last"`,
		`<https://elsewhere.example/>; rel="alternate"`,
		``,
	} {
		t.Run(link, func(t *testing.T) {
			registry := newRegistry()
			registry.Push("1.0.0", "manifests.tgz", []byte("a"), day)
			registry.Push("2.0.0", "manifests.tgz", []byte("b"), day)
			registry.Break(ocitest.Fault{Operation: ocitest.Tags, Times: 1, Answer: func(w http.ResponseWriter, req *http.Request, _ http.Handler) {
				w.Header().Set("Link", strings.ReplaceAll(link, "NEXT", "list?last=1.0.0"))
				_, _ = w.Write([]byte(`{"tags":["1.0.0"]}`))
			}})
			tags, err := open(t, startHTTP(t, registry)).Tags(t.Context())
			require.NoError(t, err)
			want := []string{"1.0.0"}
			if strings.Contains(link, "NEXT") {
				want = append(want, "2.0.0")
			}
			assert.Equal(t, want, tags)
		})
	}
	for _, link := range []string{`list?last=1.0.0`, `<list?last=1.0.0`, `<http://%zz>`, `<http://registry.test.:80/>`, `<http://127.0.0.1/>`, `<ftp:list>`, `<data:,>`} {
		t.Run(link+" is refused", func(t *testing.T) {
			registry := newRegistry()
			registry.Break(ocitest.Fault{Operation: ocitest.Tags, Answer: ocitest.Header("Link", link)})
			_, err := open(t, startHTTP(t, registry)).Tags(t.Context())
			assert.Equal(t, oci.Malformed, failure(t, err).Kind)
			assert.Equal(t, 1, registry.Count(ocitest.Tags))
		})
	}
	t.Run("a page without end", func(t *testing.T) {
		registry := newRegistry()
		registry.Break(ocitest.Fault{Operation: ocitest.Tags, Answer: ocitest.Page("application/json", `{"tags":[`+strings.Repeat(" ", 17<<20)+`]}`)})
		_, err := open(t, startHTTP(t, registry)).Tags(t.Context())
		e := failure(t, err)
		assert.Equal(t, oci.Malformed, e.Kind)
		assert.Contains(t, e.Error(), "16 MiB")
	})
	for name, body := range map[string]string{"tags: null": `{"name":"x","tags":null}`, "no tags": `{"name":"x"}`} {
		t.Run(name, func(t *testing.T) {
			registry := newRegistry()
			registry.Break(ocitest.Fault{Operation: ocitest.Tags, Answer: ocitest.Page("application/json", body)})
			tags, err := open(t, startHTTP(t, registry)).Tags(t.Context())
			require.NoError(t, err)
			assert.Empty(t, tags)
		})
	}
	t.Run("a list without end", func(t *testing.T) {
		registry, page := newRegistry(), 0
		registry.Break(ocitest.Fault{Operation: ocitest.Tags, Answer: func(w http.ResponseWriter, req *http.Request, _ http.Handler) {
			page++
			w.Header().Set("Link", fmt.Sprintf(`<%s?last=%d>; rel="next"`, req.URL.Path, page))
			fmt.Fprintf(w, `{"tags":["t%d"]}`, page)
		}})
		_, err := open(t, startHTTP(t, registry)).Tags(t.Context())
		e := failure(t, err)
		assert.Equal(t, oci.Malformed, e.Kind)
		assert.Contains(t, e.Error(), "pages")
		assert.Equal(t, 500, registry.Count(ocitest.Tags))
	})
}

// A registry keeps its blobs elsewhere: they are fetched there, and no
// credentials go with it.
func TestBlobsElsewhere(t *testing.T) {
	for _, login := range []string{"basic", "token"} {
		t.Run(login, func(t *testing.T) {
			elsewhere, registry := newRegistry(), newRegistry()
			registry.Push("0.0.0", "manifests.tgz", []byte("archive"), day)
			elsewhere.PutBlob([]byte("archive"))
			if login == "basic" {
				registry.RequireBasic("robot$palette", "secret")
			} else {
				registry.RequireToken("robot$palette", "secret")
			}
			registry.Break(ocitest.Fault{Operation: ocitest.Blob, Answer: ocitest.Redirect("http://" + startHTTP(t, elsewhere))})
			r := open(t, startHTTP(t, registry), func(c *oci.Config) { c.Auth.Username, c.Auth.Password = "robot$palette", "secret" })
			got, err := sync(t.Context(), r, "0.0.0")
			require.NoError(t, err)
			assert.Equal(t, "archive", string(got))

			require.Len(t, elsewhere.Requests(), 1)
			assert.Empty(t, elsewhere.Requests()[0].Authorization)
			asked := slices.IndexFunc(registry.Requests(), func(q ocitest.Request) bool { return q.Operation == ocitest.Blob })
			assert.NotEmpty(t, registry.Requests()[asked].Authorization)
		})
	}
}

// A blob store that refuses is named, and the URL's signature is not.
func TestBlobsElsewhereAreRefused(t *testing.T) {
	elsewhere, registry := newRegistry(), newRegistry()
	registry.Push("0.0.0", "manifests.tgz", []byte("archive"), day)
	elsewhere.Break(ocitest.Fault{Answer: ocitest.Status(403, "", "Request has expired")})
	host := startHTTP(t, elsewhere)
	registry.Break(ocitest.Fault{Operation: ocitest.Blob, Answer: ocitest.Redirect("http://" + host)})
	_, err := sync(t.Context(), open(t, startHTTP(t, registry)), "0.0.0")
	e := failure(t, err)
	assert.Equal(t, oci.Forbidden, e.Kind)
	assert.Contains(t, e.Error(), "from "+host)
	assert.NotContains(t, e.Error(), "secret-of-the-url")
}

func TestManifestShapes(t *testing.T) {
	registry := newRegistry()
	artifact := registry.Push("0.0.0", "manifests.tgz", []byte("archive"), day)
	inner := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: artifact.Manifest, Size: 1}
	index := func(tag string, manifests ...ocispec.Descriptor) ocispec.Descriptor {
		raw := ocitest.Marshal(ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: manifests, Annotations: map[string]string{"of": "the index"}})
		return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: registry.PutManifest(tag, ocispec.MediaTypeImageIndex, raw), Size: int64(len(raw))}
	}
	r := open(t, startHTTP(t, registry))

	one := index("one", inner)
	m, err := r.Manifest(t.Context(), "one")
	require.NoError(t, err)
	assert.Equal(t, one.Digest, m.Digest, "what the tag resolves to")
	assert.Equal(t, ocispec.MediaTypeImageIndex, m.MediaType)
	assert.Equal(t, day, m.Created, "of the manifest within")
	assert.Equal(t, "the index", m.Annotations["of"])
	layer, err := oci.ChooseLayer(m, "manifests.tgz", true)
	require.NoError(t, err)
	assert.Equal(t, artifact.Layer.Digest, layer.Digest)

	index("several", inner, inner)
	m, err = r.Manifest(t.Context(), "several")
	require.NoError(t, err)
	_, err = oci.ChooseLayer(m, "manifests.tgz", false)
	assert.ErrorIs(t, err, oci.ErrNoArchive)
	assert.ErrorContains(t, err, "index of several")

	index("deep", index("", index("", index("", inner))))
	_, err = r.Manifest(t.Context(), "deep")
	assert.Equal(t, oci.Malformed, failure(t, err).Kind)

	registry.PutManifest("docker", "application/vnd.docker.distribution.manifest.v2+json", []byte(strings.ReplaceAll(string(ocitest.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
		"config": map[string]any{"mediaType": "application/vnd.docker.container.image.v1+json", "digest": artifact.Layer.Digest, "size": 1},
		"layers": []any{map[string]any{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "digest": artifact.Layer.Digest, "size": 7}},
	})), "\n", "")))
	m, err = r.Manifest(t.Context(), "docker")
	require.NoError(t, err)
	assert.Equal(t, "application/vnd.docker.container.image.v1+json", m.ConfigMediaType)
	assert.Len(t, m.Layers, 1)

	registry.PutManifest("schema1", "application/vnd.docker.distribution.manifest.v1+prettyjws", []byte(`{"schemaVersion":1,"fsLayers":[]}`))
	_, err = r.Manifest(t.Context(), "schema1")
	assert.ErrorContains(t, err, "schema 1")

	empty := registry.Push("empty", "manifests.tgz", nil, day)
	body, err := r.Blob(t.Context(), empty.Layer)
	require.NoError(t, err)
	assert.Empty(t, readAll(t, body))
}
