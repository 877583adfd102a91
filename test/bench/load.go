package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// load is a load generator: it loads a server for about that long.
type load func(b *bench, s *server, site *site, time time.Duration) (sample, error)

// sample is one run of a load against one server.
type sample struct {
	result
	wall      time.Duration // of the generator's process
	serverCPU time.Duration
	loadCPU   time.Duration
}

func (s sample) rate() float64 { return s.Requests / s.Seconds }

// serverShare and loadShare are how busy the two sides were, of one core and of
// all cores that the load has.
func (s sample) serverShare() float64 { return s.serverCPU.Seconds() / s.wall.Seconds() }
func (s sample) loadShare(cores int) float64 {
	return s.loadCPU.Seconds() / s.wall.Seconds() / float64(cores)
}

// under runs a load generator and takes the time of both sides.
func (b *bench) under(s *server, parse func(out []byte) (result, error), args ...string) (sample, error) {
	args = b.machine.onLoadCores(args...)
	cmd := exec.CommandContext(b.ctx, args[0], args[1:]...)
	cmd.Env = b.environment()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	before, err := s.process.cpu()
	if err != nil {
		return sample{}, errors.Join(s.process.ended(), err)
	}
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return sample{}, fmt.Errorf("%s against %s: %w\n%s%s", args, s.name, err, stdout.Bytes(), stderr.Bytes())
	}
	wall := time.Since(start)
	after, err := s.process.cpu()
	if err != nil {
		return sample{}, errors.Join(s.process.ended(), err)
	}
	r, err := parse(stdout.Bytes())
	if err != nil {
		return sample{}, fmt.Errorf("%s against %s: %w\n%s", args, s.name, err, stdout.Bytes())
	}
	state := cmd.ProcessState
	return sample{result: r, wall: wall, serverCPU: after - before, loadCPU: state.UserTime() + state.SystemTime()}, nil
}

// wrkScript asks for one path after the other and prints what was counted.
// A line of the file is a path and, behind a tab, a header line.
const wrkScript = `
local requests, next_one = {}, 0
function init(args)
  for line in io.lines(args[1]) do
    local path, name, value = line:match("^([^\t]*)\t?([^:]*):? ?(.*)$")
    local headers = {}
    if name ~= "" then headers[name] = value end
    requests[#requests + 1] = wrk.format("GET", path, headers)
  end
end
function request()
  next_one = next_one % #requests + 1
  return requests[next_one]
end
function done(summary, latency, all)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %d %d\n", summary.requests, summary.duration, summary.bytes,
    e.connect + e.read + e.write + e.status + e.timeout))
end
`

// wrk is HTTP/1.1 over 32 connections that stay, each request with a header line.
func wrk(header func(s *server, path string) string) load {
	return func(b *bench, s *server, site *site, time time.Duration) (sample, error) {
		program, err := debianProgram("wrk")
		if err != nil {
			return sample{}, err
		}
		script, list := b.path("wrk.lua"), b.path("wrk.txt")
		var lines strings.Builder
		for _, path := range site.paths {
			fmt.Fprintf(&lines, "%s\t%s\n", path, header(s, path))
		}
		if err := os.WriteFile(script, []byte(wrkScript), 0o644); err != nil {
			return sample{}, err
		}
		if err := os.WriteFile(list, []byte(lines.String()), 0o644); err != nil {
			return sample{}, err
		}
		threads := strconv.Itoa(min(b.machine.loadCount, 4))
		return b.under(s, parseWrk, program, "-t", threads, "-c", "32", "-d", seconds(time), "-s", script, s.url("/"), "--", list)
	}
}

var wrkLine = regexp.MustCompile(`(?m)^RESULT (\d+) (\d+) (\d+) (\d+)$`)

func parseWrk(out []byte) (result, error) {
	m := wrkLine.FindSubmatch(out)
	if m == nil {
		return result{}, errors.New("wrk printed no result")
	}
	if failed := string(m[4]); failed != "0" {
		return result{}, fmt.Errorf("%s requests failed", failed)
	}
	return result{Requests: number(m[1]), Seconds: number(m[2]) / 1e6, Bytes: number(m[3])}, nil
}

