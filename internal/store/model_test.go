package store

import (
	"fmt"
	"os"
	"testing"
)

// Three registries, an operator, readers, a disk that loses and spoils things, a volume that
// is full, a clock that is set and the collection of garbage come upon one store in random
// order. After each operation all is
// looked at that must be true whatever went before: modelcheck_test.go.

// operation is something that happens to a store. It returns what came of it, for the log.
type operation struct {
	weight int
	name   string
	happen func(*world) (result string)
}

var operations = []operation{
	{3, "push and sync", (*world).pushAndSync},
	{1, "sync", (*world).syncOne},
	{1, "sync --force", (*world).syncForce},
	{1, "sync all", (*world).syncAll},
	{1, "import", (*world).importOne},
	{1, "import again", (*world).importAgain},
	{1, "a tag vanishes", (*world).loseTag},
	{2, "a layer vanishes", (*world).loseLayer},

	{2, "rollback", (*world).rollBack},
	{2, "pin", (*world).pinAny},
	{3, "unpin", (*world).unpin},
	{1, "forget", (*world).forget},
	{1, "configure", (*world).configure},
	{2, "gc", (*world).collect},
	{1, "make space", (*world).makeSpace},
	{1, "restart", (*world).restart},

	{2, "restart with a loss", (*world).restartWithLoss},
	{1, "verify after a loss", (*world).verifyAfterLoss},
	{1, "mend all", (*world).mendAll},

	{1, "restart with a damaged state", (*world).restartWithDamagedState},
	{1, "restart with another clock", (*world).restartWithClock},
	{1, "readers find damage", (*world).readersFindDamage},
	{3, "a fault", (*world).fault},

	{1, "history is read", (*world).readHistory},
	{1, "a version is read", (*world).readVersion},
	{1, "a reader begins", (*world).beginReading},
	{1, "a reader reads", (*world).goOnReading},
	{1, "a reader ends", (*world).endReading},
}

// SPECMAN_TORTURE=1 has many more seeds. One of them is repeated by its name:
// go test -run 'TestWhateverHappensInWhateverOrder/seed_17$'.
func TestWhateverHappensInWhateverOrder(t *testing.T) {
	seeds := 25
	if os.Getenv("SPECMAN_TORTURE") != "" {
		seeds = 1000
	}
	for seed := range seeds {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			before := openDescriptors(t)
			w := newWorld(t, uint64(seed))
			defer w.tell()
			for range 80 {
				w.step()
			}
			w.close()
			w.checkLetGo(before)
		})
	}
}

// step has one operation happen.
func (w *world) step() {
	total := 0
	for _, o := range operations {
		total += o.weight
	}
	chosen := w.r.IntN(total)
	for _, o := range operations {
		if chosen -= o.weight; chosen >= 0 {
			continue
		}
		before := w.moment()
		at := len(w.log)
		w.log = append(w.log, o.name) // before what it logs itself, and there if it fails
		w.log[at] += ": " + o.happen(w)
		w.check(before)
		return
	}
}

func (w *world) note(format string, args ...any) {
	w.log = append(w.log, "  "+fmt.Sprintf(format, args...))
}

// tell shows, after a failure, what led to it and what the store was like then.
func (w *world) tell() {
	if !w.t.Failed() {
		return
	}
	for n, line := range w.log {
		w.t.Logf("%3d %s", n, line)
	}
	st := w.s.state.Load()
	w.t.Logf("following %v", st.Following)
	w.t.Logf("forgotten %v", st.Forgotten)
	for _, h := range st.History {
		w.t.Logf("history %+v", h)
	}
	w.t.Logf("should serve %+v, pin %+v", st.View, st.Pin)
	if v := w.s.current.Load(); v != nil {
		w.t.Logf("serves %s %v", v.id, v.keys())
	}
}

func (w *world) pushAndSync() string {
	source := w.anySource()
	r := w.push(source)
	w.sync(source, false)
	return source + " " + r.Tag
}

func (w *world) syncOne() string {
	source := w.anySource()
	w.sync(source, false)
	return source
}

func (w *world) syncForce() string {
	source := w.anySource()
	w.sync(source, true)
	return source
}

// syncAll syncs twice: what a source waits for the others to bring, it has by then.
func (w *world) syncAll() string {
	for range 2 {
		for _, source := range w.opts.Sources {
			w.sync(source, false)
		}
	}
	w.unsettled = false
	w.checkAfterSync()
	return fmt.Sprint(w.opts.Sources)
}

func (w *world) anySource() string { return w.opts.Sources[w.r.IntN(len(w.opts.Sources))] }
