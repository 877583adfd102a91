package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// cell is one line of the serving table: a load, and what Specman is to reach,
// as a ratio of rates.
type cell struct {
	name       string
	unit       string
	nginx      float64 // least ÷ nginx
	caddy      float64 // least ÷ Caddy
	load       load
	needsCoded bool // asks for gzip: nothing to compare with a server that has none
}

func nothing(*server, string) string { return "" }
func gzipped(*server, string) string { return "Accept-Encoding: gzip" }
func unchanged(s *server, path string) string {
	return s.validators[path]
}

var servingCells = []cell{
	{"h1", "requests/s", 0.8, 2, wrk(nothing), false},
	{"h1 304", "requests/s", 0.5, 2, wrk(unchanged), false},
	{"h1 gzip", "requests/s", 0.7, 2, wrk(gzipped), true},
	{"h2", "requests/s", 0.4, 2, h2load(nothing), false},
	{"h2 304", "requests/s", 0.35, 2, h2load(unchanged), false},
	{"h2 gzip", "requests/s", 0.3, 2, h2load(gzipped), true},
	{"Go client h2", "requests/s", 0.65, 2, goClientLoad("-mode", "get", "-http2"), false},
	{"Go client h1", "requests/s", 0.8, 2, goClientLoad("-mode", "get"), false},
	{"100 MiB h1", "MiB/s", 1, 1, download("--http1.1"), false},
	{"100 MiB h2", "MiB/s", 0.95, 1, download("--http2"), false},
	{"new connection", "connections/s", 1, 2, goClientLoad("-mode", "connect"), false},
	{"resumed connection", "connections/s", 1, 2, goClientLoad("-mode", "resume"), false},
	{"cold run", "runs/s", 1, 2, goClientLoad("-mode", "cold"), false},
	{"cold run, zstd", "runs/s", 1, 2, goClientLoad("-mode", "cold-zstd"), false},
}

// coldPrefix begins the names of the cells of which bytes on the wire count too.
const coldPrefix = "cold run"

// measured is what a cell's rounds came to, by server.
type measured map[string][]sample

func (b *bench) serving() error {
	cells := slices.DeleteFunc(slices.Clone(servingCells), func(c cell) bool { return !b.cells.MatchString(c.name) })
	if len(cells) == 0 {
		return nil
	}
	b.say("serving: making the tree")
	site, err := b.newSite()
	if err != nil {
		return err
	}
	pair, err := b.makePair()
	if err != nil {
		return err
	}
	servers, err := b.startServers(site, pair)
	defer func() {
		for _, s := range servers {
			s.process.stop()
		}
	}()
	if err != nil {
		return err
	}
	specman := servers[0]
	if err := b.awaitVariants(specman, append(slices.Clone(site.paths), indexPath)); err != nil {
		return err
	}
	for _, s := range servers {
		b.say("serving: checking the answers of %s", s.name)
		if err := b.check(s, site); err != nil {
			return err
		}
	}
	results := make([]measured, len(cells))
	for n := range results {
		results[n] = make(measured)
	}
	for round := range b.rounds {
		b.say("serving: round %d of %d, load of the machine %s", round+1, b.rounds, loadAverage())
		for n, c := range cells {
			// Each round begins with another server.
			for turn := range servers {
				s := servers[(turn+round)%len(servers)]
				if c.needsCoded && !s.coded {
					continue
				}
				got, err := c.load(b, s, site, b.time)
				if err != nil {
					return err
				}
				results[n][s.name] = append(results[n][s.name], got)
			}
		}
	}
	fmt.Printf("\n## Serving\n\n%s.\n", versions())
	fmt.Printf("%d files of 9 KB, TLS 1.3 with ECDSA P-256, medians of %d rounds of %s; %d workers in Go's client.\n", siteFiles, b.rounds, b.time, goWorkers)
	behind := b.printServing(cells, results)
	if err := b.printWire(cells, results, specman, site); err != nil {
		return err
	}
	if !b.profile {
		return nil
	}
	for _, c := range behind {
		if err := b.printProfile(c, specman, site); err != nil {
			return err
		}
	}
	return nil
}

// contenders are the columns of the serving tables.
var contenders = []string{specmanName, nginxName, caddyName, fileServerName}

