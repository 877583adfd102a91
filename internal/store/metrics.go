package store

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics are the store's. A nil *metrics counts nothing.
type metrics struct {
	swaps        prometheus.Counter
	treesDeleted prometheus.Counter
	integrity    prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, s *Store) *metrics {
	if reg == nil {
		return nil
	}
	f := promauto.With(reg)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: "specman_" + name, Help: help})
	}
	m := &metrics{
		swaps:        counter("view_swaps_total", "Times that another view began to be served."),
		treesDeleted: counter("gc_deleted_trees_total", "Trees removed because retention no longer held them."),
		integrity:    counter("integrity_errors_total", "Trees, views or files found damaged on disk."),
	}
	reg.MustRegister(newShown(s))
	return m
}

func (m *metrics) swapped() {
	if m != nil {
		m.swaps.Inc()
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

// shown are the gauges of what the store holds and serves. They are made of it at each
// scrape, so that no scrape sees one view's files beside another's name.
type shown struct {
	store *Store

	swappedAt, files, bytes, view, releases, skipped, pinned *prometheus.Desc
	trees, used, free                                        *prometheus.Desc
}

func newShown(s *Store) *shown {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("specman_"+name, help, labels, nil)
	}
	return &shown{
		store:     s,
		swappedAt: desc("view_swapped_timestamp_seconds", "When the served view began to be served; 0 if none is."),
		files:     desc("view_files", "Files in the served view."),
		bytes:     desc("view_bytes", "Bytes of the files in the served view."),
		view:      desc("view_info", "The served view; always 1.", "view"),
		releases:  desc("release_info", "A release in the served view, by manifest digest; always 1.", "source", "tag", "digest"),
		skipped:   desc("archive_skipped_entries", "Entries of the served releases' archives that are not served.", "source"),
		pinned:    desc("pinned", "1 while the served view is held by a pin or a rollback."),
		trees:     desc("store_trees", "Trees on disk."),
		used:      desc("store_bytes", "Bytes on disk of all trees, shared files counted once."),
		free:      desc("store_free_bytes", "Bytes of the volume that Specman may still use."),
	}
}

// Describe implements prometheus.Collector.
func (g *shown) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.swappedAt, g.files, g.bytes, g.view, g.releases, g.skipped, g.pinned, g.trees, g.used, g.free} {
		descs <- d
	}
}

// Collect implements prometheus.Collector. It waits for no change of the store.
func (g *shown) Collect(metrics chan<- prometheus.Metric) {
	tell := func(d *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	s := g.store
	v, st := s.Acquire(), s.state.Load()
	if v != nil {
		defer v.Close()
	}
	if st == nil {
		return // it is being opened
	}
	free, _ := s.Free()
	tell(g.free, float64(free))
	tell(g.used, float64(s.usage.Load()))
	tell(g.trees, float64(s.countTrees()))

	pinned := 0.0
	if st.Pin != nil {
		pinned = 1
	}
	tell(g.pinned, pinned)
	skipped := map[string]int{ImportSource: 0}
	for _, source := range s.options().Sources {
		skipped[source] = 0
	}
	var files, bytes, swappedAt float64
	if v != nil {
		files, bytes = float64(v.files), float64(v.bytes)
		swappedAt = float64(st.since(v).UnixNano()) / float64(time.Second)
		tell(g.view, 1, v.id)
		for _, r := range v.releases {
			tell(g.releases, 1, r.Source, r.Tag, r.Manifest.String())
			skipped[r.Source] += r.Skipped
		}
	}
	tell(g.files, files)
	tell(g.bytes, bytes)
	tell(g.swappedAt, swappedAt)
	for source, n := range skipped {
		tell(g.skipped, float64(n), source)
	}
}
