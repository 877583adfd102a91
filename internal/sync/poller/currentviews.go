package poller

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// currentViews is the metric view_current. It is asked for when it is scraped: a person
// may go back, or forward, between two syncs.
type currentViews struct {
	desc *prometheus.Desc

	mu      sync.Mutex
	sources map[string]*Poller // nil: it has not polled yet
}

func newCurrentViews() *currentViews {
	return &currentViews{
		desc:    prometheus.NewDesc("specman_view_current", "1 only when every followed release is served at the registry's digest.", []string{"source"}, nil),
		sources: make(map[string]*Poller),
	}
}

// add makes the series of a source, 0 until a poller of it tells.
func (c *currentViews) add(source string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.sources[source]; !ok {
		c.sources[source] = nil
	}
}

func (c *currentViews) remove(source string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.sources, source)
}

// tells has a poller asked for its source from now on, unless that was removed.
func (c *currentViews) tells(p *Poller) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.sources[p.Name]; ok {
		c.sources[p.Name] = p
	}
}

// Describe implements [prometheus.Collector].
func (c *currentViews) Describe(to chan<- *prometheus.Desc) { to <- c.desc }

// Collect implements [prometheus.Collector].
func (c *currentViews) Collect(to chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for source, p := range c.sources {
		value := 0.
		if p != nil && p.Status().Current {
			value = 1
		}
		to <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, value, source)
	}
}
