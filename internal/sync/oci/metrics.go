package oci

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what is asked of registries, for all sources of a process. A
// nil *Metrics counts nothing.
type Metrics struct {
	requests   *prometheus.CounterVec // each hop of a redirect counts
	downloaded *prometheus.CounterVec
}

// NewMetrics registers the metrics of this package with reg.
func NewMetrics(reg prometheus.Registerer, sources []string) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "specman_registry_requests_total",
			Help: "HTTP requests to registries, their token servers and blob stores; code is the status, or \"error\" without an answer.",
		}, []string{"source", "operation", "code"}),
		downloaded: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "specman_downloaded_bytes_total",
			Help: "Bytes of blobs read from registries and OCI layouts.",
		}, []string{"source"}),
	}
	reg.MustRegister(m.requests, m.downloaded)
	m.Add(sources)
	return m
}

// Add makes the series of sources, so that they are there before they move.
func (m *Metrics) Add(sources []string) {
	for _, source := range sources {
		m.downloaded.WithLabelValues(source)
		for _, operation := range []string{opTags, opHead, opManifest, opBlob, opReferrers, opToken} {
			m.requests.WithLabelValues(source, operation, "200")
		}
	}
}

// Remove takes the series of sources away that are not configured any more.
func (m *Metrics) Remove(sources []string) {
	for _, source := range sources {
		m.requests.DeletePartialMatch(prometheus.Labels{"source": source})
		m.downloaded.DeletePartialMatch(prometheus.Labels{"source": source})
	}
}

func (m *Metrics) request(source, operation, code string) {
	if m != nil {
		m.requests.WithLabelValues(source, operation, code).Inc()
	}
}

// bytes is the counter of a source's downloaded bytes.
func (m *Metrics) bytes(source string) func(n int) {
	if m == nil {
		return func(int) {}
	}
	counter := m.downloaded.WithLabelValues(source)
	return func(n int) { counter.Add(float64(n)) }
}
