package poller

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics are those of all pollers. A nil *Metrics counts nothing.
type Metrics struct {
	syncs       *prometheus.CounterVec
	duration    *prometheus.HistogramVec
	failures    *prometheus.CounterVec
	lastAttempt *prometheus.GaugeVec
	lastSuccess *prometheus.GaugeVec
	consecutive *prometheus.GaugeVec
	nextSync    *prometheus.GaugeVec
	refused     *prometheus.GaugeVec
	missing     *prometheus.GaugeVec
	current     *currentViews
}

// NewMetrics registers the metrics and adds the sources.
func NewMetrics(reg prometheus.Registerer, sources []string) *Metrics {
	f := promauto.With(reg)
	gauge := func(name, help string) *prometheus.GaugeVec {
		return f.NewGaugeVec(prometheus.GaugeOpts{Name: "specman_" + name, Help: help}, []string{"source"})
	}
	m := &Metrics{
		syncs: f.NewCounterVec(prometheus.CounterOpts{
			Name: "specman_syncs_total", Help: "Syncs that have ended, by result."}, []string{"source", "result"}),
		duration: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "specman_sync_duration_seconds", Help: "How long syncs took.",
			Buckets: []float64{.01, .05, .1, .5, 1, 5, 10, 30, 60, 300, 1800}}, []string{"source", "result"}),
		failures: f.NewCounterVec(prometheus.CounterOpts{
			Name: "specman_sync_failures_total", Help: "Failures of syncs and of single releases in them, by the stage at which they failed."}, []string{"source", "stage"}),
		lastAttempt: gauge("last_sync_attempt_timestamp_seconds", "When the last sync began; 0 before the first."),
		lastSuccess: gauge("last_sync_success_timestamp_seconds", "When the last sync ended that was no error; 0 before the first."),
		consecutive: gauge("consecutive_sync_failures", "Syncs in a row that ended in error."),
		nextSync:    gauge("next_sync_timestamp_seconds", "When the next sync is due."),
		refused:     gauge("releases_refused", "Followed releases that are refused: archive, manifest, signature or gate."),
		missing:     gauge("releases_missing", "Followed releases that are not held at the registry's digest."),
		current:     newCurrentViews(),
	}
	if reg != nil {
		reg.MustRegister(m.current)
	}
	m.Add(sources)
	return m
}

// Add makes every series that the metrics can have for these sources.
func (m *Metrics) Add(sources []string) {
	for _, s := range sources {
		for _, g := range m.gauges() {
			g.WithLabelValues(s)
		}
		m.current.add(s)
		for _, r := range []Result{Success, Noop, Failed} {
			m.syncs.WithLabelValues(s, string(r))
			m.duration.WithLabelValues(s, string(r))
		}
		for _, stage := range Stages {
			m.failures.WithLabelValues(s, string(stage))
		}
	}
}

// Remove takes the series of sources away that are not configured any more, so
// that no alert goes on firing for them.
func (m *Metrics) Remove(sources []string) {
	for _, s := range sources {
		of := prometheus.Labels{"source": s}
		for _, g := range m.gauges() {
			g.DeletePartialMatch(of)
		}
		m.current.remove(s)
		m.syncs.DeletePartialMatch(of)
		m.duration.DeletePartialMatch(of)
		m.failures.DeletePartialMatch(of)
	}
}

func (m *Metrics) gauges() []*prometheus.GaugeVec {
	return []*prometheus.GaugeVec{m.lastAttempt, m.lastSuccess, m.consecutive, m.nextSync, m.refused, m.missing}
}

func (m *Metrics) began(source string, at time.Time) {
	if m != nil {
		m.lastAttempt.WithLabelValues(source).Set(unix(at))
	}
}

// succeeded tells of a success before this process.
func (m *Metrics) succeeded(source string, at time.Time) {
	if m != nil && !at.IsZero() {
		m.lastSuccess.WithLabelValues(source).Set(unix(at))
	}
}

func (m *Metrics) next(source string, at time.Time) {
	if m != nil {
		m.nextSync.WithLabelValues(source).Set(unix(at))
	}
}

// ended tells of a sync that has ended, and of what is known after it. The
// count of syncs moves last: who waits for it finds the rest done.
func (m *Metrics) ended(p *Poller, o Outcome) {
	if m == nil {
		return
	}
	source, s := p.Name, p.Status()
	m.current.tells(p)
	for _, f := range o.Failures {
		m.failures.WithLabelValues(source, string(f.Stage)).Inc()
	}
	var refused, missing float64
	for _, f := range s.Followed {
		switch f.State {
		case Refused:
			refused++
			missing++
		case Missing, Behind:
			missing++
		}
	}
	m.refused.WithLabelValues(source).Set(refused)
	m.missing.WithLabelValues(source).Set(missing)
	m.consecutive.WithLabelValues(source).Set(float64(s.ConsecutiveFailures))
	if o.Result != Failed {
		m.lastSuccess.WithLabelValues(source).Set(unix(o.Ended))
	}
	m.duration.WithLabelValues(source, string(o.Result)).Observe(o.Ended.Sub(o.Started).Seconds())
	m.syncs.WithLabelValues(source, string(o.Result)).Inc()
}

func unix(t time.Time) float64 { return float64(t.UnixNano()) / float64(time.Second) }
