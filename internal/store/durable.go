package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/specman/specman/internal/atomicfile"
)

// syncfsTypes are the file systems whose syncfs(2) flushes everything and
// reports each write-back error to a descriptor that was open when it happened
// (Linux 5.8 and later). Overlayfs and FUSE are not among them: an error was
// seen to be lost there.
var syncfsTypes = map[int64]bool{
	unix.EXT4_SUPER_MAGIC:  true, // ext2 and ext3 have the same number
	unix.XFS_SUPER_MAGIC:   true,
	unix.BTRFS_SUPER_MAGIC: true,
	unix.NFS_SUPER_MAGIC:   true,
	unix.TMPFS_MAGIC:       true, // nothing to flush
	0x00c36400:             true, // CephFS
}

// fileSystem is the kernel's number for a folder's file system (statfs(2)), 0 where it
// does not tell.
func fileSystem(folder string) int64 {
	var fs unix.Statfs_t
	if unix.Statfs(folder, &fs) != nil {
		return 0
	}
	return int64(fs.Type)
}

// flusher makes everything below a folder durable. It must be made before the
// first write below it, because only then does its descriptor see every error.
type flusher struct {
	folder *os.File
	whole  bool // one syncfs does; else each file and folder
}

func newFlusher(folder string) (*flusher, error) {
	f, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil {
		f.Close()
		return nil, fmt.Errorf("ask for the file system of %s: %w", folder, err)
	}
	return &flusher{folder: f, whole: syncfsTypes[int64(fs.Type)]}, nil
}

// flush may be called once. After an error the folder must be thrown away: a
// second flush could succeed without the lost pages.
func (f *flusher) flush() error {
	defer f.folder.Close()
	if f.whole {
		if err := unix.Syncfs(int(f.folder.Fd())); err != nil {
			return fmt.Errorf("flush %s to disk: %w", f.folder.Name(), err)
		}
		return nil
	}
	var group errgroup.Group
	group.SetLimit(16)
	err := filepath.WalkDir(f.folder.Name(), func(path string, e fs.DirEntry, err error) error {
		if err == nil && (e.Type().IsRegular() || e.IsDir()) {
			group.Go(func() error { return atomicfile.Sync(path) })
		}
		return err
	})
	return errors.Join(err, group.Wait())
}

func (f *flusher) close() { f.folder.Close() }

// makeFolder makes a folder and those above it, each durable in the one above:
// what is flushed in a folder is lost with it all the same.
func makeFolder(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := makeFolder(parent); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	// One that may be written but not read cannot be flushed by this uid.
	if err := atomicfile.Sync(parent); !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}

// staging is the folder of what is unfinished. It is made again where somebody has tidied
// up; that it cannot be, who uses it will find.
func (s *Store) staging() string {
	folder := filepath.Join(s.dir, stagingFolder)
	_ = makeFolder(folder)
	return folder
}

// writeFileDurably replaces a file so that after a crash the old or the new
// content is there, whole. What was there before stays as previous, if that is
// not empty. What a crash leaves unfinished is in staging.
func (s *Store) writeFileDurably(path, previous string, data []byte) error {
	temp, err := os.CreateTemp(s.staging(), filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	if _, err = temp.Write(data); err == nil {
		err = temp.Sync()
	}
	if err := errors.Join(err, temp.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if previous != "" {
		if err := s.keepAs(path, previous); err != nil {
			return fmt.Errorf("keep the last %s: %w", path, err)
		}
	}
	if err := os.Rename(temp.Name(), path); err != nil {
		return err
	}
	return atomicfile.Sync(filepath.Dir(path))
}

// keepAs gives a file a second name, replacing what had it, without a moment
// in which neither is there; where there are no hard links, it copies it. On a full
// volume what was previous stays.
func (s *Store) keepAs(path, previous string) error {
	temp := previous + ".new"
	os.Remove(temp)
	err := os.Link(path, temp)
	switch {
	case err == nil:
		return os.Rename(temp, previous)
	case cannotLink(err):
		err = s.copyAs(path, previous)
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(spaceError(err), ErrNoSpace) {
		return nil // tmpfs counts a second name as an inode: better one state than no rollback
	}
	return err
}

func (s *Store) copyAs(path, previous string) error {
	data, err := readRegular(path, maxStateBytes)
	if err != nil {
		return err
	}
	return s.writeFileDurably(previous, "", data)
}
