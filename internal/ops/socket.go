package ops

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxSocketPath is how many bytes of a path fit into a unix socket's address
	// (unix(7): 108 with the final zero).
	maxSocketPath = 107
	// maxSocketName leaves room in it for /proc/self/fd/N/.
	maxSocketName = 80
)

// listenControl makes the control socket, for the owner alone, in place of a
// stale one. It is made in a folder that only the owner may enter and moved to
// its place, so that nobody meets it half made. A disk that is full, or has become
// read-only, must not keep people from asking: then it has no path (abstract.go).
//
// A volume's fsGroup may widen modes afterwards; that is the operator's wish.
func listenControl(path string) (net.Listener, error) {
	if err := checkFree(path); err != nil {
		return nil, err
	}
	made, err := os.MkdirTemp(filepath.Dir(path), ".control-*")
	if errors.Is(err, unix.EROFS) || errors.Is(err, unix.ENOSPC) {
		return listenAbstract(path)
	}
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(made)
	temp := filepath.Join(made, "s")
	var l *net.UnixListener
	if err := shortened(temp, func(short string) (err error) {
		l, err = net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
		return err
	}); err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // it would look for the name under which it was made
	if err := errors.Join(os.Chmod(temp, 0o600), os.Rename(temp, path)); err != nil {
		l.Close()
		return nil, err
	}
	return &controlListener{UnixListener: l, path: path}, nil
}

// checkFree refuses to take the place of anything but a stale socket.
func checkFree(path string) error {
	if name := filepath.Base(path); len(name) > maxSocketName {
		return fmt.Errorf("the name %q is longer than %d bytes: nobody could connect", name, maxSocketName)
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is there already and no socket: remove it, or set control.socket to another path", path)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if conn, err := dialControl(ctx, path); err == nil {
		conn.Close()
		return fmt.Errorf("another process listens at %s: set control.socket to a path that only this service uses", path)
	}
	return nil
}

// controlListener takes its socket away when it is closed.
type controlListener struct {
	*net.UnixListener
	path string
}

func (l *controlListener) Close() error {
	err := l.UnixListener.Close()
	if err == nil { // only the first time: the path may be another's since
		err = os.Remove(l.path)
	}
	return err
}

func dialControl(ctx context.Context, path string) (conn net.Conn, err error) {
	err = shortened(path, func(short string) error {
		conn, err = new(net.Dialer).DialContext(ctx, "unix", short)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED) {
		if conn, err := dialAbstract(ctx, path); err == nil {
			return conn, nil
		}
	}
	return conn, err
}

// shortened calls f with a path of the same file that fits into a socket's
// address: where the path itself is too long, one through its open folder.
func shortened(path string, f func(short string) error) error {
	if len(path) <= maxSocketPath {
		return f(path)
	}
	folder, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", filepath.Dir(path), err)
	}
	defer unix.Close(folder)
	return f(fmt.Sprintf("/proc/self/fd/%d/%s", folder, filepath.Base(path)))
}
