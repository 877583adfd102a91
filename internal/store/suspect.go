package store

import "crypto/sha256"

// Sum returns the sha256 of a file of the sealed tree.
func (st *Staging) Sum(name string) (sum [sha256.Size]byte, ok bool) {
	n, ok := st.sealed.find(name)
	if !ok || st.sealed.records[n].kind != File {
		return sum, false
	}
	return st.sealed.records[n].sum, true
}

// Sum returns the sha256 of a file of the view.
func (v *View) Sum(name string) (sum [sha256.Size]byte, ok bool) {
	e, ok := v.Lookup(name)
	return e.Sum, ok && e.Kind == File
}

// Suspect tells the store that somebody may have written to files of that content. It
// looks at them in all trees that are held, and keeps from being served what is damaged.
func (s *Store) Suspect(sums map[[sha256.Size]byte]bool) {
	looked := make(map[*tree]bool)
	for _, r := range s.Releases() {
		t, err := s.loaded.acquire(r.Layer)
		if err != nil {
			continue // nothing is served from it
		}
		if !looked[t] {
			looked[t] = true
			for sum := range sums {
				for rec := range t.filesOf(sum) {
					s.lookAt(t, rec)
				}
			}
		}
		s.loaded.release(t)
	}
}
