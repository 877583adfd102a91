package store

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

// world is a store, and all that it deals with.
type world struct {
	t    *testing.T
	r    *rand.Rand
	s    *Store
	opts Options
	log  []string // of operations

	contents   map[digest.Digest]content     // by layer, of all that was ever made
	registries map[string]map[string]Release // source → tag → what was pushed last
	gone       map[digest.Digest]bool        // layers that the registries have no more
	vain       map[digest.Digest]bool        // of those, what mendHeld has asked for
	imports    []Release                     // all that there ever were
	readers    []*View                       // who began first, first

	lost   bool // the disk has lost something since all was mended last
	harmed bool // at any time: a reader may have what was lost then

	out   map[ReleaseKey]outOfUse // releases that are
	steps int
	jumps int // of the clock

	volume    bool   // the store has one of its own, which can be filled
	unsettled bool   // the state before the last one was taken: the next sync of all completes it
	untidy    bool   // a fault may have left something in staging
	failed    *state // what held after a fault: on the disk may be what would have come of it, or it may be there once
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{
		t: t, r: rand.New(rand.NewPCG(seed, 7)),
		opts:       Options{Dir: t.TempDir(), Keep: []int{0, 1, 3}[seed%3], Sources: []string{"a", "b"}},
		contents:   make(map[digest.Digest]content),
		registries: map[string]map[string]Release{"a": {}, "b": {}, "c": {}},
		gone:       make(map[digest.Digest]bool),
		vain:       make(map[digest.Digest]bool),
		out:        make(map[ReleaseKey]outOfUse),
	}
	if w.volume = os.Getuid() == 0; w.volume {
		w.opts.Dir = smallVolume(t, "size=16m")
	}
	w.open()
	return w
}

// open begins a process. What Read tells of a store that nobody has opened is what opening
// it then serves.
func (w *world) open() {
	w.t.Helper()
	p, err := Read(w.opts.Dir, w.opts.Sources...)
	require.NoError(w.t, err)
	defer p.Close()
	w.s = openStore(w.t, w.opts.Dir, func(o *Options) { *o = w.opts })
	v := w.s.current.Load()
	require.Equal(w.t, p.View == nil, v == nil)
	if v != nil {
		require.Equal(w.t, p.View.id, v.id)
	}
	w.untidy, w.failed = false, nil
}

// make returns a layer that was never there before.
func (w *world) make() digest.Digest {
	files := randomTree(w.r, strconv.Itoa(len(w.contents)))
	layer := layerFor(files)
	w.contents[layer] = files
	return layer
}

// push has a registry get something new.
func (w *world) push(source string) Release {
	tag, layer := w.anyTag(), w.make()
	of := tag
	switch all := slices.Sorted(maps.Keys(w.contents)); w.r.IntN(6) {
	case 0: // that was there before, perhaps under this tag
		layer = all[w.r.IntN(len(all))]
	case 1: // two tags have one manifest
		if tags := sortedTags(w.registries[source]); len(tags) > 0 {
			of = tags[w.r.IntN(len(tags))]
			r := w.registries[source][of]
			r.Tag = tag
			w.registries[source][tag] = r
			return r
		}
	}
	delete(w.gone, layer)
	r := Release{Source: source, Tag: tag, Manifest: digest.FromString(source + of + layer.String()), Layer: layer, Files: len(w.contents[layer])}
	w.registries[source][tag] = r
	return r
}

func (w *world) anyTag() string { return fmt.Sprintf("%d.0.0", w.r.IntN(3)) }

func (w *world) loseTag() string {
	source := w.anySource()
	tags := sortedTags(w.registries[source])
	if len(tags) < 2 {
		return "none of " + source
	}
	tag := tags[w.r.IntN(len(tags))]
	delete(w.registries[source], tag)
	return source + " " + tag
}

func (w *world) loseLayer() string {
	held := w.s.Releases()
	if len(held) == 0 {
		return "none is held"
	}
	layer := held[w.r.IntN(len(held))].Layer
	w.gone[layer] = true
	return layer.Encoded()[:8]
}

// publish has the tree of a layer made, anew if it is there.
func (w *world) publish(layer digest.Digest) {
	w.t.Helper()
	require.NoError(w.t, stage(w.t, w.s, layer, w.contents[layer]).Publish())
}

func (w *world) add(r Release) {
	w.t.Helper()
	r.Fetched = time.Now()
	require.NoError(w.t, w.s.Add(r))
}

func (w *world) importOne() string {
	r := w.newImport()
	w.publish(r.Layer)
	w.add(r)
	w.followImports()
	return r.Tag
}

func (w *world) newImport() Release {
	layer := w.make()
	r := Release{Source: ImportSource, Tag: w.anyTag(), Manifest: layer, Layer: layer}
	w.imports = append(w.imports, r)
	return r
}

// followImports does what internal/sync/importer does: the latest of each tag contributes.
func (w *world) followImports() {
	_, err := w.s.FollowOf(ImportSource, func() (order []Contribution) {
		latest := make(map[string]Release)
		for _, r := range w.s.Releases() {
			if r.Source == ImportSource && !r.Fetched.Before(latest[r.Tag].Fetched) {
				latest[r.Tag] = r
			}
		}
		for _, tag := range slices.Backward(sortedTags(latest)) {
			if r := latest[tag]; !w.s.Forgotten(r.Manifest) {
				order = append(order, Contribution{Tag: tag, Manifest: r.Manifest})
			}
		}
		return order
	})
	require.NoError(w.t, err)
}

