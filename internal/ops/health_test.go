package ops

import (
	"errors"
	"net/http"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/assert"

	"github.com/specman/specman/internal/sync/poller"
)

func TestReadyAsSoonAsAViewIsServed(t *testing.T) {
	r := newRig(t)
	assert.Equal(t, http.StatusOK, r.get("/livez").Code)
	assert.Equal(t, http.StatusOK, r.get("/healthz").Code)
	w := r.get("/readyz")
	assert.Equal(t, http.StatusServiceUnavailable, w.Code)
	assert.Contains(t, w.Body.String(), "the first sync of source default has not ended yet")

	fault := []*poller.Failure{{Stage: poller.StageList, Reason: "connection refused"}}
	r.source.set(func(s *source) { s.status = poller.Status{LastResult: poller.Failed, Failures: fault} })
	w = r.get("/readyz?verbose")
	assert.Equal(t, http.StatusServiceUnavailable, w.Code)
	assert.Contains(t, w.Body.String(), "[-] view: none")
	assert.Contains(t, w.Body.String(), "failed at stage list: connection refused")

	r.follow(r.hold("4.5.13", files{"a": "1"}))
	assert.Equal(t, http.StatusOK, r.get("/readyz").Code, "the registry's faults do not count")
	w = r.get("/readyz?verbose=true")
	assert.Contains(t, w.Body.String(), "[+] view: "+r.store.Served().ID)
	assert.Contains(t, w.Body.String(), "[i] source default: last sync error, last success never")
}

func TestWhyNothingIsServed(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Pollers = nil })
	assert.Contains(t, r.server.Why(), "source.repository")

	r = newRig(t)
	r.source.status = poller.Status{LastResult: poller.Noop}
	assert.Contains(t, r.server.Why(), "nothing that is selected")
	r.source.status.Followed = []poller.Followed{{Tag: "1.0.0", State: poller.Refused}}
	assert.Contains(t, r.server.Why(), "what source default selects is refused")
}

func TestReadyIsAMetric(t *testing.T) {
	r := newRig(t)
	assert.Contains(t, r.get("/metrics").Body.String(), "specman_ready 0")
	r.follow(r.hold("4.5.13", files{"a": "1"}))
	assert.Contains(t, r.get("/metrics").Body.String(), "specman_ready 1")
	assert.Contains(t, r.get("/metrics").Body.String(), `revision="abcdef",version="1.2.3"} 1`)
}

func TestOneBrokenMetricHidesNoOther(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Gatherer = halfBroken{o.Gatherer} })
	w := r.get("/metrics")
	assert.Equal(t, http.StatusOK, w.Code)
	assert.Contains(t, w.Body.String(), "specman_ready 0")
	assert.Contains(t, r.log.String(), errBroken.Error())
}

var errBroken = errors.New("the gauge is broken")

type halfBroken struct{ prometheus.Gatherer }

func (h halfBroken) Gather() ([]*dto.MetricFamily, error) {
	families, err := h.Gatherer.Gather()
	return families, errors.Join(err, errBroken)
}
