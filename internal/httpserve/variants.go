package httpserve

import (
	"io"
	"iter"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/variant"
)

// TextFiles yields the files of a held view of which variants are worth making.
// The view must be held for as long as they are read.
func TextFiles(v *store.View) iter.Seq[variant.File] {
	return func(yield func(variant.File) bool) {
		for path, entry := range v.All() {
			if entry.Kind != store.File || !typeOf(path).text {
				continue
			}
			if !yield(variant.File{Sum: entry.Sum, Size: entry.Size, Open: func() (io.ReadCloser, error) { return v.Open(entry) }}) {
				return
			}
		}
	}
}
