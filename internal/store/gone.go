package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/opencontainers/go-digest"
)

// isGone says whether the folder of a tree's files is not there.
func (s *Store) isGone(layer digest.Digest) bool {
	_, err := os.Lstat(filepath.Join(treeFolder(s.dir, layer), "files"))
	return errors.Is(err, fs.ErrNotExist)
}

// noteGone has the served trees made anew whose files somebody has removed, asked for or not.
func (s *Store) noteGone() {
	v := s.Acquire()
	if v == nil {
		return
	}
	defer v.Close()
	for _, t := range v.trees {
		if t.whole() && s.isGone(t.layer) && s.loaded.named(t) {
			s.markFolder(t, errNoTree)
		}
	}
}

// replaceGone has another view stand in for the served one where the files of a tree of it
// are gone, all of them, and not all that they held is held elsewhere: as a start would. A
// file that is damaged is one file less; this is a tree less.
func (s *Store) replaceGone() {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, v := s.state.Load(), s.current.Load()
	if v == nil {
		return
	}
	var gone []digest.Digest
	for _, t := range v.trees {
		if s.repairs.lacks(t.layer) && s.isGone(t.layer) {
			gone = append(gone, t.layer)
		}
	}
	if len(gone) == 0 {
		return
	}
	next, err := s.standIn(s.wholeView(st), v)
	if err != nil {
		s.log.Warn("The files of a tree are gone, and the view that is to stand in for it cannot be laid out; it is tried again", "trees", gone, "error", err)
	}
	if next == nil {
		return // nothing is ever replaced by nothing
	}
	for _, layer := range gone { // whoever is given it by name from now on must not get what is in memory
		_, _ = s.loaded.moved(layer, func() error { return nil })
	}
	s.versions.drop()
	s.replaceForNow(v, next)
	s.log.Error("The files of a tree are gone; another view is served until they are had again", "trees", gone, "serving", next.id,
		"cure", "the next sync fetches them anew, or `specman import` brings them")
}

// wholeView are the releases of the view that stands in for the one that should be served,
// none of their trees damaged; nil where there are none.
func (s *Store) wholeView(st *state) []ReleaseKey {
	for _, c := range s.standIns(st) {
		whole := slices.DeleteFunc(slices.Clone(c.Releases), func(k ReleaseKey) bool {
			r := st.release(k)
			return r == nil || !s.HasTree(r.Layer) || s.isGone(r.Layer)
		})
		if !c.forgotten && len(whole) > 0 && (c.part || len(whole) == len(c.Releases)) {
			return whole
		}
	}
	return nil
}
