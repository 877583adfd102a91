package store

import (
	"fmt"
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
	readers    []*View                       // who began first, first

	lost   bool // the disk has lost something since all was mended last
	harmed bool // at any time: a reader may have what was lost then
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{
		t: t, r: rand.New(rand.NewPCG(seed, 7)),
		opts:       Options{Dir: t.TempDir(), Keep: int(seed % 3), Sources: []string{"a", "b"}},
		contents:   make(map[digest.Digest]content),
		registries: map[string]map[string]Release{"a": {}, "b": {}},
		gone:       make(map[digest.Digest]bool),
		vain:       make(map[digest.Digest]bool),
	}
	w.open()
	return w
}

func (w *world) open() { w.s = openStore(w.t, w.opts.Dir, func(o *Options) { *o = w.opts }) }

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
	r := Release{Source: source, Tag: tag, Manifest: digest.FromString(source + tag + layer.String()), Layer: layer, Files: len(w.contents[layer])}
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
	layer := w.make()
	r := Release{Source: ImportSource, Tag: w.anyTag(), Manifest: layer, Layer: layer}
	w.publish(layer)
	w.add(r)
	w.followImports()
	return r.Tag
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
	w.close()
	w.open()
	w.checkAfterStart(before)
	if expected && !w.lost {
		require.Equal(w.t, before.serves, w.moment().serves, "nothing has happened but a restart")
	}
	return "done"
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
	w.s.repairDamaged()
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
	switch w.r.IntN(3) {
	case 0:
		require.NoError(w.t, os.RemoveAll(filepath.Join(folder, "index")))
		return "the index of " + name
	case 1:
		require.NoError(w.t, os.RemoveAll(folder))
		return "all of " + name
	}
	files := w.contents[layer]
	names := sortedKeys(files)
	file := names[w.r.IntN(len(names))]
	rot(w.t, w.opts.Dir, files, file)
	return fmt.Sprintf("a byte of %s of %s", file, name)
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
		if !w.s.HasTree(d.Layer) && w.s.Repair(d.Layer) != nil {
			w.publish(d.Layer)
		}
	}
	w.s.repairDamaged() // takes note of it
	again, err := w.s.Verify(w.t.Context(), VerifyOptions{})
	require.NoError(w.t, err)
	require.Empty(w.t, again.Damaged)
	for _, source := range w.opts.Sources {
		w.sync(source, false)
	}
	w.followImports()
	w.lost = false
	return fmt.Sprintf("%d were damaged", len(report.Damaged))
}

func sortedTags(releases map[string]Release) (tags []string) {
	for tag := range releases {
		tags = append(tags, tag)
	}
	slices.Sort(tags)
	return tags
}
