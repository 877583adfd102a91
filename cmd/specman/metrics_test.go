package main

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/sync/poller"
)

// metricNames is every metric of the service, with the series that are there
// from the start. Dashboards and alerts lean on them: a row is never taken out.
var metricNames = []struct {
	name   string
	series []string // labels as they are written, in the order of the alphabet
}{
	{"build_info", []string{`goversion="`}},
	{"syncs_total", each(`result="%s",source="default"`, "success", "noop", "error")},
	{"sync_duration_seconds_count", each(`result="%s",source="default"`, "success", "noop", "error")},
	{"sync_failures_total", each(`source="default",stage="%s"`, poller.Stages...)},
	{"last_sync_attempt_timestamp_seconds", []string{`source="default"`}},
	{"last_sync_success_timestamp_seconds", []string{`source="default"`}},
	{"consecutive_sync_failures", []string{`source="default"`}},
	{"next_sync_timestamp_seconds", []string{`source="default"`}},
	{"release_info", nil}, // one for each served release
	{"view_swaps_total", []string{""}},
	{"view_swapped_timestamp_seconds", []string{""}},
	{"view_files", []string{""}},
	{"view_bytes", []string{""}},
	{"store_trees", []string{""}},
	{"store_bytes", []string{""}},
	{"store_free_bytes", []string{""}},
	{"archive_skipped_entries", []string{`source="default"`}},
	{"releases_refused", []string{`source="default"`}},
	{"releases_missing", []string{`source="default"`}},
	{"view_current", []string{`source="default"`}},
	{"view_info", nil}, // of the served view
	{"downloaded_bytes_total", []string{`source="default"`}},
	{"registry_requests_total", nil}, // by code, of which nobody knows all
	{"integrity_errors_total", []string{""}},
	{"gc_deleted_trees_total", []string{""}},
	{"http_requests_total", []string{`code="200",method="GET"`, `code="304",method="GET"`, `code="404",method="GET"`, `code="503",method="GET"`, `code="200",method="HEAD"`}},
	{"http_cache_requests_total", each(`result="%s"`, "hit", "miss")},
	{"http_request_duration_seconds_count", each(`method="%s"`, "GET", "HEAD")},
	{"http_response_bytes_total", []string{""}},
	{"http_requests_in_flight", []string{""}},
	{"tls_certificate_not_after_timestamp_seconds", []string{""}},
	{"config_last_reload_successful", []string{""}},
	{"config_last_reload_success_timestamp_seconds", []string{""}},
	{"pinned", []string{""}},
	{"ready", []string{""}},
}

func each[T ~string](format string, values ...T) []string {
	var out []string
	for _, v := range values {
		out = append(out, fmt.Sprintf(format, v))
	}
	return out
}

// hasSeries says whether a scrape has a series whose labels begin as given.
func hasSeries(scrape, name, labels string) bool {
	if labels == "" {
		return strings.Contains(scrape, "\nspecman_"+name+" ")
	}
	return strings.Contains(scrape, "\nspecman_"+name+"{"+labels)
}

func TestMetricsAreThereFromTheStart(t *testing.T) {
	service := startService(t, "--store.dir="+t.TempDir())
	_, scrape := service.get("/metrics")
	for _, m := range metricNames {
		for _, labels := range m.series {
			assert.True(t, hasSeries(scrape, m.name, labels), "%s{%s}", m.name, labels)
		}
	}
	assert.Contains(t, scrape, "\ngo_goroutines ")
	assert.Contains(t, scrape, "\nprocess_open_fds ")
	assert.Contains(t, scrape, "\nspecman_ready 0\n", "nothing is held")
}

func TestMetricsOfWhatIsServed(t *testing.T) {
	s := newSite(t)
	s.push(exampleTree(t), "4.5.13")
	service := startService(t, s.flags()...)
	service.ready()
	_, scrape := service.get("/metrics")
	assert.True(t, hasSeries(scrape, "release_info", `digest="sha256:`))
	assert.True(t, hasSeries(scrape, "view_info", `view="v-`))
	for _, line := range []string{"ready 1", "view_files 4", "store_trees 1", "pinned 0"} {
		assert.Contains(t, scrape, "\nspecman_"+line+"\n")
	}

	var known []string
	for _, m := range metricNames {
		known = append(known, strings.TrimSuffix(m.name, "_count"))
	}
	for _, found := range regexp.MustCompile(`# TYPE specman_(\S+)`).FindAllStringSubmatch(scrape, -1) {
		assert.True(t, slices.Contains(known, found[1]), "%s is not in the table", found[1])
	}
}

// metricsTable is the table of docs/metrics.md, made from what a scrape says.
func metricsTable(scrape string) string {
	var table strings.Builder
	helps := regexp.MustCompile(`(?m)^# HELP (specman_\S+) (.*)\n# TYPE \S+ (\S+)\n`)
	for _, m := range helps.FindAllStringSubmatch(scrape, -1) {
		name, help, kind := m[1], m[2], m[3]
		labels := make(map[string]bool)
		for _, series := range regexp.MustCompile(`(?m)^`+name+`(?:_bucket)?\{(.*)\} `).FindAllStringSubmatch(scrape, -1) {
			for _, label := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(series[1], -1) {
				if label[1] != "le" {
					labels["`"+label[1]+"`"] = true
				}
			}
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", name, kind, strings.Join(slices.Sorted(maps.Keys(labels)), ", "), help)
	}
	return table.String()
}

func TestTheMetricsAreDocumented(t *testing.T) {
	s := newSite(t)
	s.push(exampleTree(t), "4.5.13")
	service := startService(t, s.flags()...)
	service.ready()
	service.get("/") // so that there is an answer to count
	_, scrape := service.get("/metrics")
	page, err := os.ReadFile("../../docs/metrics.md")
	require.NoError(t, err)
	assert.Contains(t, string(page), metricsTable(scrape), "the table is this")
}
