package archive

import (
	"context"
	"fmt"
	"io"
	"iter"
)

// Item is something to be packed that need not lie in a folder.
type Item struct {
	Name   string // clean, see the package comment
	Kind   Kind   // Folder, File or Symlink
	Size   int64  // of a File
	Target string // of a Symlink

	// Open opens the content of a File, which must have Size bytes.
	Open func() (io.ReadCloser, error)
}

// PackItems is [Pack] of what items yields. The bytes are those of Pack, of a folder
// with that content, if items come as they lie in one: each folder before what is in
// it, and what is in it by name, byte by byte, each folder's content right behind it.
// Options.Exclude plays no part.
func PackItems(ctx context.Context, w io.Writer, items iter.Seq[Item], opts PackOptions) (Report, error) {
	return packChecked(ctx, w, opts, func(out *writer) error {
		for item := range items {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := packItem(out, item); err != nil {
				return fmt.Errorf("packing %s: %w", quote(item.Name), err)
			}
		}
		return nil
	})
}

func packItem(out *writer, item Item) error {
	switch item.Kind {
	case Folder:
		return out.folder(item.Name)
	case Symlink:
		return out.symlink(item.Name, item.Target)
	case File:
	default:
		return fmt.Errorf("what is of kind %q cannot be packed", item.Kind)
	}
	content, err := item.Open()
	if err != nil {
		return err
	}
	defer content.Close()
	if err := out.file(item.Name, item.Size); err != nil {
		return err
	}
	_, err = io.CopyN(out.tar, content, item.Size)
	return noEOF(err)
}
