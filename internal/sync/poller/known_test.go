package poller

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/oci"
)

// What a status says must be true also while nobody can be asked, and what is
// served must be what the configuration asks for and the store can give.

var unavailable = &oci.Error{Kind: oci.Unavailable, Status: 503, Cure: "wait", Err: errors.New("down")}

// broken makes calls that begin so end in an error.
func (r *rig) broken(prefix string, err error) {
	r.registry.failing(func(call string) error {
		if strings.HasPrefix(call, prefix) {
			return err
		}
		return nil
	})
}

func (r *rig) notices() (all []string) {
	for _, n := range r.poller.Status().Notices {
		all = append(all, n.What)
	}
	return all
}

// configured is another poller on the same store and registry.
func (r *rig) configured(change func(*Config)) *rig {
	return newRigOn(r.T, r.store, r.registry, change)
}

func TestWhatIsKnownStaysKnownWhileTheRegistryIsDown(t *testing.T) {
	m := NewMetrics(prometheus.NewRegistry(), []string{"default"})
	r := newRig(t, func(c *Config) { c.Metrics, c.MaxReleases = m, 4 })
	for _, v := range []string{"1.0.0", "2.0.0", "3.0.0", "0.9.0", "0.8.0"} {
		r.registry.push(t, v, day(1), files{"a": v})
	}
	r.sync()
	r.registry.pushBytes(t, "2.0.0", day(2), []byte("no archive"))
	r.registry.push(t, "3.0.0", day(2), files{"a": "new"})
	r.registry.pushBytes(t, "4.0.0", day(2), []byte("no archive either"))
	r.broken("blob", unavailable)
	r.registry.blobs = map[digest.Digest][]byte{}
	r.sync() // 503
	r.registry.failing(nil)
	assertKnown := func() {
		t.Helper()
		st := r.poller.Status()
		assert.Equal(t, 6, st.Tags)
		assert.Equal(t, []string{"0.9.0", "0.8.0"}, st.LeftOut)
		assert.Equal(t, Behind, r.state("2.0.0"))
		assert.Equal(t, Behind, r.state("3.0.0"))
		assert.Equal(t, Missing, r.state("4.0.0"))
		assert.False(t, st.Current)
		assert.Equal(t, 3.0, testutil.ToFloat64(m.missing))
	}
	assertKnown()
	r.broken("tags", unavailable)
	for range 2 {
		assert.Equal(t, Failed, r.sync().Result)
		assertKnown()
	}
	assert.Contains(t, r.notices(), "4.0.0 is followed but not held")

	before := r.poller
	r = r.configured(func(c *Config) { c.Metrics, c.MaxReleases, c.Interval = m, 4, time.Hour })
	r.broken("tags", unavailable)
	r.poller.Inherit(before)
	assert.Equal(t, before.Status().LastSuccess, r.poller.Status().LastSuccess)
	assert.Equal(t, Failed, r.sync().Result)
	assertKnown() // also by who takes its place
	assert.Equal(t, before.Status().ConsecutiveFailures+1, r.poller.Status().ConsecutiveFailures)
}

func TestARefusalStaysNamedWhileTheRegistryIsDown(t *testing.T) {
	m := NewMetrics(prometheus.NewRegistry(), []string{"default"})
	r := newRig(t, func(c *Config) { c.Metrics = m })
	r.registry.push(t, "1.0.0", day(1), files{"a": "one"})
	r.registry.pushBytes(t, "2.0.0", day(2), []byte("no archive"))
	for _, down := range []bool{false, false, true, true, false} {
		r.registry.failing(nil)
		if down {
			r.broken("tags", unavailable)
		}
		r.sync()
		assert.Equal(t, Refused, r.state("2.0.0"))
		assert.Equal(t, 1.0, testutil.ToFloat64(m.refused))
		assert.Equal(t, 1.0, testutil.ToFloat64(m.missing))
		assert.Zero(t, testutil.ToFloat64(m.current))
		require.NotEmpty(t, r.notices())
		assert.Contains(t, r.notices()[0], "is refused at stage unpack")
	}

	good := r.registry.push(t, "2.0.0", day(3), files{"a": "two"})
	assert.Equal(t, Success, r.sync().Result)
	bad := r.registry.pushBytes(t, "2.0.0", day(2), []byte("no archive"))
	assert.Equal(t, Noop, r.sync().Result, "it is remembered")
	assert.Equal(t, Refused, r.state("2.0.0"))
	r.serves(files{"a": "two"})
	require.NotEqual(t, good, bad)
	r.registry.point("2.0.0", good)
	assert.Equal(t, Noop, r.sync().Result)
	assert.Equal(t, Current, r.state("2.0.0"), "a tag that moves back to what is held is no more refused")
	assert.Zero(t, testutil.ToFloat64(m.refused))
	assert.Equal(t, 1.0, testutil.ToFloat64(m.current))
	assert.Empty(t, r.notices())
}

