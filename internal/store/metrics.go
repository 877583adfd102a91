package store

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics are the store's. A nil *metrics counts nothing.
type metrics struct {
	swaps        prometheus.Counter
	swappedAt    prometheus.Gauge
	files, bytes prometheus.Gauge
	view         *prometheus.GaugeVec
	releases     *prometheus.GaugeVec
	skipped      *prometheus.GaugeVec
	trees        prometheus.Gauge
	pinned       prometheus.Gauge
	treesDeleted prometheus.Counter
	integrity    prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, s *Store) *metrics {
	if reg == nil {
		return nil
	}
	f := promauto.With(reg)
	gauge := func(name, help string) prometheus.Gauge {
		return f.NewGauge(prometheus.GaugeOpts{Name: "specman_" + name, Help: help})
	}
	gauges := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return f.NewGaugeVec(prometheus.GaugeOpts{Name: "specman_" + name, Help: help}, labels)
	}
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: "specman_" + name, Help: help})
	}
	m := &metrics{
		swaps:        counter("view_swaps_total", "Times that another view began to be served."),
		swappedAt:    gauge("view_swapped_timestamp_seconds", "When the served view began to be served; 0 if none is."),
		files:        gauge("view_files", "Files in the served view."),
		bytes:        gauge("view_bytes", "Bytes of the files in the served view."),
		view:         gauges("view_info", "The served view; always 1.", "view"),
		releases:     gauges("release_info", "A release in the served view, by manifest digest; always 1.", "source", "tag", "digest"),
		skipped:      gauges("archive_skipped_entries", "Entries of the served releases' archives that are not served.", "source"),
		trees:        gauge("store_trees", "Trees on disk."),
		pinned:       gauge("pinned", "1 while the served view is held by a pin or a rollback."),
		treesDeleted: counter("gc_deleted_trees_total", "Trees removed because retention no longer held them."),
		integrity:    counter("integrity_errors_total", "Trees, views or files found damaged on disk."),
	}
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "specman_store_bytes", Help: "Bytes on disk of all trees, shared files counted once."},
		func() float64 { return float64(s.usage.Load()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "specman_store_free_bytes", Help: "Bytes of the volume that Specman may still use."},
		func() float64 { free, _ := s.Free(); return float64(free) })
	return m
}

// show makes the gauges tell what the store holds and serves.
func (m *metrics) show(s *Store) {
	if m == nil {
		return
	}
	m.trees.Set(float64(s.countTrees()))
	st := s.state.Load()
	m.pinned.Set(0)
	if st.Pin != nil {
		m.pinned.Set(1)
	}
	m.view.Reset()
	m.releases.Reset()
	m.skipped.Reset()
	for _, source := range append([]string{ImportSource}, s.options().Sources...) {
		m.skipped.WithLabelValues(source).Set(0)
	}
	v := s.Acquire()
	if v == nil {
		return
	}
	defer v.Close()
	m.view.WithLabelValues(v.id).Set(1)
	for _, r := range v.releases {
		m.releases.WithLabelValues(r.Source, r.Tag, r.Manifest.String()).Set(1)
		m.skipped.WithLabelValues(r.Source).Add(float64(r.Skipped))
	}
	m.files.Set(float64(v.files))
	m.bytes.Set(float64(v.bytes))
	if st.View != nil {
		m.swappedAt.Set(float64(st.View.Since.UnixNano()) / float64(time.Second))
	}
}

func (m *metrics) swapped(s *Store) {
	if m != nil {
		m.swaps.Inc()
		m.show(s)
	}
}

func (m *metrics) treeDeleted() {
	if m != nil {
		m.treesDeleted.Inc()
	}
}

func (m *metrics) damaged() {
	if m != nil {
		m.integrity.Inc()
	}
}
