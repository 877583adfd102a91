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
	err := filepath.WalkDir(filepath.Join(s.dir, treesFolder), func(_ string, e fs.DirEntry, err error) error {
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
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			total += info.Size()
			return nil
		}
		if st.Nlink > 1 && !e.IsDir() {
			if shared[st.Ino] {
				return nil
			}
			shared[st.Ino] = true
		}
		total += st.Blocks * 512
		return nil
	})
	if err == nil {
		s.usage.Store(total)
	}
	return total, err
}

// skipGone passes over what a GC took away meanwhile.
func skipGone(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}