// printServing prints what came out and what is to be known to read it, and
// returns the cells in which Specman is behind.
func (b *bench) printServing(cells []cell, results []measured) (behind []cell) {
	rates := table{head: append(append([]string{"cell"}, contenders...), "", "÷ nginx", "reach", "÷ Caddy", "reach", "÷ FileServer", "verdict")}
	costs := table{head: append(append([]string{"processor time of the server, µs"}, contenders...), "nginx ÷ Specman", "core of Specman / load", "core of nginx / load", "limited by the load generator")}
	for n, c := range cells {
		m := results[n]
		over := func(other string) float64 { return median(ratios(m.rates(specmanName), m.rates(other))) }
		reached := over(nginxName) >= c.nginx && over(caddyName) >= c.caddy
		if !reached {
			behind = append(behind, c)
		}
		rate, cost := []string{c.name}, []string{c.name}
		for _, name := range contenders {
			rate = append(rate, figure(median(m.rates(name))))
			cost = append(cost, figure(m.cost(name)))
		}
		rates.add(append(rate, c.unit, figure(over(nginxName)), "≥ "+figure(c.nginx), figure(over(caddyName)), "≥ "+figure(c.caddy),
			figure(over(fileServerName)), verdict(reached))...)
		costs.add(append(cost, figure(m.cost(nginxName)/m.cost(specmanName)), m.shares(specmanName, b.machine.loadCount),
			m.shares(nginxName, b.machine.loadCount), strings.Join(b.limitedByLoad(m), ", "))...)
	}
	rates.print(os.Stdout)
	fmt.Println("\nFor each of what a cell counts, the processor time of the server: a ratio that a busy machine and a slow load generator disturb less.\n" +
		"Where the load generator's core was full and the server's was not, rates and their ratios say more of the load generator.\n" +
		"Where neither was full, the two wait for each other, or other programs take the cores.")
	costs.print(os.Stdout)
	return behind
}

func (m measured) rates(server string) []float64 {
	var rates []float64
	for _, s := range m[server] {
		rates = append(rates, s.rate())
	}
	return rates
}

// cost is the server's processor time in microseconds, for each of what the cell
// counts.
func (m measured) cost(server string) float64 {
	var all []float64
	for _, s := range m[server] {
		all = append(all, s.serverCPU.Seconds()*1e6/s.Requests)
	}
	return median(all)
}

// busy is how busy, from 0 to 1, a server's core and those of the load were.
func (m measured) busy(server string, loadCores int) (own, load float64) {
	var owns, loads []float64
	for _, s := range m[server] {
		owns = append(owns, s.serverShare())
		loads = append(loads, s.loadShare(loadCores))
	}
	return median(owns), median(loads)
}

func (m measured) shares(server string, loadCores int) string {
	own, load := m.busy(server, loadCores)
	return fmt.Sprintf("%.0f / %.0f %%", 100*own, 100*load)
}

// full is how busy a core must be to be called the limit.
const full = 0.9

// limitedByLoad names the servers that the load generator could not keep busy.
func (b *bench) limitedByLoad(m measured) (names []string) {
	if b.machine.taskset == "" {
		return nil // who has which core is not known
	}
	for _, name := range contenders {
		if own, load := m.busy(name, b.machine.loadCount); own < full && load >= full {
			names = append(names, name)
		}
	}
	return names
}

// wireReach is the most that a cold run may bring over the wire, of what it
// brings without compression.
const wireReach = 0.35

// printWire says what the cold runs brought over the wire.
func (b *bench) printWire(cells []cell, results []measured, specman *server, site *site) error {
	if !slices.ContainsFunc(cells, func(c cell) bool { return strings.HasPrefix(c.name, coldPrefix) }) {
		return nil
	}
	identity, err := goClientLoad("-mode", "cold-identity")(b, specman, site, b.time)
	if err != nil {
		return err
	}
	t := table{head: append(append([]string{"bytes on the wire, ÷ Specman's identity"}, contenders...), "reach", "verdict")}
	for n, c := range cells {
		if !strings.HasPrefix(c.name, coldPrefix) {
			continue
		}
		row := []string{c.name}
		for _, name := range contenders {
			row = append(row, figure(results[n][name][0].Bytes/identity.Bytes))
		}
		t.add(append(row, "≤ "+figure(wireReach), verdict(results[n][specmanName][0].Bytes/identity.Bytes <= wireReach))...)
	}
	t.print(os.Stdout)
	return nil
}

// printProfile loads Specman once more, and says where its processor time goes.
func (b *bench) printProfile(c cell, specman *server, site *site) error {
	loaded := make(chan error, 1)
	go func() {
		_, err := c.load(b, specman, site, 4*time.Second)
		loaded <- err
	}()
	time.Sleep(500 * time.Millisecond) // connections are made
	resp, profile, err := read(http.Get("http://" + specman.ops + "/debug/pprof/profile?seconds=3"))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("profile: %s", resp.Status)
	}
	if loadErr := <-loaded; err == nil {
		err = loadErr
	}
	if err != nil {
		return err
	}
	file := b.path("cpu.pprof")
	if err := os.WriteFile(file, profile, 0o644); err != nil {
		return err
	}
	fmt.Printf("\nBehind: %s. Where Specman's processor time goes:\n\n", c.name)
	return b.pprofTop(os.Stdout, file)
}

func (b *bench) pprofTop(w io.Writer, file string) error {
	cmd := exec.CommandContext(b.ctx, "go", "tool", "pprof", "-top", "-nodecount=15", b.specman, file)
	cmd.Env = append(os.Environ(), "PPROF_TMPDIR="+b.dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("go tool pprof: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		fmt.Fprint(w, "    ", line)
	}
	return nil
}
