package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"time"
)

// A store of 60,000 files: what it takes to serve them, and to start with them.
// Files are small, so that the cache holds as many of them as it may.
const (
	manyFiles      = 60_000
	manyBytes      = manyFiles * 2 << 10
	memoryCached   = 130 // MiB, with a cache of 64 MiB
	memoryUncached = 50  // MiB, without
	startReach     = 500 * time.Millisecond
)

func (b *bench) memory() error {
	if !b.cells.MatchString("memory") {
		return nil
	}
	b.say("memory: making a store of %d files", manyFiles)
	site := &site{}
	files, _, err := treeSpec{seed: 5, files: manyFiles, bytes: manyBytes}.write(b.path("many"))
	if err != nil {
		return err
	}
	for _, file := range files {
		site.paths = append(site.paths, "/"+file)
	}
	if err := b.push(b.path("many"), "oci-layout:"+b.path("many.layout")+":1.0.0"); err != nil {
		return err
	}
	pair, err := b.makePair()
	if err != nil {
		return err
	}
	// The first start fetches the tree and makes its variants.
	if err := b.withMany(pair, "64Mi", func(s *server, _ time.Duration) error { return b.awaitVariants(s, site.paths) }); err != nil {
		return err
	}
	fmt.Printf("\n## Memory and start\n\nA store of %d files, %d MB, with their variants.\n", manyFiles, manyBytes>>20)
	t := table{head: []string{"cell", "Specman", "reach", "verdict"}}
	for _, c := range []struct {
		name, cache string
		reach       int64
	}{{"RSS after each file was asked for, cache 64 MiB", "64Mi", memoryCached}, {"RSS after each file was asked for, no cache", "0", memoryUncached}} {
		var before, after int64
		err := b.withMany(pair, c.cache, func(s *server, _ time.Duration) error { return b.askForAll(s, site, &before, &after) })
		if err != nil {
			return err
		}
		t.add(c.name, fmt.Sprintf("%d MiB (at the start %d)", after>>10, before>>10), fmt.Sprintf("≤ %d MiB", c.reach), verdict(after>>10 <= c.reach))
	}
	var starts []float64
	for range b.rounds {
		err := b.withMany(pair, "64Mi", func(_ *server, took time.Duration) error {
			starts = append(starts, took.Seconds()*1000)
			return nil
		})
		if err != nil {
			return err
		}
	}
	t.add("start until the first 200", fmt.Sprintf("%.0f ms (%.0f to %.0f)", median(starts), slices.Min(starts), slices.Max(starts)),
		fmt.Sprintf("≤ %d ms", startReach.Milliseconds()), verdict(median(starts) <= float64(startReach.Milliseconds())))
	t.print(os.Stdout)
	return nil
}

func verdict(reached bool) string {
	if reached {
		return "reached"
	}
	return "behind"
}

// withMany runs Specman on the store of many files, and tells how long it took
// to answer.
func (b *bench) withMany(pair pair, cache string, do func(s *server, started time.Duration) error) (err error) {
	s := &server{name: specmanName}
	if s.address, err = freeAddress(); err != nil {
		return err
	}
	if s.ops, err = freeAddress(); err != nil {
		return err
	}
	c := client(false)
	defer c.CloseIdleConnections()
	start := time.Now()
	s.process, err = b.start("specman-many", b.machine.onServerCore(b.specman, "serve",
		"--source.repository=oci-layout:"+b.path("many.layout"), "--source.interval=1h", "--store.dir="+b.path("many.store"),
		"--http.cacheBytes="+cache, "--http.listen="+s.address, "--http.tls.certFile="+pair.cert, "--http.tls.keyFile="+pair.key,
		"--ops.listen="+s.ops)...)
	if err != nil {
		return err
	}
	defer s.process.stop()
	for {
		resp, _, err := b.get(c, s, "/", "")
		if err == nil && resp.StatusCode == http.StatusOK {
			break
		}
		if err := errors.Join(b.ctx.Err(), s.process.ended()); err != nil {
			return err
		}
		if time.Since(start) > 2*time.Minute {
			return errors.New("it does not serve after two minutes")
		}
		time.Sleep(2 * time.Millisecond)
	}
	return do(s, time.Since(start))
}

// askForAll asks for each file once as it is and once in gzip, and tells the
// resident memory before and after.
func (b *bench) askForAll(s *server, site *site, before, after *int64) (err error) {
	pid := s.process.cmd.Process.Pid
	if *before, err = statusKiB(pid, "VmRSS"); err != nil {
		return err
	}
	for _, header := range []string{"", "Accept-Encoding: gzip"} {
		if err := b.getAll(s, site.paths, header); err != nil {
			return err
		}
	}
	*after, err = statusKiB(pid, "VmRSS")
	return err
}
