package httpserve

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// codes are the status codes that the server answers with.
var codes = []int{
	http.StatusOK, http.StatusNoContent, http.StatusPartialContent,
	http.StatusMovedPermanently, http.StatusNotModified,
	http.StatusBadRequest, http.StatusUnauthorized, http.StatusNotFound, http.StatusMethodNotAllowed,
	http.StatusPreconditionFailed, http.StatusRequestedRangeNotSatisfiable,
	http.StatusInternalServerError, http.StatusServiceUnavailable,
}

// methodMetrics are one method's series, looked up once.
type methodMetrics struct {
	requests [600]prometheus.Counter // by code; nil for one that is not in codes
	duration prometheus.Observer
}

type metrics struct {
	get, head, options, other methodMetrics

	bytes       prometheus.Counter
	inFlight    prometheus.Gauge
	cacheHits   prometheus.Counter
	cacheMisses prometheus.Counter
}

// newMetrics registers the server's metrics. notAfter says when the
// certificate in use ends.
func newMetrics(reg prometheus.Registerer, notAfter func() time.Time) *metrics {
	factory := promauto.With(reg)
	requests := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "specman_http_requests_total",
		Help: "Requests answered on the tree's port, by method (GET, HEAD, OPTIONS, other) and status code.",
	}, []string{"method", "code"})
	duration := factory.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "specman_http_request_duration_seconds",
		Help:    "Time from a request's header to the last byte of its answer.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60},
	}, []string{"method"})
	cache := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "specman_http_cache_requests_total",
		Help: "Small bodies asked of the memory cache (http.cacheBytes), by result.",
	}, []string{"result"})
	factory.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "specman_tls_certificate_not_after_timestamp_seconds",
		Help: "When the server certificate that is in use ends.",
	}, func() float64 {
		if end := notAfter(); !end.IsZero() {
			return float64(end.Unix())
		}
		return 0
	})
	m := &metrics{
		bytes: factory.NewCounter(prometheus.CounterOpts{
			Name: "specman_http_response_bytes_total",
			Help: "Bytes of response bodies sent on the tree's port, before TLS.",
		}),
		inFlight: factory.NewGauge(prometheus.GaugeOpts{
			Name: "specman_http_requests_in_flight",
			Help: "Requests being answered on the tree's port.",
		}),
		cacheHits:   cache.WithLabelValues("hit"),
		cacheMisses: cache.WithLabelValues("miss"),
	}
	for label, of := range map[string]*methodMetrics{"GET": &m.get, "HEAD": &m.head, "OPTIONS": &m.options, "other": &m.other} {
		of.duration = duration.WithLabelValues(label)
		for _, code := range codes {
			of.requests[code] = requests.WithLabelValues(label, strconv.Itoa(code))
		}
	}
	return m
}

func (m *metrics) of(method string) *methodMetrics {
	switch method {
	case http.MethodGet:
		return &m.get
	case http.MethodHead:
		return &m.head
	case http.MethodOptions:
		return &m.options
	}
	return &m.other
}
