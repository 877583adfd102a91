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
const idlePolls = 50

// idlePoll runs a service that holds all there is, and counts what one poll
// asks of the registry and costs.
func (b *bench) idlePoll(r *registry, t *syncTree) (*table, error) {
	b.say("syncing: watching an idle service")
	store := b.path("idle.store")
	if _, err := b.sync(r, store, t.first()); err != nil {
		return nil, err
	}
	tree, err := freeAddress()
	if err != nil {
		return nil, err
	}
	ops, err := freeAddress()
	if err != nil {
		return nil, err
	}
	const interval = 100 * time.Millisecond // the least there is
	args := append([]string{b.specman, "serve"}, b.syncFlags(r, store, t.first())...)
	args = append(args, "--source.interval="+interval.String(), "--http.compress=false", "--http.listen="+tree, "--ops.listen="+ops)
	p, err := b.start("specman-idle", args...)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	if err := b.waitFor(p, "Specman polls", func() bool {
		m, err := scrape(ops)
		return err == nil && m[noops] > 5
	}); err != nil {
		return nil, err
	}
	before, err := scrape(ops)
	if err != nil {
		return nil, err
	}
	cpuBefore, err := p.cpu()
	if err != nil {
		return nil, err
	}
	select {
	case <-time.After(idlePolls * interval):
	case <-b.ctx.Done():
		return nil, b.ctx.Err()
	}
	cpuAfter, err := p.cpu()
	if err != nil {
		return nil, err
	}
	after, err := scrape(ops)
	if err != nil {
		return nil, err
	}
	polls := after[noops] - before[noops]
	if polls == 0 {
		return nil, errors.New("the idle service has not polled")
	}
	requests := (after[registryRequests] - before[registryRequests]) / polls
	cpu := time.Duration(float64(cpuAfter-cpuBefore) / polls)
	result := &table{head: []string{"idle poll, one tag followed", "Specman", "reach", "verdict"}}
	// A poll under way at either look has asked and not ended.
	atMost := 2 * (polls + 1) / polls
	result.add("requests", figure(requests), "≤ "+figure(atMost), verdict(requests <= atMost))
	result.add("processor time, all of the service's", fmt.Sprintf("%.2f ms", cpu.Seconds()*1000), fmt.Sprintf("≤ %.0f ms", pollReach.Seconds()*1000), verdict(cpu <= pollReach))
	return result, nil
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
