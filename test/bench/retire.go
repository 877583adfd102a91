package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// retire takes a folder out of the way: it is renamed and its files are emptied,
// but not removed before the bench ends. On ext4 the number of a removed file is
// not given out again for a minute, and whoever makes files meanwhile searches
// past all of those (recently_deleted in fs/ext4/ialloc.c): it made each sync
// that followed the removal of another's files up to twice as slow.
func (b *bench) retire(dir string) error {
	b.retired++
	old := b.path(fmt.Sprintf("retired-%d", b.retired))
	err := os.Rename(dir, old)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return filepath.WalkDir(old, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		if err := os.Chmod(path, 0o644); err != nil {
			return err
		}
		return os.Truncate(path, 0)
	})
}
