package store

import (
	"os"

	"golang.org/x/sys/unix"
)

// fileMode is that of a tree's files: nobody is to change them.
const fileMode = 0o444

// lastFolder keeps the folder open in which the last file was. Files come folder
// by folder; an os.Root opens each folder on the way to each of them, and asks
// the kernel five times more whether a file can be polled: with it, a small file
// took ten system calls and more, of which three are needed. What os.Root is
// there for stays: it opens the folders, and a file's own name has no slash and
// is not followed.
//
// It is not safe for concurrent use. The zero value is ready.
type lastFolder struct {
	root *os.Root
	path string
	dir  *os.File
	// exact is set when a file was seen to get its mode as asked for: no umask and
	// no default ACL stands in the way.
	exact bool
}

// of returns the open folder of a file below root, and the file's name in it.
// The descriptor is good until the next call.
func (l *lastFolder) of(root *os.Root, name string) (dir int, base string, err error) {
	path, base, ok := cutLast(name)
	if !ok {
		path = "."
	}
	if l.dir == nil || l.root != root || l.path != path {
		l.close()
		if l.dir, err = root.Open(path); err != nil {
			l.dir = nil
			return 0, "", err
		}
		l.root, l.path = root, path
	}
	return int(l.dir.Fd()), base, nil
}

// open opens a file for reading.
func (l *lastFolder) open(root *os.Root, name string) (*os.File, error) {
	return l.openFile(root, name, unix.O_RDONLY)
}

// create makes a file that was not there, 0444 whatever the umask is.
func (l *lastFolder) create(root *os.Root, name string) (*os.File, error) {
	f, err := l.openFile(root, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL)
	if err != nil || l.exact {
		return f, err
	}
	info, err := f.Stat()
	if err == nil && info.Mode().Perm() == fileMode {
		l.exact = true
		return f, nil
	}
	if err := f.Chmod(fileMode); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (l *lastFolder) openFile(root *os.Root, name string, flags int) (*os.File, error) {
	dir, base, err := l.of(root, name)
	if err != nil {
		return nil, err
	}
	for {
		fd, err := unix.Openat(dir, base, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, fileMode)
		switch err {
		case nil:
			return os.NewFile(uintptr(fd), base), nil
		case unix.EINTR: // on network and user space file systems
		default:
			return nil, &os.PathError{Op: "openat", Path: base, Err: err}
		}
	}
}

func (l *lastFolder) close() {
	if l.dir != nil {
		l.dir.Close()
		l.dir = nil
	}
}
