package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// damageFile lists, in the folder of a tree, the files of it that were found
// damaged, so that a restart does not serve them again; none where it is the folder. It
// goes with the tree when a repaired one takes its place.
const damageFile = "damaged"

func (t *tree) readDamage(folder string) error {
	data, err := readSealed(filepath.Join(folder, damageFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if isTransient(err) {
		return err
	}
	damaged := make(map[int32]bool)
	lines, ok := unseal(data)
	if ok = ok && err == nil; !ok {
		// The disk has harmed this, too, and nobody knows what was in it. To look at all
		// files here would hold up everybody who takes a tree.
		t.suspect = true
	}
	for line := range strings.Lines(string(lines)) {
		if rec, found := t.find(unescape(strings.TrimSuffix(line, "\n"))); ok && found {
			damaged[rec] = true
		}
	}
	t.damaged.Store(&damaged)
	return nil
}

// isTransient says whether an error tells of this process, or of this moment, and nothing
// of what is on the disk: nobody may take it for damage.
func isTransient(err error) bool {
	return slices.ContainsFunc([]error{
		unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.EINTR, unix.EAGAIN, unix.EACCES, unix.EPERM,
	}, func(known error) bool { return errors.Is(err, known) })
}

// asDamage is a fault that reading met, as ErrDamaged unless it is transient: a disk that
// does not give what it holds is as bad as one that gives something else.
func asDamage(err error) error {
	if err == nil || isTransient(err) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

func (t *tree) isDamaged(rec int32) bool {
	damaged := t.damaged.Load()
	return damaged != nil && (*damaged)[rec]
}

// whole says whether nothing of the tree is known to be damaged.
func (t *tree) whole() bool { return t.damaged.Load() == nil }

// markDamaged keeps files of a tree from being served, now and after a restart.
func (s *Store) markDamaged(t *tree, records ...int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	damaged := make(map[int32]bool)
	if old := t.damaged.Load(); old != nil {
		maps.Copy(damaged, *old)
	}
	var first string
	found := 0
	for _, rec := range records {
		if damaged[rec] {
			continue
		}
		damaged[rec] = true
		if found++; found == 1 {
			first = t.path(rec)
		}
		s.metrics.damaged()
		s.log.Error("A file of the store is damaged and is not served any more", "path", t.path(rec), "tree", t.layer,
			"cure", "the next sync fetches the tree anew; `specman verify --repair` does it now")
	}
	t.damaged.Store(&damaged)
	s.noteDamaged(t.layer)
	if first != "" && len(damaged) == found { // the tree was whole until now: one event for each time is enough
		s.recordEvent("damage", "%d files of %s are damaged, %q the first", found, s.nameOf(t.layer), first)
	}
	if s.closed || !s.loaded.named(t) {
		return // a repaired tree has its name by now, or none: the note would be of another
	}
	var paths []string
	for _, rec := range slices.Sorted(maps.Keys(damaged)) {
		paths = append(paths, t.path(rec))
	}
	s.keepNote(t.layer, paths...)
}

// keepNote writes down which files of a tree are damaged, none where it is the folder. To
// be called as noteFolder is.
func (s *Store) keepNote(layer digest.Digest, paths ...string) {
	var lines strings.Builder
	for _, p := range paths {
		lines.WriteString(escape(p) + "\n")
	}
	path := filepath.Join(treeFolder(s.dir, layer), damageFile)
	if err := s.writeFileDurably(path, "", seal([]byte(lines.String()))); err != nil {
		s.log.Warn("The damage cannot be noted on disk; a restart would find it anew", "error", err)
	}
}

// noteFolder writes down, where nothing is written yet, that the folder of a tree is
// damaged, if there is one: what is not there the next start sees. To be called under
// mu, or before anybody else has the store.
func (s *Store) noteFolder(layer digest.Digest) {
	folder := treeFolder(s.dir, layer)
	_, err := os.Lstat(filepath.Join(folder, damageFile))
	if _, gone := os.Lstat(folder); gone == nil && errors.Is(err, fs.ErrNotExist) && !s.closed {
		s.keepNote(layer)
	}
}

// countTree counts a tree whose index or folder is damaged, once until it is whole again.
func (s *Store) countTree(layer digest.Digest) {
	if s.repairs.count(layer) {
		s.metrics.damaged()
	}
}

// markUnreadable has a tree whose index cannot be read fetched anew.
func (s *Store) markUnreadable(layer digest.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noteDamaged(layer)
	if !s.HasTree(layer) { // or a sync was faster
		s.noteFolder(layer)
	}
}

// noteIndexes writes down which trees this start has found with a damaged index: another
// may not come by them.
func (s *Store) noteIndexes() {
	for _, layer := range s.DamagedTrees() {
		s.countTree(layer)
		t, err := s.loaded.acquire(layer)
		if err == nil {
			s.loaded.release(t)
		} else if errors.Is(err, errIndex) {
			s.noteFolder(layer)
		}
	}
}

// recallDamage has what an earlier process has found damaged of what is held, or what is
// not there, made or fetched anew, served or not. It reads no tree: a start does not wait
// for that.
func (s *Store) recallDamage(st *state) {
	for _, r := range st.Releases {
		folder := treeFolder(s.dir, r.Layer)
		_, noIndex := os.Lstat(filepath.Join(folder, "index"))
		_, noFiles := os.Lstat(filepath.Join(folder, "files"))
		_, noNote := os.Lstat(filepath.Join(folder, damageFile))
		if noNote == nil || errors.Is(noIndex, fs.ErrNotExist) || errors.Is(noFiles, fs.ErrNotExist) {
			s.noteDamaged(r.Layer)
		}
	}
}

// nameOf names a tree for people: by its tags, where releases have it.
func (s *Store) nameOf(layer digest.Digest) string {
	if tags := s.tagsOf(layer); len(tags) > 0 {
		return strings.Join(tags, ", ")
	}
	return "tree " + layer.String()
}

// recordEvent adds an event, if it can be written: what it is about has happened anyway.
// To be called under mu.
func (s *Store) recordEvent(kind, format string, args ...any) {
	next := s.state.Load().clone()
	next.event(wall(), kind, "", format, args...)
	if err := s.save(next); err != nil {
		s.log.Warn("The history cannot be written", "error", err)
	}
}

// checkFolder says whether the folder of a held tree is what a restart would need:
// what is read from it is mostly in memory by now.
func (s *Store) checkFolder(t *tree) error {
	again, err := openTree(s.dir, t.layer)
	if err == nil {
		return again.root.Close()
	}
	if !s.loaded.named(t) {
		return nil // a repaired tree has its name by now, or none
	}
	return err
}

// markFolder has the tree of a damaged folder made or fetched anew. Its index is in
// memory, so that what is left of its files goes on being served.
func (s *Store) markFolder(t *tree, why error) {
	s.mu.Lock()
	known := !t.whole()
	if !known {
		t.damaged.Store(&map[int32]bool{})
		s.recordEvent("damage", "the folder of %s is damaged: %v", s.nameOf(t.layer), why)
		if s.loaded.named(t) {
			s.noteFolder(t.layer)
		}
	}
	s.mu.Unlock()
	if !known {
		s.countTree(t.layer)
		s.log.Error("The folder of a tree is damaged; its files are served for as long as this process runs", "tree", t.layer, "error", why,
			"cure", "the next sync fetches the tree anew; `specman verify --repair` does it now")
	}
	s.noteDamaged(t.layer)
}

// ReportDamage tells the store that what it gave for an entry is not what the index
// says. It looks itself, and keeps the file from being served if that is so.
func (s *Store) ReportDamage(v *View, e Entry) {
	nd := &v.nodes[e.node]
	t := v.trees[nd.tree]
	rec := t.records[nd.rec].real
	if !t.isDamaged(rec) {
		s.lookAt(t, rec)
		return
	}
	// It was known: what was given came from another tree.
	held := s.loaded.acquireLoaded()
	for _, t := range held {
		for rec := range t.filesOf(e.Sum) {
			if !t.isDamaged(rec) {
				s.lookAt(t, rec)
			}
		}
		s.loaded.release(t)
	}
}

// lookAt keeps a file from being served if it is not what was published.
func (s *Store) lookAt(t *tree, rec int32) {
	f, _, err := t.openFile(rec)
	if err == nil {
		err = compare(f, t.records[rec].sum)
		f.Close()
	}
	if errors.Is(err, ErrDamaged) && !t.isDamaged(rec) {
		s.markDamaged(t, rec)
	}
}

// compare reads an open file, from its beginning, and leaves the file there. The error
// wraps ErrDamaged where it is not of that sha256, or cannot be read and never will.
func compare(f *os.File, sum [sha256.Size]byte) error {
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, 1<<62)); err != nil {
		return asDamage(err)
	}
	if [sha256.Size]byte(h.Sum(nil)) != sum {
		return fmt.Errorf("%w: its content is not the published one", ErrDamaged)
	}
	return nil
}
