package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// machine says who runs where: the server under load has one core, whatever
// makes the load has the others.
type machine struct {
	taskset    string // empty: missing, nothing is pinned
	serverCore string // as taskset wants it
	loadCores  string
	loadCount  int
	lines      []string // what a reader of the results should know
}

func thisMachine() (machine, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return machine{}, fmt.Errorf("ask for the cores that may be used: %w", err)
	}
	var cores []string
	for n := range len(set) * 64 {
		if set.IsSet(n) {
			cores = append(cores, strconv.Itoa(n))
		}
	}
	last := len(cores) - 1
	m := machine{serverCore: cores[last], loadCores: strings.Join(cores[:max(last, 1)], ","), loadCount: max(last, 1)}
	m.say("Machine: %d cores (%s), Linux %s, load %s.", len(cores), processor(), kernel(), loadAverage())
	if last == 0 {
		m.say("There is one core only: server and load share it, and ratios come out too near to 1.")
	}
	var err error
	if m.taskset, err = exec.LookPath("taskset"); err != nil {
		m.say("taskset (Debian: util-linux) is missing: nothing is pinned to a core, and no line below says where the load was the limit.")
	} else {
		m.say("Each server has core %s, what makes the load has the others (%s).", m.serverCore, m.loadCores)
	}
	return m, nil
}

func (m *machine) say(format string, args ...any) {
	m.lines = append(m.lines, fmt.Sprintf(format, args...))
}

func (m machine) String() string { return strings.Join(m.lines, "\n") }

// onServerCore and onLoadCores put a command line on its cores.
func (m machine) onServerCore(args ...string) []string { return m.pin(m.serverCore, args) }
func (m machine) onLoadCores(args ...string) []string  { return m.pin(m.loadCores, args) }

func (m machine) pin(cores string, args []string) []string {
	if m.taskset == "" {
		return args
	}
	return append([]string{m.taskset, "-c", cores}, args...)
}

var modelName = regexp.MustCompile(`(?m)^model name\s*: (.*)$`)

func processor() string {
	info, _ := os.ReadFile("/proc/cpuinfo") // for the reader only
	if m := modelName.FindSubmatch(info); m != nil {
		return string(m[1])
	}
	return "of an unknown kind"
}

func kernel() string {
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease") // for the reader only
	return strings.TrimSpace(string(release))
}

func loadAverage() string {
	text, _ := os.ReadFile("/proc/loadavg") // for the reader only
	first, _, _ := strings.Cut(string(text), " ")
	return first
}
