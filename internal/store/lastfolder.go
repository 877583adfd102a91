package store

import (
	"os"

	"golang.org/x/sys/unix"
)

const (
	fileMode   = 0o444 // of a tree's files: nobody is to change them
	folderMode = 0o755 // of its folders: whatever uid the next pod has must be able to remove them
)

// lastFolder keeps the folder open in which the last file was. Files come folder
// by folder; an os.Root opens each folder on the way to each of them, and an
// os.File asks the kernel whether it can be polled: with the two, a small file took
// ten system calls and more, of which three are needed, and a folder eighteen in
// place of three. What os.Root is there for stays: nothing above the root is
// reached, and a file's own name has no slash and is not followed.
//
// It is not safe for concurrent use. The zero value is ready.
type lastFolder struct {
	root *os.Root
	top  *os.File // the root itself
	path string
	dir  descriptor // of path; 0: none

	// Set when a file, or a folder, was seen to get its mode as asked for: no umask
	// and no default ACL stands in the way.
	exactFile, exactFolder bool
}

// of returns the open folder of a file below root, and the file's name in it.
// The descriptor is good until the next call.
func (l *lastFolder) of(root *os.Root, name string) (dir int, base string, err error) {
	path, base, inside := cutLast(name)
	if l.root != root {
		l.close()
		if l.top, err = root.Open("."); err != nil {
			return 0, "", err
		}
		l.root = root
	}
	if !inside {
		return int(l.top.Fd()), base, nil
	}
	if l.dir == 0 || l.path != path {
		l.leave()
		if l.dir, err = l.enter(path); err != nil {
			return 0, "", err
		}
		l.path = path
	}
	return int(l.dir), base, nil
}

// enter opens a folder below the root: by one call, where the kernel knows it (Linux
// 5.6) and no filter of a container stands in the way.
func (l *lastFolder) enter(path string) (descriptor, error) {
	fd, err := unix.Openat2(int(l.top.Fd()), path, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err == nil {
		return descriptor(fd), nil
	}
	f, err := l.root.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	fd, err = unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 1) // 0 stands for none
	if err != nil {
		return 0, &os.PathError{Op: "dup", Path: path, Err: err}
	}
	return descriptor(fd), nil
}

// open opens a file for reading.
func (l *lastFolder) open(root *os.Root, name string) (descriptor, error) {
	return l.openFile(root, name, unix.O_RDONLY|unix.O_NONBLOCK) // or a pipe in its place would hold the reader
}

// create makes a file that was not there, 0444 whatever the umask is.
func (l *lastFolder) create(root *os.Root, name string) (descriptor, error) {
	f, err := l.openFile(root, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL)
	if err != nil || l.exactFile {
		return f, err
	}
	var info unix.Stat_t
	if err := unix.Fstat(int(f), &info); err == nil && info.Mode&0o777 == fileMode {
		l.exactFile = true
		return f, nil
	}
	if err := unix.Fchmod(int(f), fileMode); err != nil {
		f.Close()
		return 0, &os.PathError{Op: "chmod", Path: name, Err: err}
	}
	return f, nil
}

func (l *lastFolder) openFile(root *os.Root, name string, flags int) (descriptor, error) {
	dir, base, err := l.of(root, name)
	if err != nil {
		return 0, err
	}
	for {
		fd, err := unix.Openat(dir, base, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, fileMode)
		switch err {
		case nil:
			return descriptor(fd), nil
		case unix.EINTR: // on network and user space file systems
		default:
			return 0, &os.PathError{Op: "openat", Path: base, Err: err}
		}
	}
}

// mkdir makes a folder that was not there, 0755 whatever the umask is.
func (l *lastFolder) mkdir(root *os.Root, name string) error {
	dir, base, err := l.of(root, name)
	if err != nil {
		return err
	}
	if err := unix.Mkdirat(dir, base, folderMode); err != nil {
		return &os.PathError{Op: "mkdirat", Path: base, Err: err}
	}
	if l.exactFolder {
		return nil
	}
	var info unix.Stat_t
	if err := unix.Fstatat(dir, base, &info, unix.AT_SYMLINK_NOFOLLOW); err == nil && info.Mode&0o777 == folderMode {
		l.exactFolder = true
		return nil
	}
	if err := unix.Fchmodat(dir, base, folderMode, 0); err != nil {
		return &os.PathError{Op: "chmod", Path: base, Err: err}
	}
	return nil
}

// leave closes the folder below the root.
func (l *lastFolder) leave() {
	if l.dir != 0 {
		l.dir.Close()
		l.dir = 0
	}
}

func (l *lastFolder) close() {
	l.leave()
	if l.top != nil {
		l.top.Close()
		l.top, l.root = nil, nil
	}
}
