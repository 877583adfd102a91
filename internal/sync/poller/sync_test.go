package poller

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/oci"
	"github.com/specman/specman/internal/sync/selector"
)

// rig is a poller with a registry before it and a store behind it.
type rig struct {
	*testing.T
	registry *registry
	store    *store.Store
	poller   *Poller
	log      *bytes.Buffer
}

func newRig(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	s, err := store.Open(context.Background(), store.Options{Dir: t.TempDir(), Keep: 3})
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return newRigOn(t, s, newRegistry(), change...)
}

func newRigOn(t *testing.T, s *store.Store, reg *registry, change ...func(*Config)) *rig {
	t.Helper()
	r := &rig{T: t, registry: reg, store: s, log: &bytes.Buffer{}}
	cfg := Config{
		Name: "default", Repository: "registry.test/manifest", Source: reg, Select: selectors(t, "versions"),
		MaxReleases: 32, Archive: "manifests.tgz", Interval: time.Minute, Timeout: time.Minute, MaxBackoff: 5 * time.Minute,
		Store: s, Logger: slog.New(slog.NewTextHandler(r.log, nil)),
	}
	for _, f := range change {
		f(&cfg)
	}
	r.poller = New(cfg)
	return r
}

func selectors(t *testing.T, texts ...string) []selector.Selector {
	t.Helper()
	s, err := selector.ParseAll(texts)
	require.NoError(t, err)
	return s
}

func (r *rig) sync() Outcome { r.Helper(); return r.poller.Once(context.Background(), Ask{}) }

// serves asserts what is at some paths of the view; "" means nothing.
func (r *rig) serves(want map[string]string) {
	r.Helper()
	v := r.store.Acquire()
	require.NotNil(r, v, "nothing is served")
	defer v.Close()
	for path, content := range want {
		f, err := openIn(v, path)
		if content == "" {
			assert.Error(r, err, path)
			continue
		}
		require.NoError(r, err, path)
		b, err := io.ReadAll(f)
		require.NoError(r, errors.Join(err, f.Close()))
		assert.Equal(r, content, string(b), path)
	}
}

func (r *rig) state(tag string) FollowState {
	r.Helper()
	for _, f := range r.poller.Status().Followed {
		if f.Tag == tag {
			return f.State
		}
	}
	return ""
}

func day(n int) time.Time { return time.Date(2025, 1, n, 0, 0, 0, 0, time.UTC) }

type files = map[string]string

func TestTheGuide(t *testing.T) {
	r := newRig(t)
	r.registry.push(t, "4.5.11", day(1), files{"a": "4.5.11", "old": "4.5.11"})
	r.registry.push(t, "4.5.13", day(2), files{"a": "4.5.13"})
	r.registry.push(t, "0.0.0", day(3), files{"a": "mine"})

	o := r.sync()
	assert.Equal(t, Success, o.Result)
	assert.Equal(t, []string{"0.0.0", "4.5.13", "4.5.11"}, o.Got, "the top of the view first")
	r.serves(files{"a": "mine", "old": "4.5.11"})
	assert.Contains(t, r.log.String(), `msg="Syncing with OCI repo"`)
	assert.Contains(t, r.log.String(), `msg="tags[4.5.11 4.5.13 0.0.0]"`)
	assert.Contains(t, r.log.String(), `msg="Downloading 0.0.0"`)
	assert.Contains(t, r.log.String(), `msg="filename: manifests.tgz, isDir: false"`)
	assert.Contains(t, r.log.String(), `msg="Persisting 0.0.0"`)

	t.Run("an idle poll asks for the list and each tag, and says two lines", func(t *testing.T) {
		r.registry.asked()
		r.log.Reset()
		assert.Equal(t, Noop, r.sync().Result)
		assert.Equal(t, []string{"tags", "head 0.0.0", "head 4.5.13", "head 4.5.11"}, r.registry.asked())
		assert.Equal(t, 2, strings.Count(r.log.String(), "\n"), r.log)
	})
	t.Run("the next upgrade lies over 0.0.0", func(t *testing.T) {
		r.registry.push(t, "4.6.0", day(1), files{"a": "4.6.0"}) // mirrors keep the vendor's date
		assert.Equal(t, Success, r.sync().Result)
		r.serves(files{"a": "mine"}) // no index: 0.0.0 is newer than 4.6.0
		r.registry.push(t, "4.7.0", day(4), files{"a": "4.7.0"})
		r.sync()
		r.serves(files{"a": "4.7.0", "old": "4.5.11"})
	})
	t.Run("a tag that moves is a new release", func(t *testing.T) {
		r.registry.push(t, "4.7.0", day(5), files{"a": "again"})
		assert.Equal(t, []string{"4.7.0"}, r.sync().Got)
		r.serves(files{"a": "again"})
	})
	t.Run("the same layer under a new manifest is not downloaded", func(t *testing.T) {
		r.registry.push(t, "4.7.0", day(6), files{"a": "again"})
		r.registry.asked()
		assert.Equal(t, []string{"4.7.0"}, r.sync().Got)
		assert.NotContains(t, r.registry.asked(), "blob")
	})
}