// h2load is HTTP/2 over 8 connections with 16 streams each. With a validator it
// asks for one path, since all requests have the same header lines.
func h2load(header func(s *server, path string) string) load {
	return func(b *bench, s *server, site *site, time time.Duration) (sample, error) {
		program, err := debianProgram("h2load")
		if err != nil {
			return sample{}, err
		}
		args := []string{program, "-t", strconv.Itoa(min(b.machine.loadCount, 4)), "-c", "8", "-m", "16", "-D", seconds(time)}
		paths := site.paths
		if line := header(s, paths[0]); line != "" {
			args = append(args, "-H", line)
			if strings.HasPrefix(line, "If-") {
				paths = paths[:1]
			}
		}
		var urls strings.Builder
		for _, path := range paths {
			fmt.Fprintln(&urls, s.url(path))
		}
		list := b.path("h2load.txt")
		if err := os.WriteFile(list, []byte(urls.String()), 0o644); err != nil {
			return sample{}, err
		}
		return b.under(s, parseH2load, append(args, "-i", list)...)
	}
}

var (
	h2loadFinished = regexp.MustCompile(`(?m)^finished in [^,]+, ([0-9.]+) req/s`)
	h2loadRequests = regexp.MustCompile(`(?m)^requests: .*, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout`)
	h2loadProtocol = regexp.MustCompile(`(?m)^Application protocol: h2$`)
)

func parseH2load(out []byte) (result, error) {
	finished, requests := h2loadFinished.FindSubmatch(out), h2loadRequests.FindSubmatch(out)
	switch {
	case finished == nil || requests == nil:
		return result{}, errors.New("h2load printed no result")
	case !h2loadProtocol.Match(out):
		return result{}, errors.New("h2load did not talk HTTP/2")
	case number(requests[2])+number(requests[3])+number(requests[4]) != 0:
		return result{}, errors.New("some requests failed")
	case number(finished[1]) == 0:
		return result{}, errors.New("no request was answered")
	}
	succeeded := number(requests[1])
	return result{Requests: succeeded, Seconds: succeeded / number(finished[1])}, nil
}

// goClientLoad is Go's HTTP client, in a process of its own.
func goClientLoad(args ...string) load {
	return func(b *bench, s *server, site *site, time time.Duration) (sample, error) {
		list := b.path("goclient.txt")
		if err := os.WriteFile(list, []byte(strings.Join(site.paths, "\n")), 0o644); err != nil {
			return sample{}, err
		}
		args := append([]string{b.self, "goclient", "-base", "https://" + s.address, "-paths", list, "-time", time.String()}, args...)
		return b.under(s, parseJSON, args...)
	}
}

func parseJSON(out []byte) (r result, err error) {
	err = json.Unmarshal(out, &r)
	return r, err
}

// download fetches the large file over and over on one connection, with curl. It
// counts MiB.
func download(protocol string) load {
	return func(b *bench, s *server, _ *site, duration time.Duration) (sample, error) {
		program, err := debianProgram("curl")
		if err != nil {
			return sample{}, err
		}
		// About 500 MiB/s on a common core: in the end only the ratio counts.
		times := max(2, int(duration.Seconds()*5))
		args := []string{program, "--silent", "--fail", "--insecure", protocol,
			"--write-out", "%{size_download} %{time_total} %{http_code}\n"}
		for range times {
			args = append(args, "--output", "/dev/null", s.url(largePath))
		}
		return b.under(s, func(out []byte) (result, error) { return parseCurl(out, times) }, args...)
	}
}

func parseCurl(out []byte, times int) (r result, err error) {
	for line := range strings.Lines(string(out)) {
		var size, took float64
		var status int
		if _, err := fmt.Sscan(line, &size, &took, &status); err != nil {
			return r, fmt.Errorf("curl printed %q: %w", line, err)
		}
		if status != 200 || size != largeSize {
			return r, fmt.Errorf("curl got %.0f bytes with status %d", size, status)
		}
		r.Requests += size / (1 << 20)
		r.Seconds += took
		times--
	}
	if times != 0 {
		return r, errors.New("curl did not finish")
	}
	return r, nil
}

// number is for digits that a regular expression has found.
func number(digits []byte) float64 {
	n, err := strconv.ParseFloat(string(digits), 64)
	if err != nil {
		panic(err)
	}
	return n
}

// seconds is a duration for programs that know whole seconds only.
func seconds(d time.Duration) string { return strconv.Itoa(int(d.Round(time.Second).Seconds())) }
