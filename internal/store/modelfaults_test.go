package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
)

// What goes wrong around a store: files of its own that the disk spoils, readers that find
// damage, a clock that is set, a volume that is full and a process that may open no more.

// restartWithDamagedState has the disk spoil the state between two processes. The one
// before it is taken: what a person has decided is in it, too.
func (w *world) restartWithDamagedState() string {
	before := w.moment()
	forgotten, imports := w.s.state.Load().Forgotten, w.s.Following(ImportSource)
	w.close()
	path := filepath.Join(w.opts.Dir, "state.json")
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		w.open()
		return "there is none"
	}
	require.NoError(w.t, err)
	what := "a flipped bit"
	switch at := w.r.IntN(len(data)); w.r.IntN(3) {
	case 0:
		what, data = "cut short", data[:at]
	default:
		data[at] ^= 1 << w.r.IntN(8)
	}
	require.NoError(w.t, os.WriteFile(path, data, 0o600))
	w.unsettled = true
	w.open()
	clear(w.out) // the state before may have other dates
	w.noteOutOfUse()
	w.jumps++
	w.checkAfterStart(before)
	if !before.uncertain {
		require.Equal(w.t, forgotten, w.s.state.Load().Forgotten, "what is forgotten")
		require.Equal(w.t, imports, w.s.Following(ImportSource), "what imports contribute")
	}
	return what
}

// restartWithClock has the clock set between two processes.
func (w *world) restartWithClock() string {
	if w.s.Served() == nil {
		return "nothing is served yet"
	}
	by := []time.Duration{-365 * 24 * time.Hour, -2 * time.Hour, -time.Minute, time.Minute, 2 * time.Hour, 365 * 24 * time.Hour}[w.r.IntN(6)]
	require.NoError(w.t, w.s.Note("test", "", "the clock is set")) // the state is whole on the disk
	before := w.moment()
	w.close()
	setClock(w.t, w.opts.Dir, by)
	w.jumps++
	w.open()
	w.checkAfterStart(before)
	return by.String()
}

// readersFindDamage has the disk lose something of what is served, and readers tell of it.
func (w *world) readersFindDamage() string {
	result := w.lose()
	v := w.s.Acquire()
	if v == nil {
		return result + ", nothing is served"
	}
	defer v.Close()
	found := 0
	for _, e := range v.All() {
		if e.Kind != File {
			continue
		}
		if err := v.Read(e, make([]byte, e.Size)); err != nil {
			require.ErrorIs(w.t, err, ErrDamaged)
			w.s.ReportDamage(v, e)
			found++
		}
	}
	w.checkContent(v)
	w.s.repairDamaged(w.t.Context())
	return fmt.Sprintf("%s, found %d times", result, found)
}

func (w *world) makeSpace() string {
	kept := w.needed()
	held := len(w.s.Releases())
	require.ErrorIs(w.t, w.s.MakeSpace(w.s.mustVolume(w.t).size, 1), ErrNoSpace)
	require.Len(w.t, w.s.Releases(), held, "in vain")
	frees, _ := w.s.removableSpace()
	if frees == 0 || !w.volume {
		return "nothing would be freed"
	}
	_ = w.s.MakeSpace(w.s.mustVolume(w.t).free+frees, 1) // it may be a little less
	w.checkKept(kept)
	w.checkCollected(0, func(r Release) bool { return w.s.loaded.inUse(r.Layer) })
	return fmt.Sprintf("%d are held", len(w.s.Releases()))
}

// needed are the releases that no collection may take.
func (w *world) needed() []ReleaseKey {
	kept := w.contributed()
	if v := w.s.current.Load(); v != nil {
		kept = append(kept, v.keys()...)
	}
	if r := w.s.Served(); r != nil {
		kept = append(kept, r.Releases...)
	}
	for k := range w.s.claimed {
		if _, ok := w.s.Release(k); ok {
			kept = append(kept, k)
		}
	}
	return kept
}

func (w *world) checkKept(kept []ReleaseKey) {
	w.t.Helper()
	for _, k := range kept {
		_, ok := w.s.Release(k)
		require.True(w.t, ok, "%v is needed, and removed", k)
	}
}

// readHistory has somebody look at all views that there were, as diff and export do.
func (w *world) readHistory() string {
	read := 0
	for _, h := range w.s.History() {
		v, err := w.s.AcquireRecord(h)
		if w.s.holds(w.s.state.Load(), h) {
			require.NoError(w.t, err)
		}
		if err == nil {
			w.checkContent(v)
			v.Close()
			read++
		}
	}
	return fmt.Sprint(read)
}

