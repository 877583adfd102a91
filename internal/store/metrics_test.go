package store

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A scrape in the middle of a swap is of one view: all of it, and never of none.
func TestAScrapeIsOfOneView(t *testing.T) {
	reg := prometheus.NewRegistry()
	s := openStore(t, t.TempDir(), func(o *Options) { o.Registerer = reg })
	assert.Empty(t, gather(t, reg)["specman_view_info"], "nothing is served yet")
	small := hold(t, s, "1.0.0", content{"a": "a"})
	large := hold(t, s, "2.0.0", content{"a": "a", "b": "b"})
	follow(t, s, small)

	var swapping sync.WaitGroup
	swapping.Go(func() {
		for range 100 {
			follow(t, s, large)
			follow(t, s, small)
		}
	})
	for range 300 {
		scrape := gather(t, reg)
		require.Len(t, scrape["specman_view_info"], 1)
		releases := scrape["specman_release_info"]
		require.Len(t, releases, 1)
		files := scrape["specman_view_files"][0].GetGauge().GetValue()
		var tag string
		for _, l := range releases[0].GetLabel() {
			if l.GetName() == "tag" {
				tag = l.GetValue()
			}
		}
		require.Equal(t, map[string]float64{"1.0.0": 1, "2.0.0": 2}[tag], files, tag)
	}
	swapping.Wait()
	require.NoError(t, s.Close())
	gather(t, reg) // a last scrape of a service that ends
}

// A tree whose index or folder is damaged counts once, at the start or in a check, and
// again when it is damaged after it was made anew.
func TestALostTreeIsCountedOnce(t *testing.T) {
	for name, row := range map[string]struct {
		lose string // below the tree
		open bool   // it is lost while it is served
	}{
		"its index at the start": {"index", false},
		"all of it, later":       {"", true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			metered := func(o *Options) { o.Registerer = prometheus.NewRegistry() }
			s := openStore(t, dir, metered)
			one, two := content{"f": "1"}, content{"f": "2"}
			follow(t, s, hold(t, s, "1.0.0", one))
			follow(t, s, hold(t, s, "2.0.0", two))
			lose := func() { require.NoError(t, os.RemoveAll(filepath.Join(treeFolder(dir, layerFor(two)), row.lose))) }
			check := func(times int, want float64) {
				t.Helper()
				for range times {
					report, err := s.Verify(t.Context(), VerifyOptions{})
					require.NoError(t, err)
					assert.NotEmpty(t, report.Damaged, "it is told each time")
					s.repairDamaged(t.Context())
				}
				assert.Equal(t, want, testutil.ToFloat64(s.metrics.integrity))
			}
			if row.open {
				lose()
			} else {
				require.NoError(t, s.Close())
				lose()
				s = openStore(t, dir, metered)
			}
			check(3, 1)
			follow(t, s, hold(t, s, "1.0.0", one))
			check(3, 1)

			require.NoError(t, stage(t, s, layerFor(two), two).Publish())
			s.repairDamaged(t.Context())
			lose()
			check(1, 2)
		})
	}
}

// gather scrapes a registry: the series of each metric.
func gather(t *testing.T, reg *prometheus.Registry) map[string][]*dto.Metric {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	series := make(map[string][]*dto.Metric)
	for _, f := range families {
		series[f.GetName()] = f.GetMetric()
	}
	return series
}