func TestARefusalOutlivesARestartAndNotAPolicy(t *testing.T) {
	dir := t.TempDir()
	open := func() *store.Store {
		s, err := store.Open(context.Background(), store.Options{Dir: dir})
		require.NoError(t, err)
		return s
	}
	s, reg := open(), newRegistry()
	reg.pushBytes(t, "1.0.0", day(1), []byte("no archive"))
	newRigOn(t, s, reg).sync()
	require.NoError(t, s.Close())
	s = open()
	defer s.Close()
	for _, row := range []struct {
		name    string
		change  func(*Config)
		fetches bool
	}{
		{"a restart", func(*Config) {}, false},
		{"another interval", func(c *Config) { c.Interval, c.MaxReleases = time.Hour, 3 }, false},
		{"another limit", func(c *Config) { c.Limits.FileBytes = 7 }, true},
		{"another gate", func(c *Config) { c.Gate.RequirePaths = []string{"/a"} }, true},
		{"another title", func(c *Config) { c.Archive = "other.tgz" }, true},
		{"named now", func(c *Config) { c.Select = selectors(t, "1.0.0") }, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newRigOn(t, s, reg, row.change)
			reg.asked()
			want := Noop
			if row.fetches {
				want = Failed
			}
			assert.Equal(t, want, r.sync().Result)
			assert.Equal(t, row.fetches, len(reg.asked()) > 2)
			assert.Equal(t, Refused, r.state("1.0.0"))
		})
	}
}

func TestOneManifestUnderTwoTags(t *testing.T) {
	r := newRig(t)
	good := r.registry.push(t, "1.0.0", day(1), files{"a": "one"})
	r.registry.point("1.0.1", good)
	bad := r.registry.pushBytes(t, "2.0.0", day(2), []byte("no archive"))
	r.registry.point("2.0.1", bad)
	o := r.sync()
	assert.Len(t, o.Failures, 1)
	blobs := 0
	for _, call := range r.registry.asked() {
		if call == "blob" {
			blobs++
		}
	}
	assert.Equal(t, 2, blobs, "each content once")
	for tag, want := range map[string]FollowState{"1.0.0": Current, "1.0.1": Current, "2.0.0": Refused, "2.0.1": Refused} {
		assert.Equal(t, want, r.state(tag), tag)
	}
	assert.Equal(t, Noop, r.sync().Result)
	r.serves(files{"a": "one"})
}

func TestTwoSelectorsOfOneTag(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Select = selectors(t, `tags:.*-rc`, "versions", "tags:.*", "1.0.0") })
	for _, tag := range []string{"1.0.0", "2.0.0", "x-rc"} {
		r.registry.push(t, tag, day(1), files{"a": tag, tag: tag})
	}
	o := r.sync()
	assert.Equal(t, []string{"x-rc", "2.0.0", "1.0.0"}, o.Got, "each once, where the first selector has it")
	assert.Len(t, r.store.Served().Releases, 3)
	assert.True(t, r.poller.Status().Current)
	r.registry.asked()
	r.sync()
	assert.Len(t, r.registry.asked(), 1+3)
}

func TestFewerReleases(t *testing.T) {
	r := newRig(t)
	for n, tag := range []string{"1.0.0", "2.0.0", "3.0.0", "0.0.0"} {
		r.registry.push(t, tag, day(n+1), files{tag: tag})
	}
	r.sync()
	fewer := r.configured(func(c *Config) { c.MaxReleases = 2 })
	o := fewer.sync()
	assert.Equal(t, Success, o.Result)
	fewer.serves(files{"0.0.0": "0.0.0", "3.0.0": "3.0.0", "2.0.0": "", "1.0.0": ""})
	assert.Equal(t, []string{"2.0.0", "1.0.0"}, fewer.poller.Status().LeftOut)
	assert.True(t, fewer.poller.Status().Current)
	assert.Equal(t, Noop, fewer.sync().Result)
}