func TestAFailureTakesNothingAway(t *testing.T) {
	unavailable := &oci.Error{Kind: oci.Unavailable, Status: 503, Cure: "wait", Err: errors.New("down")}
	on := func(prefix string, err error) func(string) error {
		return func(call string) error {
			if strings.HasPrefix(call, prefix) {
				return err
			}
			return nil
		}
	}
	for _, c := range []struct {
		name   string
		break_ func(r *rig)
		stage  Stage
		state  FollowState
	}{
		{"the list fails", func(r *rig) { r.registry.failing(on("tags", unavailable)) }, StageList, Unknown},
		{"the list is empty", func(r *rig) { r.registry.remove("1.0.0"); r.registry.remove("2.0.0") }, StageList, Vanished},
		{"the repository is gone", func(r *rig) { r.registry.failing(on("tags", absent("repository"))) }, StageList, Vanished},
		{"a tag cannot be resolved", func(r *rig) { r.registry.failing(on("head 2.0.0", unavailable)) }, StageResolve, Unknown},
		{"a manifest is not to be had", func(r *rig) {
			r.registry.push(t, "2.0.0", day(9), files{"a": "new"})
			r.registry.failing(on("manifest", unavailable))
		}, StageManifest, Behind},
		{"a blob is not to be had", func(r *rig) {
			r.registry.push(t, "2.0.0", day(9), files{"a": "new"})
			r.registry.failing(on("blob", unavailable))
		}, StageDownload, Behind},
		{"an archive is none", func(r *rig) { r.registry.pushBytes(t, "2.0.0", day(9), []byte("<html>")) }, StageUnpack, Refused},
		{"an archive leads outside", func(r *rig) { r.registry.push(t, "2.0.0", day(9), files{"../a": "new"}) }, StageUnpack, Refused},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.registry.push(t, "1.0.0", day(1), files{"a": "one", "b": "one"})
			r.registry.push(t, "2.0.0", day(2), files{"a": "two"})
			require.Equal(t, Success, r.sync().Result)
			c.break_(r)

			o := r.sync()
			assert.Equal(t, Failed, o.Result)
			require.Len(t, o.Failures, 1)
			assert.Equal(t, c.stage, o.Failures[0].Stage)
			assert.NotEmpty(t, o.Failures[0].Reason)
			r.serves(files{"a": "two", "b": "one"})
			assert.Equal(t, c.state, r.state("2.0.0"))
			assert.False(t, r.poller.Status().Current)
			assert.Equal(t, 1, r.poller.Status().ConsecutiveFailures)

			r.registry.failing(nil)
			r.registry.push(t, "1.0.0", day(1), files{"a": "one", "b": "one"})
			r.registry.push(t, "2.0.0", day(10), files{"a": "mended"})
			assert.Equal(t, Success, r.sync().Result)
			r.serves(files{"a": "mended", "b": "one"})
			assert.True(t, r.poller.Status().Current)
		})
	}
}

