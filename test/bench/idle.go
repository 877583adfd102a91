package main

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// idlePolls is about how many polls an idle service is watched for.
const idlePolls = 100

// idlePoll runs a service that holds all there is, and counts what one poll
// asks of the registry and costs: on one core, as servers are measured, and on all
// cores, where waking threads on the others costs more.
func (b *bench) idlePoll(r *registry, t *syncTree) (*table, error) {
	b.say("syncing: watching an idle service")
	if _, err := b.sync(r, b.path("idle.store"), t.first()); err != nil {
		return nil, err
	}
	result := &table{head: []string{"idle poll, one tag followed", "Specman", "reach", "verdict"}}
	for _, place := range []struct {
		name string
		pin  func(args ...string) []string
	}{
		{"on one core", b.machine.onServerCore},
		{"on all cores", func(args ...string) []string { return args }},
	} {
		polls, err := b.watchIdle(r, t, place.pin)
		if err != nil {
			return nil, err
		}
		result.add("requests, "+place.name, figure(polls.requests), "≤ "+figure(polls.mostRequests), verdict(polls.requests <= polls.mostRequests))
		result.add("processor time, all of the service's, "+place.name, fmt.Sprintf("%.2f ms", polls.cpu.Seconds()*1000), fmt.Sprintf("≤ %.0f ms", pollReach.Seconds()*1000), verdict(polls.cpu <= pollReach))
	}
	return result, nil
}

// idleCost is that of one poll, on average.
type idleCost struct {
	requests, mostRequests float64
	cpu                    time.Duration
}

func (b *bench) watchIdle(r *registry, t *syncTree, pin func(args ...string) []string) (idleCost, error) {
	tree, err := freeAddress()
	if err != nil {
		return idleCost{}, err
	}
	ops, err := freeAddress()
	if err != nil {
		return idleCost{}, err
	}
	const interval = 100 * time.Millisecond // the least there is
	args := append([]string{b.specman, "serve"}, b.syncFlags(r, b.path("idle.store"), t.first())...)
	args = append(args, "--source.interval="+interval.String(), "--http.compress=false", "--http.listen="+tree, "--ops.listen="+ops)
	p, err := b.start("specman-idle", pin(args...)...)
	if err != nil {
		return idleCost{}, err
	}
	defer p.stop()
	if err := b.waitFor(p, "Specman polls", func() bool {
		m, err := scrape(ops)
		return err == nil && m[noops] > 5
	}); err != nil {
		return idleCost{}, err
	}
	before, err := scrape(ops)
	if err != nil {
		return idleCost{}, err
	}
	cpuBefore, err := p.cpu()
	if err != nil {
		return idleCost{}, err
	}
	select {
	case <-time.After(idlePolls * interval):
	case <-b.ctx.Done():
		return idleCost{}, b.ctx.Err()
	}
	cpuAfter, err := p.cpu()
	if err != nil {
		return idleCost{}, err
	}
	after, err := scrape(ops)
	if err != nil {
		return idleCost{}, err
	}
	polls := after[noops] - before[noops]
	if polls == 0 {
		return idleCost{}, errors.New("the idle service has not polled")
	}
	return idleCost{
		requests: (after[registryRequests] - before[registryRequests]) / polls,
		// A poll under way at either look has asked and not ended.
		mostRequests: 2 * (polls + 1) / polls,
		cpu:          time.Duration(float64(cpuAfter-cpuBefore) / polls),
	}, nil
}

// What scrape adds up.
const (
	noops            = `specman_syncs_total{result="noop"`
	registryRequests = "specman_registry_requests_total{"
)

// scrape reads the metrics and adds up the series that begin with a key.
func scrape(address string) (map[string]float64, error) {
	resp, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	sums := make(map[string]float64)
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		series, value, ok := strings.Cut(lines.Text(), " ")
		if !ok {
			continue
		}
		for _, key := range []string{noops, registryRequests} {
			if strings.HasPrefix(series, key) {
				n, err := strconv.ParseFloat(value, 64)
				if err != nil {
					return nil, fmt.Errorf("metric %s: %w", series, err)
				}
				sums[key] += n
			}
		}
	}
	return sums, lines.Err()
}