func TestExclude(t *testing.T) {
	build := func(t *testing.T) (r *rig, two digest.Digest) {
		r = newRig(t)
		r.registry.push(t, "1.0.0", day(1), files{"a": "one"})
		two = r.registry.push(t, "2.0.0", day(2), files{"a": "two"})
		r.sync()
		r.serves(files{"a": "two"})
		return r, two
	}
	for name, by := range map[string]func(digest.Digest) string{
		"by tag":    func(digest.Digest) string { return "2.0.0" },
		"by digest": func(d digest.Digest) string { return d.String() },
	} {
		t.Run(name, func(t *testing.T) {
			r, two := build(t)
			x := r.configured(func(c *Config) { c.Exclude = []string{by(two)} })
			x.sync()
			x.serves(files{"a": "one"})
			assert.Empty(t, x.state("2.0.0"))
		})
		t.Run(name+", with the registry down", func(t *testing.T) {
			r, two := build(t)
			x := r.configured(func(c *Config) { c.Exclude = []string{by(two)} })
			x.broken("tags", unavailable)
			x.sync()
			x.serves(files{"a": "one"})
		})
	}
	t.Run("what a tag had, when its next digest is not to be had", func(t *testing.T) {
		r, two := build(t)
		r.registry.pushBytes(t, "2.0.0", day(3), []byte("no archive"))
		x := r.configured(func(c *Config) { c.Exclude = []string{two.String()} })
		x.sync()
		x.serves(files{"a": "one"})
		assert.Equal(t, Refused, x.state("2.0.0"))
	})
	t.Run("what a tag has moved to", func(t *testing.T) {
		r, _ := build(t)
		bad := r.registry.push(t, "2.0.0", day(3), files{"a": "bad"})
		x := r.configured(func(c *Config) { c.Exclude = []string{bad.String()} })
		for range 2 {
			assert.Equal(t, Noop, x.sync().Result)
			x.serves(files{"a": "two"}) // as if it were refused
			assert.Equal(t, Excluded, x.state("2.0.0"))
			assert.True(t, x.poller.Status().Current)
		}
		x.registry.push(t, "2.0.0", day(4), files{"a": "good"})
		x.sync()
		x.serves(files{"a": "good"})
	})
	t.Run("what a tag moves to between HEAD and GET", func(t *testing.T) {
		r, two := build(t)
		r.registry.push(t, "3.0.0", day(3), files{"a": "three"})
		x := r.configured(func(c *Config) { c.Exclude = []string{two.String()} })
		x.registry.failing(func(call string) error {
			if call == "manifest 3.0.0" {
				x.registry.point("3.0.0", two)
			}
			return nil
		})
		x.sync()
		x.serves(files{"a": "one"})
	})
	t.Run("all that is served stays, for want of anything else", func(t *testing.T) {
		r, _ := build(t)
		x := r.configured(func(c *Config) { c.Exclude = []string{"1.0.0", "2.0.0"} })
		x.sync()
		x.serves(files{"a": "two"})
	})
}

// A pattern that turns to a bad release must not take away the one it had.
func TestWhatIsDisplacedStandsIn(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"the highest match": func(c *Config) { c.Select = selectors(t, "semver:^2", "1.0.0") },
		"maxReleases":       func(c *Config) { c.Select, c.MaxReleases = selectors(t, "tags:2.*", "1.0.0"), 1 },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, change)
			r.registry.push(t, "1.0.0", day(1), files{"a": "one", "b": "one"})
			r.registry.push(t, "2.0.0", day(2), files{"a": "two"})
			r.sync()
			r.registry.pushBytes(t, "2.1.0", day(3), []byte("no archive"))
			assert.Equal(t, Failed, r.sync().Result)
			for range 2 {
				r.serves(files{"a": "two", "b": "one"})
				assert.Equal(t, Refused, r.state("2.1.0"))
				assert.Equal(t, StandsIn, r.state("2.0.0"))
				assert.False(t, r.poller.Status().Current)
				assert.Equal(t, Noop, r.sync().Result)
			}
			r.broken("tags", unavailable)
			r.sync()
			r.serves(files{"a": "two", "b": "one"})
			r.registry.failing(nil)

			r.registry.push(t, "2.1.0", day(4), files{"a": "mended"})
			assert.Equal(t, Success, r.sync().Result)
			r.serves(files{"a": "mended", "b": "one"})
			assert.Empty(t, r.state("2.0.0"))
			assert.True(t, r.poller.Status().Current)
		})
	}
}

func TestWhatAPatternPassesOverTakesNothingAway(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Select, c.MaxReleases = selectors(t, "tags:2.*", "1.0.0"), 1 })
	r.registry.push(t, "1.0.0", day(1), files{"a": "one"})
	r.registry.push(t, "2.0.0", day(2), files{"a": "two"})
	r.sync()
	r.registry.put(t, "2.1.0", &oci.Manifest{ConfigMediaType: "application/vnd.cncf.helm.config.v1+json"})
	for range 2 {
		assert.NotEqual(t, Failed, r.sync().Result)
		assert.Equal(t, PassedOver, r.state("2.1.0"))
		r.serves(files{"a": "two"})
	}
}