func TestARefusalIsRemembered(t *testing.T) {
	r := newRig(t)
	r.registry.push(t, "1.0.0", day(1), files{"a": "one"})
	r.registry.pushBytes(t, "2.0.0", day(2), []byte("no archive"))
	assert.Equal(t, Failed, r.sync().Result)
	r.serves(files{"a": "one"})

	r.registry.asked()
	r.log.Reset()
	assert.Equal(t, Noop, r.sync().Result, "only a new failure is an error")
	assert.NotContains(t, r.registry.asked(), "blob")
	assert.Equal(t, Refused, r.state("2.0.0"))
	assert.Contains(t, r.log.String(), "2.0.0", "each poll names what stands")
	assert.Contains(t, r.log.String(), "level=WARN")

	r.registry.asked()
	assert.Equal(t, Failed, r.poller.Once(context.Background(), Ask{Force: true}).Result, "force fetches it again")
	assert.Contains(t, r.registry.asked(), "blob")

	other := newRigOn(t, r.store, r.registry, func(c *Config) { c.Limits.Files = 7 })
	other.registry.asked()
	other.sync()
	assert.Contains(t, r.registry.asked(), "blob", "another configuration judges anew")
}

func TestNothingPushedYet(t *testing.T) {
	r := newRig(t)
	o := r.sync()
	require.Len(t, o.Failures, 1)
	assert.Equal(t, StageList, o.Failures[0].Stage)
	assert.Contains(t, o.Failures[0].Reason, "nothing was pushed yet")
	assert.NotContains(t, r.log.String(), "ERROR")
	assert.NotContains(t, r.log.String(), "WARN")
}

func TestPatternsPassOverWhatIsNoArchive(t *testing.T) {
	chart := func() *oci.Manifest {
		return &oci.Manifest{ConfigMediaType: "application/vnd.cncf.helm.config.v1+json", Layers: []ocispec.Descriptor{{MediaType: "application/vnd.cncf.helm.chart.content.v1.tar+gzip", Size: 3}}}
	}
	t.Run("once, under a pattern", func(t *testing.T) {
		r := newRig(t)
		r.registry.push(t, "1.0.0", day(1), files{"a": "one"})
		r.registry.put(t, "2.0.0", chart())
		assert.Equal(t, Success, r.sync().Result)
		assert.Equal(t, PassedOver, r.state("2.0.0"))
		assert.True(t, r.poller.Status().Current)
		r.log.Reset()
		assert.Equal(t, Noop, r.sync().Result)
		assert.Equal(t, 2, strings.Count(r.log.String(), "\n"), r.log)
	})
	t.Run("a failure where it was named", func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Select = selectors(t, "2.0.0") })
		r.registry.put(t, "2.0.0", &oci.Manifest{Layers: make([]ocispec.Descriptor, 2)})
		o := r.sync()
		require.Len(t, o.Failures, 1)
		assert.Equal(t, StageManifest, o.Failures[0].Stage)
	})
}

func TestAVanishedTag(t *testing.T) {
	t.Run("that a pattern selected is a warning", func(t *testing.T) {
		r := newRig(t)
		r.registry.push(t, "1.0.0", day(1), files{"a": "one"})
		r.registry.push(t, "2.0.0", day(1), files{"a": "two"})
		r.sync()
		r.registry.remove("2.0.0")
		r.log.Reset()
		assert.Equal(t, Noop, r.sync().Result)
		assert.Equal(t, Vanished, r.state("2.0.0"))
		assert.Contains(t, r.log.String(), "vanished")
		r.serves(files{"a": "two"})
	})
	t.Run("that was named is a failure", func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Select = selectors(t, "2.0.0") })
		r.registry.push(t, "1.0.0", day(1), files{"a": "one"})
		r.registry.push(t, "2.0.0", day(1), files{"a": "two"})
		r.sync()
		r.registry.remove("2.0.0")
		o := r.sync()
		require.Len(t, o.Failures, 1)
		assert.Equal(t, StageResolve, o.Failures[0].Stage)
		r.serves(files{"a": "two"})
	})
}

