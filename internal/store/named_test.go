package store

import (
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A tag names what is followed, not what a pin keeps.
func TestATagNamesWhatIsFollowed(t *testing.T) {
	s := openStore(t, t.TempDir())
	good := hold(t, s, "0.0.0", content{"f": "good"})
	follow(t, s, good)
	require.NoError(t, s.Pin(*s.Served(), "pin", "test"))
	bad := hold(t, s, "0.0.0", content{"f": "bad"})
	other := hold(t, s, "9.9.9", content{"g": "other"})
	follow(t, s, bad, other)

	v, err := s.AcquireVersion("0.0.0")
	require.NoError(t, err)
	assert.Equal(t, content{"f": "bad"}, read(t, v))
	v.Close()
	r, err := s.Forget("0.0.0", "")
	require.NoError(t, err)
	assert.Equal(t, bad.Manifest, r.Manifest)
	assert.False(t, s.Forgotten(good.Manifest))
	assert.Equal(t, []Contribution{other}, s.Following("default"))

	v, err = s.AcquireVersion("0.0.0")
	require.NoError(t, err)
	assert.Equal(t, content{"f": "good"}, read(t, v), "what is served, as nothing else is followed")
	v.Close()
}

// Where several sources have a tag, the upper one is meant, whoever came first; to forget
// one takes its digest.
func TestATagOfSeveralSources(t *testing.T) {
	s := openStore(t, t.TempDir(), func(o *Options) { o.Sources = []string{"own", "vendor"} })
	bring := func(source, text string) Contribution {
		layer := layerFor(content{"f": text})
		require.NoError(t, stage(t, s, layer, content{"f": text}).Publish())
		r := Release{Source: source, Tag: "0.0.0", Manifest: digest.FromString(source), Layer: layer, Fetched: time.Now(), Files: 1}
		require.NoError(t, s.Add(r))
		c := Contribution{Tag: r.Tag, Manifest: r.Manifest}
		_, err := s.Follow(source, []Contribution{c})
		require.NoError(t, err)
		return c
	}
	vendor, own := bring("vendor", "vendor"), bring("own", "own")

	v, err := s.AcquireVersion("0.0.0")
	require.NoError(t, err)
	assert.Equal(t, content{"f": "own"}, read(t, v))
	v.Close()
	target, err := s.Target("0.0.0", true)
	require.NoError(t, err)
	assert.Equal(t, []ReleaseKey{{"own", "0.0.0", own.Manifest}}, target.Releases)

	_, err = s.Forget("0.0.0", "")
	require.ErrorIs(t, err, ErrAmbiguous)
	assert.ErrorContains(t, err, vendor.Manifest.String())
	assert.ErrorContains(t, err, own.Manifest.String())
	r, err := s.Forget(vendor.Manifest.String(), "")
	require.NoError(t, err)
	assert.Equal(t, "vendor", r.Source)
	assert.Empty(t, s.Following("vendor"))
}
