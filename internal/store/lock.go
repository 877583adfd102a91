package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrLocked is returned by Open where another process has the store.
var ErrLocked = errors.New("the store is in use by another process")

// lock takes the store's lock, waiting for at most wait: a new pod may start
// while the old one is still ending. The lock ends with the process, however
// it ends. A file system that cannot lock is warned about and trusted.
func lock(ctx context.Context, dir string, wait time.Duration, log *slog.Logger) (*os.File, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, unix.EROFS) {
		f, err = os.Open(path) // what is held can still be served
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("open the lock of the store: %w: %s", err, whose(dir, path))
	}
	if err != nil {
		return nil, fmt.Errorf("open the lock of the store: %w", spaceError(err))
	}
	deadline := time.Now().Add(wait)
	for told := false; ; {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			host, _ := os.Hostname()
			f.Truncate(0)
			f.WriteAt(fmt.Appendf(nil, "pid %d on %s since %s\n", os.Getpid(), host, time.Now().UTC().Format(time.RFC3339)), 0)
			return f, nil
		case errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.ENOLCK), errors.Is(err, unix.EINVAL):
			log.Warn("the file system of the store cannot lock; make sure that no second Specman uses it", "dir", dir, "error", err)
			return f, nil
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EWOULDBLOCK):
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if !told && wait > 0 {
			told = true
			log.Info("Waiting for the store, which another process has", "for", wait, "holder", holder(f))
		}
		if time.Now().After(deadline) {
			defer f.Close()
			return nil, fmt.Errorf("lock %s: %w: %s", path, ErrLocked, holder(f))
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, ctx.Err())
		}
	}
}

// whose says to whom a store belongs that this process may not use.
func whose(dir, path string) string {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return fmt.Sprintf("it must be uid %d's", os.Getuid())
	}
	if st.Uid == uint32(os.Getuid()) {
		return fmt.Sprintf("its mode is %#o: `chmod u+rw %s`", st.Mode&0o777, path)
	}
	return fmt.Sprintf("the store is uid %d's and this is uid %d: run as that user, or `chown -R %d %s`", st.Uid, os.Getuid(), os.Getuid(), dir)
}

func holder(f *os.File) string {
	b := make([]byte, 200)
	n, _ := f.ReadAt(b, 0)
	who := strings.TrimSpace(string(b[:n]))
	if who == "" {
		return "it does not say who it is"
	}
	var pid int
	var host string
	here, _ := os.Hostname()
	if n, _ := fmt.Sscanf(who, "pid %d on %s since", &pid, &host); n == 2 && host == here && unix.Kill(pid, 0) == unix.ESRCH {
		return "it could not say who it is, as on a disk that has become read-only (the last that could was " + who + ")"
	}
	return who
}