func TestATagThatMovesBetweenHeadAndGet(t *testing.T) {
	r := newRig(t)
	r.registry.push(t, "1.0.0", day(1), files{"a": "head"})
	moved := false
	r.registry.failing(func(call string) error {
		if call == "manifest 1.0.0" && !moved {
			moved = true
			b := tgz(t, files{"a": "get"})
			layer := ocispec.Descriptor{Digest: digest.FromBytes(b), Size: int64(len(b)), Annotations: map[string]string{ocispec.AnnotationTitle: "manifests.tgz"}}
			r.registry.blobs[layer.Digest] = b
			r.registry.put(t, "1.0.0", &oci.Manifest{Layers: []ocispec.Descriptor{layer}})
		}
		return nil
	})
	assert.Equal(t, Success, r.sync().Result)
	r.serves(files{"a": "get"})
	assert.Equal(t, Noop, r.sync().Result)
}

func TestTheGate(t *testing.T) {
	t.Run("too much would vanish", func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Gate.MaxVanishedPercent = 50 })
		r.registry.push(t, "0.0.0", day(1), files{"a": "1", "b": "1"})
		r.sync()
		r.registry.push(t, "0.0.0", day(2), files{"html/a": "2", "html/b": "2"})
		o := r.sync()
		require.Len(t, o.Failures, 1)
		assert.Equal(t, StageGate, o.Failures[0].Stage)
		r.serves(files{"a": "1", "html/a": ""})
		assert.Equal(t, Noop, r.sync().Result)
		assert.Equal(t, Success, r.poller.Once(context.Background(), Ask{Force: true}).Result, "force lets it pass")
		r.serves(files{"a": "", "html/a": "2"})
	})
	t.Run("required paths", func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Gate.RequirePaths = []string{"/roar/nickfury/versions.yaml"} })
		r.registry.push(t, "0.0.0", day(1), files{"a": "1"})
		assert.Equal(t, StageGate, r.sync().Failures[0].Stage)
	})
	t.Run("a command", func(t *testing.T) {
		r := newRig(t, func(c *Config) {
			c.Gate.Command, c.Gate.Timeout = []string{"sh", "-c", `echo no "$(cat "$0/a")" here; exit 3`}, time.Minute
		})
		r.registry.push(t, "0.0.0", day(1), files{"a": "1"})
		f := r.sync().Failures[0]
		assert.Equal(t, StageGate, f.Stage)
		assert.Contains(t, f.Reason, "no 1 here")
	})
}

func TestForcedBySelector(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Select = selectors(t, "0.0.0", "versions") })
	r.registry.push(t, "4.5.13", day(1), files{"a": "4.5.13", "roar/nickfury/versions.yaml": "versions:\n- version: 4.5.13\n"})
	r.registry.push(t, "0.0.0", day(1), files{"a": "old", "roar/nickfury/versions.yaml": "versions:\n- version: 4.4.1\n"})
	r.sync()
	r.serves(files{"a": "old"})
	assert.Contains(t, r.log.String(), "4.5.13 is covered by other content of 0.0.0")
	assert.Contains(t, r.log.String(), "the index of 4.5.13 lists 4.5.13")
}

func TestByDigest(t *testing.T) {
	reg := newRegistry()
	d := reg.push(t, "1.0.0", day(1), files{"a": "one"})
	reg.push(t, "1.0.0", day(2), files{"a": "two"})
	s, err := store.Open(context.Background(), store.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	defer s.Close()
	r := newRigOn(t, s, reg, func(c *Config) { c.Select = selectors(t, d.String()) })
	assert.Equal(t, Success, r.sync().Result)
	r.serves(files{"a": "one"})
	reg.asked()
	assert.Equal(t, Noop, r.sync().Result)
	assert.Equal(t, []string{"tags"}, reg.asked(), "a digest does not move")
}
