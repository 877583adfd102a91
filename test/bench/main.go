// Command bench measures Specman side by side with what people use in its place,
// in one run and on one machine: serving against nginx, Caddy and Go's own
// file server, syncing against oras, tar and a flush. What counts are ratios.
//
//	go run ./test/bench -specman bin/specman [serving] [memory] [syncing]
//
// What always holds: servers and registry listen on 127.0.0.1 only; each server
// is first held against the right answers, and is not measured if it gives
// others; contenders take turns within each round, so that a disturbance hits
// all of them; all processes and files are gone when it ends. A cell that is
// behind its target is named, with a profile, and is no failure: the exit status
// is 1 only where something could not be measured.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"time"
)

// bench is what all measurements share.
type bench struct {
	ctx     context.Context
	specman string // the program under test
	self    string // this program, which is some of the load generators too
	dir     string // for all files; removed at the end
	rounds  int
	time    time.Duration // of one load of one server
	cells   *regexp.Regexp
	profile bool
	large   bool
	machine machine
	retired int // folders taken out of the way
}

// parts are what can be measured, in the order in which it is.
var parts = []struct {
	name string
	run  func(*bench) error
}{
	{"serving", (*bench).serving},
	{"memory", (*bench).memory},
	{"syncing", (*bench).syncing},
}

func main() {
	if len(os.Args) > 1 {
		// This program started by itself, in a process of its own so that it can
		// be pinned and its processor time told from that of the rest.
		if run, ok := map[string]func([]string) error{"fileserver": runFileServer, "goclient": runGoClient}[os.Args[1]]; ok {
			exit(run(os.Args[2:]))
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exit(run(ctx, os.Args[1:]))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(ctx context.Context, args []string) (err error) {
	b := &bench{ctx: ctx}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&b.specman, "specman", "bin/specman", "the `program` to measure")
	flags.IntVar(&b.rounds, "rounds", 5, "`number` of rounds, of which the median counts")
	flags.DurationVar(&b.time, "time", time.Second, "how long one server is under load in one round")
	cells := flags.String("cells", ".", "measure the cells whose names match this `regexp`")
	flags.BoolVar(&b.profile, "profile", true, "profile Specman in serving cells that are behind their target")
	flags.BoolVar(&b.large, "large", false, "sync the large tree too: 60,000 files, 4 GB; needs 20 GB of disk")
	parent := flags.String("dir", "", "`folder` for temporary files, on the file system that syncs are measured on (default TMPDIR)")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	for _, name := range flags.Args() {
		if !slices.ContainsFunc(parts, func(p struct {
			name string
			run  func(*bench) error
		}) bool {
			return p.name == name
		}) {
			return fmt.Errorf("there is no part %q: serving, memory and syncing are what can be measured", name)
		}
	}
	if b.rounds < 1 || b.time < time.Second {
		return errors.New("-rounds is at least 1, -time at least 1s")
	}
	if b.cells, err = regexp.Compile(*cells); err != nil {
		return err
	}
	if b.specman, err = filepath.Abs(b.specman); err != nil {
		return err
	}
	if _, err := exec.LookPath(b.specman); err != nil {
		return fmt.Errorf("the program to measure: %w; `make build` makes it", err)
	}
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp(*parent, "specman-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	if b.machine, err = thisMachine(); err != nil {
		return err
	}
	fmt.Println(b.machine)
	for _, part := range parts {
		if flags.NArg() > 0 && !slices.Contains(flags.Args(), part.name) {
			continue
		}
		started := time.Now()
		if err := part.run(b); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		fmt.Printf("\n%s took %s; load of the machine at its end: %s\n", part.name, time.Since(started).Round(time.Second), loadAverage())
	}
	return nil
}

// path is a path below the folder for temporary files.
func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

// say tells on standard error what is going on; the results are on standard output.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}
