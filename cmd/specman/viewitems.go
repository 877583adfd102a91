package main

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"iter"
	"os"
	"path"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/archive"
)

// viewItems yields what a view serves as something to be packed, so that what is
// served of the archive is the same again. Symlinks stay symlinks where the view is
// one release; where it is several, a link of one could lead into another.
func viewItems(view *store.View) iter.Seq[archive.Item] {
	links := make(map[string]string)
	if len(view.Releases()) == 1 {
		for _, l := range view.Links(0) {
			links[l.Name] = l.Target
		}
	}
	var folder func(name string, e store.Entry, yield func(archive.Item) bool) bool
	folder = func(name string, e store.Entry, yield func(archive.Item) bool) bool {
		for base, child := range view.Children(e) {
			name := path.Join(name, base)
			if target, ok := links[name]; ok {
				if !yield(archive.Item{Name: name, Kind: archive.Symlink, Target: target}) {
					return false
				}
				continue
			}
			if child.Kind == store.Dir {
				if !yield(archive.Item{Name: name, Kind: archive.Folder}) || !folder(name, child, yield) {
					return false
				}
				continue
			}
			if !yield(archive.Item{Name: name, Kind: archive.File, Size: child.Size, Open: func() (io.ReadCloser, error) { return openChecked(view, name, child) }}) {
				return false
			}
		}
		return true
	}
	return func(yield func(archive.Item) bool) {
		if root, ok := view.Lookup(""); ok {
			folder("", root, yield)
		}
	}
}

// checkedFile is a file of a view whose last byte comes only if all are those that
// were published.
type checkedFile struct {
	file *os.File
	name string
	want [sha256.Size]byte
	left int64
	hash hash.Hash
}

func openChecked(view *store.View, name string, e store.Entry) (io.ReadCloser, error) {
	f, err := view.Open(e)
	if err != nil {
		return nil, err
	}
	return &checkedFile{file: f, name: name, want: e.Sum, left: e.Size, hash: sha256.New()}, nil
}

func (f *checkedFile) Read(b []byte) (int, error) {
	n, err := f.file.Read(b)
	f.hash.Write(b[:n])
	f.left -= int64(n)
	if f.left == 0 && n > 0 && [sha256.Size]byte(f.hash.Sum(nil)) != f.want {
		return 0, fmt.Errorf("%q: %w", f.name, store.ErrDamaged)
	}
	return n, err
}

func (f *checkedFile) Close() error { return f.file.Close() }