func (w *world) restart() string {
	before, serves := w.moment(), w.s.current.Load()
	expected := serves != nil && w.s.state.Load().expects(serves)
	st, damaged, noted, spoilt := w.s.state.Load(), w.s.DamagedTrees(), !w.untidy, w.s.stateDamaged
	w.close()
	w.open()
	w.checkAfterStart(before)
	if !before.uncertain && st.View != nil && !spoilt { // what was never written is not there again
		again := w.s.state.Load().clone()
		again.HighWater = st.HighWater
		if last := again.Events[len(again.Events)-1]; !sameView(serves, w.s.current.Load()) { // the start found a loss
			require.Equal(w.t, "swap", last.Kind)
			again.Events = st.Events
		}
		was, err := formatState(st)
		require.NoError(w.t, err)
		is, err := formatState(again)
		require.NoError(w.t, err)
		require.Equal(w.t, string(was), string(is), "the state")
	}
	for _, layer := range damaged {
		if noted && st.names(layer) && !w.s.HasTree(layer) {
			require.Contains(w.t, w.s.DamagedTrees(), layer, "what was found damaged")
		}
	}
	if expected && !w.lost {
		require.Equal(w.t, before.serves, w.moment().serves, "nothing has happened but a restart")
	}
	return "done"
}

func sameView(a, b *View) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.id == b.id
}

func (w *world) restartWithLoss() string {
	before := w.moment()
	w.close()
	result := w.lose()
	if w.r.IntN(2) == 0 {
		result += ", " + w.lose()
	}
	w.open()
	w.checkAfterStart(before)
	return result
}

// close ends a process. Who reads then goes on to the end, and does not outlive it: the
// next process knows nothing of such readers, and collects what they have.
func (w *world) close() {
	w.t.Helper()
	require.NoError(w.t, w.s.Close())
	for len(w.readers) > 0 {
		w.endReading()
	}
	require.Empty(w.t, w.s.loaded.trees, "nobody has them any more")
}

func (w *world) verifyAfterLoss() string {
	result := w.lose()
	_, err := w.s.Verify(w.t.Context(), VerifyOptions{})
	require.NoError(w.t, err)
	w.s.repairDamaged(w.t.Context())
	return result
}

// lose has the disk lose something of a tree, or change a byte of a file.
func (w *world) lose() string {
	layers, err := layersOnDisk(w.opts.Dir)
	require.NoError(w.t, err)
	if len(layers) == 0 {
		return "there is nothing to lose"
	}
	layer := layers[w.r.IntN(len(layers))]
	folder, name := treeFolder(w.opts.Dir, layer), layer.Encoded()[:8]
	w.lost, w.harmed = true, true
	switch w.r.IntN(7) {
	case 0:
		require.NoError(w.t, os.RemoveAll(filepath.Join(folder, "index")))
		return "the index of " + name
	case 1:
		require.NoError(w.t, os.RemoveAll(folder))
		return "all of " + name
	case 2:
		require.NoError(w.t, os.RemoveAll(filepath.Join(folder, "files")))
		return "the files of " + name
	case 3:
		for _, of := range []string{"index", damageFile} {
			if w.spoil(filepath.Join(folder, of)) {
				return "a byte of the " + of + " of " + name
			}
		}
	}
	files := w.contents[layer]
	names := sortedKeys(files)
	file := names[w.r.IntN(len(names))]
	if w.r.IntN(3) == 0 {
		require.NoError(w.t, os.RemoveAll(filepath.Join(folder, "files", file)))
		return fmt.Sprintf("%s of %s", file, name)
	}
	w.spoil(filepath.Join(folder, "files", file))
	return fmt.Sprintf("a byte of %s of %s", file, name)
}

// spoil flips a bit of a file, if it is there and of some length.
func (w *world) spoil(path string) bool {
	data, err := os.ReadFile(path)
	if err != nil || len(data) == 0 {
		return false
	}
	data[w.r.IntN(len(data))] ^= 1 << w.r.IntN(8)
	require.NoError(w.t, os.Chmod(path, 0o644))
	require.NoError(w.t, os.WriteFile(path, data, 0o644))
	return true
}

// mendAll has somebody bring all that is held anew, whatever the registries have.
func (w *world) mendAll() string {
	for _, r := range w.s.Releases() {
		if !w.s.HasTree(r.Layer) {
			w.publish(r.Layer)
		}
	}
	report, err := w.s.Verify(w.t.Context(), VerifyOptions{})
	require.NoError(w.t, err)
	for _, d := range report.Damaged {
		if !w.s.HasTree(d.Layer) && w.s.Repair(w.t.Context(), d.Layer) != nil {
			w.publish(d.Layer)
		}
	}
	w.s.repairDamaged(w.t.Context()) // takes note of it
	again, err := w.s.Verify(w.t.Context(), VerifyOptions{})
	require.NoError(w.t, err)
	require.Empty(w.t, again.Damaged)
	for _, source := range w.opts.Sources {
		w.sync(source, false)
	}
	w.followImports()
	w.lost, w.unsettled = false, false
	for _, layer := range w.s.DamagedTrees() {
		require.True(w.t, w.s.HasTree(layer) || !w.s.state.Load().names(layer), "it is mended")
	}
	for _, r := range w.s.Releases() {
		v, err := w.s.AcquireVersion(r.Manifest.String())
		require.NoError(w.t, err)
		w.checkContentOf(v, false)
		v.Close()
	}
	return fmt.Sprintf("%d were damaged", len(report.Damaged))
}

func sortedTags(releases map[string]Release) (tags []string) {
	for tag := range releases {
		tags = append(tags, tag)
	}
	slices.Sort(tags)
	return tags
}
