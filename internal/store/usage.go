package store

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// countTrees returns how many trees are on disk.
func (s *Store) countTrees() int {
	entries, err := os.ReadDir(filepath.Join(s.dir, treesFolder))
	if err != nil {
		return 0
	}
	return len(entries)
}

// MeasureUsage adds up the bytes that the trees take on disk; a file that
// several trees share counts once. It reads every folder, so it is for the
// background, and ends early when ctx does; the result is what the metric store_bytes shows.
func (s *Store) MeasureUsage(ctx context.Context) (int64, error) {
	var total int64
	shared := make(map[uint64]bool)
	err := eachOnDisk(ctx, filepath.Join(s.dir, treesFolder), func(isDir bool, info *syscall.Stat_t) {
		if info.Nlink > 1 && !isDir {
			if shared[info.Ino] {
				return
			}
			shared[info.Ino] = true
		}
		total += info.Blocks * 512
	})
	if err == nil {
		s.usage.Store(total)
	}
	return total, err
}

// eachOnDisk calls see for a folder and each name below it. What goes meanwhile it passes
// over.
func eachOnDisk(ctx context.Context, folder string, see func(isDir bool, info *syscall.Stat_t)) error {
	return filepath.WalkDir(folder, func(_ string, e fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return skipGone(err)
		}
		info, err := e.Info()
		if err != nil {
			return skipGone(err)
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			see(e.IsDir(), st)
		}
		return nil
	})
}

// skipGone passes over what a GC took away meanwhile.
func skipGone(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}