// importAgain brings an archive that was there before, forgotten or not.
func (w *world) importAgain() string {
	if len(w.imports) == 0 {
		return "there was none"
	}
	r := w.imports[w.r.IntN(len(w.imports))]
	if !w.s.HasTree(r.Layer) {
		w.publish(r.Layer)
	}
	w.add(r)
	require.NoError(w.t, w.s.Unforget(r.Manifest))
	w.followImports()
	return r.Tag
}

// fault has something fail of what is done next: after an error nothing has changed, and
// nothing is taken for damage.
func (w *world) fault() string {
	st, v, damaged := w.s.state.Load(), w.s.current.Load(), w.s.DamagedTrees()
	name, do, whole := w.anyDeed()
	var err error
	var what string
	if w.volume && w.r.IntN(2) == 0 {
		what = "on a full volume"
		if w.r.IntN(2) == 0 {
			w.s.giveUpSpare()
			what += " without a spare"
		}
		fill(w.t, w.opts.Dir)
		err = do()
		require.NoError(w.t, os.Remove(filepath.Join(w.opts.Dir, "filler")))
		w.s.keepSpare()
	} else {
		n := w.r.IntN(12)
		what = fmt.Sprintf("with %d descriptors", n)
		fewDescriptors(w.t, n, func() { err = do() })
	}
	w.untidy = true // what could not be removed goes at the next start
	w.failed = w.s.state.Load()
	if err != nil && whole {
		require.Same(w.t, st, w.s.state.Load(), "%s failed, and has changed something: %v", name, err)
		require.Same(w.t, v, w.s.current.Load())
	}
	if !w.harmed {
		require.Equal(w.t, damaged, w.s.DamagedTrees())
	}
	return fmt.Sprintf("%s %s: %v", name, what, err)
}

// anyDeed is something that somebody may do; whole says that it changes all or nothing.
func (w *world) anyDeed() (name string, do func() error, whole bool) {
	version := w.anyVersion()
	source := w.anySource()
	switch w.r.IntN(10) {
	case 0:
		return "pin " + version, func() error {
			target, err := w.s.Target(version, w.r.IntN(3) == 0)
			if err != nil {
				return err
			}
			return w.s.Pin(target, "pin", "pin")
		}, true
	case 1:
		return "unpin", func() error { _, err := w.s.Unpin(""); return err }, true
	case 2:
		return "forget " + version, func() error { _, err := w.s.Forget(version, ""); return err }, true
	case 3:
		return "gc", func() error { _, err := w.s.GC(false); return err }, false
	case 4:
		return "verify", func() error { _, err := w.s.Verify(w.t.Context(), VerifyOptions{}); return err }, false
	case 5:
		order := w.s.Following(source)
		slices.Reverse(order)
		return "follow of " + source, func() error { _, err := w.s.Follow(source, order); return err }, true
	case 6:
		return "rollback", func() error {
			target, err := w.s.Target("", false)
			if err != nil {
				return err
			}
			return w.s.Pin(target, "rollback", "rollback")
		}, true
	case 7:
		return "mend", func() error { w.s.repairDamaged(w.t.Context()); return nil }, false
	case 8:
		return "configure", func() error { return w.s.Configure(w.opts) }, true
	}
	r := w.newImport()
	return "import", func() error { return w.tryImport(r) }, false
}

// tryImport imports what may not succeed.
func (w *world) tryImport(r Release) error {
	st, err := w.s.NewStaging(r.Layer)
	if err != nil {
		return err
	}
	defer st.Discard()
	files := w.contents[r.Layer]
	made := make(map[string]bool)
	for _, name := range sortedKeys(files) {
		for n := range name {
			if name[n] == '/' && !made[name[:n]] {
				made[name[:n]] = true
				if err := st.Dir(name[:n], time.Time{}); err != nil {
					return err
				}
			}
		}
		if err := st.File(name, time.Unix(1e9, 0), int64(len(files[name])), strings.NewReader(files[name])); err != nil {
			return err
		}
	}
	if err := st.Publish(); err != nil {
		return err
	}
	r.Fetched = time.Now()
	if err := w.s.Add(r); err != nil {
		return err
	}
	_, err = w.s.Follow(ImportSource, append(w.s.Following(ImportSource), Contribution{Tag: r.Tag, Manifest: r.Manifest}))
	return err
}
