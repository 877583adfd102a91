package store

import (
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
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
