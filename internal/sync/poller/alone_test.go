package poller

import (
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/sync/oci"
	"github.com/specman/specman/internal/sync/oci/ocitest"
)

// Each release stands alone: one that cannot be had keeps the others from nothing.

func TestAReleaseThatNoVolumeHasRoomFor(t *testing.T) {
	r := newRig(t)
	r.registry.push(t, "1.0.0", day(1), files{"a": "one"})
	r.registry.put(t, "2.0.0", &oci.Manifest{ConfigMediaType: ocispec.MediaTypeEmptyJSON, Created: day(2), Layers: []ocispec.Descriptor{{
		MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromString("x"), Size: 1 << 50,
		Annotations: map[string]string{ocispec.AnnotationTitle: "manifests.tgz"},
	}}})
	o := r.sync()
	require.Len(t, o.Failures, 1)
	assert.Equal(t, StageSpace, o.Failures[0].Stage)
	assert.Equal(t, Current, r.state("1.0.0"))
	r.serves(files{"a": "one"})
}

// Two large releases on top that cannot be had keep a small one below from nothing.
func TestTwoReleasesThatCannotBeHad(t *testing.T) {
	for name, answers := range map[string][]ocitest.Answer{
		// Two in a row that bring no answer end a sync: the registry may be down. The next
		// one asks for the others first.
		"no answer":                  {ocitest.HangUp()},
		"a proxy cuts large answers": {ocitest.Truncate(64 << 10), ocitest.NoRanges()},
	} {
		t.Run(name, func(t *testing.T) {
			atSite(t, func(s *site) {
				s.run()
				time.Sleep(time.Second)
				for _, tag := range []string{"2.0.0", "3.0.0"} {
					large := s.push(tag, day(3), files{"a": "large " + tag, "noise": noise(1 << 20)})
					for _, answer := range answers {
						s.registry.Break(ocitest.Fault{Operation: ocitest.Blob, Answer: only(large.Layer.Digest.String(), answer)})
					}
				}
				s.push("1.0.0", day(4), files{"b": "moved"})
				time.Sleep(time.Hour)
				s.serves(files{"b": "moved"})
				assert.Equal(t, Current, s.state("1.0.0"))
				assert.NotEqual(t, Current, s.state("3.0.0"))
			})
		})
	}
}

// What is always asked for in the same order would always end the sync at the same place.
func TestWhatStumblesIsAskedForLast(t *testing.T) {
	for _, operation := range []string{head, manifest, blob} {
		for name, row := range map[string]struct {
			bad    []string
			answer ocitest.Answer
		}{
			"two hang":             {[]string{"3.0.0", "2.0.0"}, ocitest.Hang()},
			"one wants a login":    {[]string{"3.0.0"}, status(401)},
			"one is too much":      {[]string{"3.0.0"}, status(429)},
			"one is for later":     {[]string{"3.0.0"}, status(503, "Retry-After", "90")},
			"more than end a sync": {[]string{"7.0.0", "6.0.0", "5.0.0", "4.0.0", "3.0.0"}, ocitest.Hang()},
		} {
			t.Run(operation+", "+name, func(t *testing.T) {
				atSite(t, func(s *site) {
					s.run()
					time.Sleep(time.Second)
					reference := make(map[string]string)
					for _, tag := range row.bad {
						bad := s.push(tag, day(3), files{"c": tag})
						if reference[tag] = tag; operation == blob {
							reference[tag] = bad.Layer.Digest.String()
						}
						s.registry.Break(ocitest.Fault{Operation: operation, Answer: only(reference[tag], row.answer)})
					}
					s.push("1.0.0", day(4), files{"b": "moved"})
					time.Sleep(time.Hour)
					s.serves(files{"a": "two", "b": "moved"})
					assert.Equal(t, Current, s.state("1.0.0"))
					assert.Equal(t, Missing, s.state("3.0.0"))
					s.sync() // none is under way then
					_, requests := s.sync()
					assert.LessOrEqual(t, requests[operation], 4, "a sync asks for two of the bad ones at most")

					// One recovers, wherever it stands among those that do not.
					s.registry.Heal()
					for _, tag := range row.bad[1:] {
						s.registry.Break(ocitest.Fault{Operation: operation, Answer: only(reference[tag], row.answer)})
					}
					time.Sleep(time.Hour)
					assert.Equal(t, Current, s.state(row.bad[0]))
					s.registry.Heal()
					time.Sleep(20 * time.Minute)
					assert.True(t, s.poller.Status().Current)
				})
			})
		}
	}
}

// The storage of one blob is being mended: 503 and Retry-After.
func TestAReleaseThatIsToBeAskedForLater(t *testing.T) {
	atSite(t, func(s *site) {
		s.run()
		time.Sleep(time.Second)
		later := s.push("2.0.0", day(3), files{"a": "moved 2"})
		s.registry.Break(ocitest.Fault{Operation: ocitest.Blob, Answer: only(later.Layer.Digest.String(), ocitest.Status(503, "UNAVAILABLE", "", "Retry-After", "30"))})
		s.push("1.0.0", day(4), files{"b": "moved"})
		time.Sleep(10 * time.Minute)
		s.serves(files{"b": "moved"})
		assert.Equal(t, Current, s.state("1.0.0"))
	})
}

// What the gate refused under one tag may be what was meant under another.
func TestTheGateRefusesUnderOneTag(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Gate.MaxVanishedPercent = 50 })
	r.registry.push(t, "1.0.0", day(1), files{"a": "1", "b": "2", "c": "3"})
	r.sync()
	moved := r.registry.push(t, "1.0.0", day(2), files{"z": "1"})
	r.sync()
	require.Equal(t, Refused, r.state("1.0.0"))
	r.registry.point("2.0.0", moved)
	r.sync()
	assert.Equal(t, Current, r.state("2.0.0"))
	assert.Equal(t, Refused, r.state("1.0.0"))
}

// A chart is pushed over a tag that is served: what it had is served on, and that is told.
func TestAServedTagBecomesAChart(t *testing.T) {
	r := newRig(t)
	r.registry.push(t, "1.0.0", day(1), files{"a": "one"})
	r.registry.push(t, "2.0.0", day(1), files{"b": "two"})
	r.sync()
	r.registry.put(t, "2.0.0", &oci.Manifest{ConfigMediaType: "application/vnd.cncf.helm.config.v1+json"})
	for range 2 {
		r.sync()
		r.serves(files{"a": "one", "b": "two"})
		assert.Equal(t, Behind, r.state("2.0.0"))
		st := r.poller.Status()
		assert.False(t, st.Current)
		require.Len(t, st.Notices, 1)
		assert.Contains(t, st.Notices[0].What, "2.0.0 holds no archive any more, and its last content is served: ")
	}
}
