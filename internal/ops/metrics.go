package ops

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// registerMetrics registers the metrics that are of the service as a whole.
func registerMetrics(reg prometheus.Registerer, version, revision string, ready func() bool) {
	f := promauto.With(reg)
	f.NewGaugeVec(prometheus.GaugeOpts{
		Name: "specman_build_info",
		Help: "Which Specman this is; always 1.",
	}, []string{"version", "revision", "goversion"}).WithLabelValues(version, revision, runtime.Version()).Set(1)
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "specman_ready",
		Help: "1 as soon as a view is served, and from then on.",
	}, func() float64 {
		if ready() {
			return 1
		}
		return 0
	})
}
