package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// syncTree is one size of tree, in the registry under tags of its own.
type syncTree struct {
	name  string
	spec  treeSpec
	reach float64 // first sync ÷ oras pull + tar xzf + flush
	most  int     // rounds, 0: no bound of its own

	differing int64 // bytes of the files that the second version changes
	archive   int64 // bytes of the layer
}

// Tags of a tree: its first version, its second one, the first as zstd.
func (t *syncTree) first() string  { return "1.0.0-" + strings.ToLower(t.name) }
func (t *syncTree) second() string { return "1.0.1-" + strings.ToLower(t.name) }
func (t *syncTree) zstd() string   { return "1.0.0-" + strings.ToLower(t.name) + "-zstd" }

// full says whether all cells are measured with this tree, not the first sync alone.
func (t *syncTree) full() bool { return t.name == "M" }

// What the issue of syncing asks for, beside syncTree.reach.
const (
	secondReach = 0.5
	zstdReach   = 0.4
	memoryReach = 32 << 10 // KiB beside what serving holds
	pollReach   = time.Millisecond
)

// The contenders of a sync. One that is in brackets is there to compare with.
const (
	pullTarFlush = "oras pull + tar xzf + sync -f"
	pullTar      = "(oras pull + tar xzf)"
	blobTar      = "(oras blob fetch, piped to tar xz)"
	firstSync    = "specman sync, empty store"
	secondSync   = "specman sync, 1 % changed"
	zstdSync     = "specman sync, zstd layer"
)

func (b *bench) syncing() error {
	if !b.cells.MatchString("sync") {
		return nil
	}
	trees := []*syncTree{
		{name: "S", spec: treeSpec{seed: 6, files: 1500, bytes: 10 << 20}, reach: 0.9},
		{name: "M", spec: treeSpec{seed: 7, files: 5000, bytes: 212_000_000}, reach: 0.6},
	}
	if b.large {
		trees = append(trees, &syncTree{name: "L", spec: treeSpec{seed: 8, files: 60_000, bytes: 4_000_000_000}, reach: 0.6, most: 3})
	}
	r, err := b.startRegistry()
	if err != nil {
		return err
	}
	defer r.stop()
	for _, t := range trees {
		b.say("syncing: making and pushing tree %s", t.name)
		if err := b.publish(r, t); err != nil {
			return err
		}
	}
	results := make([]map[string][]used, len(trees))
	var growth []float64
	for n, t := range trees {
		results[n] = make(map[string][]used)
		rounds := b.rounds
		if t.most != 0 {
			rounds = min(rounds, t.most)
		}
		for round := range rounds {
			b.say("syncing: tree %s, round %d of %d, load of the machine %s", t.name, round+1, rounds, loadAverage())
			grew, err := b.syncRound(r, t, round, results[n])
			if err != nil {
				return err
			}
			growth = append(growth, grew...)
		}
	}
	b.printSyncing(trees, results, growth)
	idle, err := b.idlePoll(r, trees[0])
	if err != nil {
		return err
	}
	idle.print(os.Stdout)
	return nil
}

// publish makes a tree's archives with tar, as people do, and pushes them.
func (b *bench) publish(r *registry, t *syncTree) error {
	dir, archive := b.path("tree"), b.path("manifests.tgz")
	versions := []bool{false}
	if t.full() {
		versions = append(versions, true)
	}
	for _, changed := range versions {
		spec, tag := t.spec, t.first()
		if spec.changed = changed; changed {
			tag = t.second()
		}
		var err error
		if _, t.differing, err = spec.write(dir); err != nil {
			return err
		}
		if _, err := b.timed("tar", "-czf", archive, "-C", dir, "."); err != nil {
			return err
		}
		if err := b.pushArchive(r, archive, tag); err != nil {
			return err
		}
		if !changed {
			info, err := os.Stat(archive)
			if err != nil {
				return err
			}
			t.archive = info.Size()
		}
		if !changed && t.full() {
			if _, err := b.timed(b.specman, "pack", dir, "-f", archive, "--zstd"); err != nil {
				return err
			}
			if err := b.pushArchive(r, archive, t.zstd()); err != nil {
				return err
			}
		}
		if err := b.retire(dir); err != nil {
			return err
		}
	}
	return nil
}