// The one tag that a constraint asks for is no chance match: a new replica would serve
// nothing, and nobody would be told.
func TestWhatAConstraintSeeksIsNotPassedOver(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Select = selectors(t, "semver:^2") })
	r.registry.put(t, "2.1.0", &oci.Manifest{ConfigMediaType: "application/vnd.cncf.helm.config.v1+json"})
	o := r.sync()
	require.Len(t, o.Failures, 1)
	assert.Equal(t, StageManifest, o.Failures[0].Stage)
	assert.NotEmpty(t, o.Failures[0].Cure)
	assert.Equal(t, Refused, r.state("2.1.0"))
	assert.Equal(t, Noop, r.sync().Result, "and remembered")
	require.Len(t, r.notices(), 1)
}

// A damaged file is no reason to take the rest of its release away.
func TestADamagedTreeStaysUntilAWholeOneIsThere(t *testing.T) {
	r := newRig(t)
	r.registry.push(t, "1.0.0", day(1), files{"a": "one"})
	r.registry.push(t, "2.0.0", day(2), files{"a": "two", "b": "two"})
	r.sync()
	v := r.store.Acquire()
	e, ok := v.Lookup("a")
	require.True(t, ok)
	require.NoError(t, filepath.WalkDir(r.store.Dir(), func(path string, _ fs.DirEntry, err error) error {
		if b, readErr := os.ReadFile(path); readErr == nil && string(b) == "two" && strings.HasSuffix(path, "/a") {
			require.NoError(t, os.Chmod(path, 0o644))
			require.NoError(t, os.WriteFile(path, []byte("TWO"), 0o644))
		}
		return err
	}))
	r.store.ReportDamage(v, e)
	v.Close()

	r.broken("blob", unavailable)
	for range 2 {
		assert.Equal(t, Failed, r.sync().Result)
		r.serves(files{"b": "two"})
		assert.Equal(t, Behind, r.state("2.0.0"))
		assert.False(t, r.poller.Status().Current)
	}
	r.registry.failing(nil)
	assert.Equal(t, Success, r.sync().Result)
	r.serves(files{"a": "two", "b": "two"})
	assert.True(t, r.poller.Status().Current)
}

// verifier trusts what it is told to.
type verifier struct{ err error }

func (v *verifier) Verify(context.Context, *oci.Manifest) error { return v.err }
func (v *verifier) Policy() string                              { return "policy" }

func TestVerification(t *testing.T) {
	v := &verifier{err: errors.New("signed by nobody")}
	r := newRig(t, func(c *Config) { c.Verify = v })
	r.registry.push(t, "1.0.0", day(1), files{"a": "one"})
	o := r.sync()
	require.Len(t, o.Failures, 1)
	assert.Equal(t, StageVerify, o.Failures[0].Stage)
	assert.Equal(t, Noop, r.sync().Result, "a refusal is remembered")
	assert.Nil(t, r.store.Served())

	v.err = unavailable
	r.registry.push(t, "1.0.0", day(2), files{"a": "one"})
	for range 2 {
		assert.Equal(t, Failed, r.sync().Result, "that the signatures were not to be had is not remembered")
	}
	v.err = nil
	assert.Equal(t, Success, r.sync().Result)
}

// The end of the process is no judgement.
func TestAGateThatIsCutOffHasRefusedNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	started := filepath.Join(t.TempDir(), "started")
	r := newRig(t, func(c *Config) {
		c.Gate.Command, c.Gate.Timeout = []string{"sh", "-c", `echo > "` + started + `"; exec sleep 60`}, time.Minute
	})
	r.registry.push(t, "1.0.0", day(1), files{"a": "one"})
	go func() {
		defer cancel()
		for n := 0; n < 1000; n++ {
			if _, err := os.Stat(started); err == nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	o := r.poller.Once(ctx, Ask{})
	assert.Equal(t, Failed, o.Result, "what was cut off is no success")
	assert.Empty(t, o.Failures)
	assert.True(t, r.poller.Status().LastSuccess.IsZero())
	assert.Zero(t, r.poller.Status().ConsecutiveFailures, "and no failure")
	assert.Empty(t, r.store.Refusals("default"))
}

// A registry may refuse one blob only, as where it lies in a bucket of its own: the
// release above must not keep those below it from being had for good.
func TestARefusedBlobIsAskedForLastNextTime(t *testing.T) {
	r := newRig(t)
	r.registry.push(t, "1.0.0", day(1), files{"a": "one"})
	r.registry.push(t, "2.0.0", day(2), files{"a": "two"})
	blobs := 0
	r.registry.failing(func(call string) error {
		if !strings.HasPrefix(call, "blob") {
			return nil
		}
		if blobs++; blobs == 2 { // the second sync asks for the other one first
			return nil
		}
		return &oci.Error{Kind: oci.Unauthorized, Status: 401, Err: errors.New("no")}
	})
	assert.Equal(t, Failed, r.sync().Result)
	assert.Equal(t, 1, blobs, "to go on asking might lock the account")
	assert.Equal(t, Failed, r.sync().Result)
	r.serves(files{"a": "one"})
}