// syncRound runs all contenders once, beginning with another one each round.
func (b *bench) syncRound(r *registry, t *syncTree, round int, results map[string][]used) (growth []float64, err error) {
	out, store := b.path("out"), b.path("sync.store")
	shell := func(script string) func() (used, error) {
		return func() (used, error) {
			if err := os.Mkdir(out, 0o755); err != nil {
				return used{}, err
			}
			return b.timed("sh", "-euc", script, "sh", r.oras, r.ref(t.first()), out, r.repository())
		}
	}
	const pull = `"$1" pull --plain-http --no-tty -o "$3" "$2" >/dev/null; mkdir "$3/tree"; tar xzf "$3/manifests.tgz" -C "$3/tree"`
	layer, err := b.layerDigest(r, t)
	if err != nil {
		return nil, err
	}
	commands := []struct {
		name string
		run  func() (used, error)
	}{
		{pullTarFlush, shell(pull + `; sync -f "$3"`)},
		{pullTar, shell(pull)},
		{blobTar, shell(`"$1" blob fetch --plain-http --output - "$4@` + layer + `" | tar xz -C "$3"`)},
		{firstSync, func() (used, error) { return b.sync(r, store, t.first()) }},
	}
	if t.full() {
		commands = append(commands, []struct {
			name string
			run  func() (used, error)
		}{
			{secondSync, func() (used, error) {
				if _, err := b.sync(r, store, t.first()); err != nil {
					return used{}, err
				}
				before, err := diskUsage(store)
				if err != nil {
					return used{}, err
				}
				if err := b.settle(); err != nil {
					return used{}, err
				}
				u, err := b.sync(r, store, t.second())
				if err != nil {
					return u, err
				}
				after, err := diskUsage(store)
				growth = append(growth, float64(after-before))
				return u, err
			}},
			{zstdSync, func() (used, error) { return b.sync(r, store, t.zstd()) }},
		}...)
	}
	for turn := range commands {
		c := commands[(turn+round)%len(commands)]
		for _, dir := range []string{out, store} {
			if err := b.retire(dir); err != nil {
				return nil, err
			}
		}
		if err := b.settle(); err != nil {
			return nil, err
		}
		u, err := c.run()
		if err != nil {
			return nil, fmt.Errorf("%s, tree %s: %w", c.name, t.name, err)
		}
		results[c.name] = append(results[c.name], u)
		if c.name == firstSync { // what a process that has nothing to do holds
			idle, err := b.sync(r, store, t.first())
			if err != nil {
				return nil, err
			}
			results[idleSync] = append(results[idleSync], idle)
		}
	}
	return growth, nil
}

// idleSync is a sync that finds everything held.
const idleSync = "specman sync, nothing new"

// sync runs `specman sync` of one tag.
func (b *bench) sync(r *registry, store, tag string) (used, error) {
	return b.timed(append([]string{b.specman, "sync"}, b.syncFlags(r, store, tag)...)...)
}

func (b *bench) syncFlags(r *registry, store, tag string) []string {
	return []string{"--source.repository=" + r.repository(), "--source.plainHTTP=true", "--source.select=" + tag,
		"--store.dir=" + store, "--log.level=error"}
}

// layerDigest asks for the digest of a tree's layer.
func (b *bench) layerDigest(r *registry, t *syncTree) (string, error) {
	cmd := exec.CommandContext(b.ctx, r.oras, "manifest", "fetch", "--plain-http", "--format", "go-template={{(index .content.layers 0).digest}}", r.ref(t.first()))
	cmd.Env = b.environment()
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("oras manifest fetch: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

func (b *bench) printSyncing(trees []*syncTree, results []map[string][]used, growth []float64) {
	fmt.Printf("\n## Syncing\n\nFrom a zot on loopback over plain HTTP, medians of %d rounds. Specman's syncs are durable when the clock stops; those in brackets are not.\n", b.rounds)
	t := table{head: []string{"tree", "what", "seconds", "÷ " + pullTarFlush, "reach", "CPU seconds", "peak MiB", "verdict"}}
	memory := table{head: []string{"memory", "first sync, MiB", "nothing new, MiB", "difference", "reach", "verdict"}}
	for n, tree := range trees {
		m := results[n]
		base := wallSeconds(m[pullTarFlush])
		for _, c := range []struct {
			name  string
			reach float64
		}{{pullTarFlush, 0}, {pullTar, 0}, {blobTar, 0}, {firstSync, tree.reach}, {secondSync, secondReach}, {zstdSync, zstdReach}, {idleSync, 0}} {
			if len(m[c.name]) == 0 {
				continue
			}
			wall := wallSeconds(m[c.name])
			ratio := median(ratios(wall, base))
			row := []string{fmt.Sprintf("%s: %d files, %d MB, archive %d MB", tree.name, tree.spec.files, tree.spec.bytes/1e6, tree.archive/1e6),
				c.name, figure(median(wall)), figure(ratio), "", figure(median(cpuSeconds(m[c.name]))), "", ""}
			if strings.HasPrefix(c.name, "specman") {
				row[6] = figure(median(peaks(m[c.name])) / 1024)
			}
			if c.reach != 0 {
				row[4], row[7] = "≤ "+figure(c.reach), verdict(ratio <= c.reach)
			}
			t.add(row...)
		}
		first, nothing := median(peaks(m[firstSync])), median(peaks(m[idleSync]))
		memory.add("peak while syncing "+tree.name, figure(first/1024), figure(nothing/1024), figure((first-nothing)/1024),
			fmt.Sprintf("≤ %d", memoryReach>>10), verdict(first-nothing <= memoryReach))
	}
	t.print(os.Stdout)
	memory.print(os.Stdout)
	for _, tree := range trees {
		if tree.full() {
			grew := median(growth)
			// Folders and index of the new tree come on top of what has changed.
			fmt.Printf("\nA second sync with 1 %% changed (%.1f MB of %d): the disk grows by %.1f MB, %.1f %% of a tree.\n",
				float64(tree.differing)/1e6, tree.spec.bytes/1e6, grew/1e6, 100*grew/float64(tree.spec.bytes))
		}
	}
}

func wallSeconds(all []used) []float64 {
	return collect(all, func(u used) float64 { return u.wall.Seconds() })
}
func cpuSeconds(all []used) []float64 {
	return collect(all, func(u used) float64 { return u.cpu.Seconds() })
}
func peaks(all []used) []float64 {
	return collect(all, func(u used) float64 { return float64(u.peak) })
}

func collect(all []used, of func(used) float64) []float64 {
	return slices.Collect(func(yield func(float64) bool) {
		for _, u := range all {
			if !yield(of(u)) {
				return
			}
		}
	})
}
