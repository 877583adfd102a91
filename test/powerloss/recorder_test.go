package powerloss

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// recorder notes what a traced program does to the files below a folder. It
// knows them by their inode numbers, as the kernel does, so that renames,
// links and descriptors need no bookkeeping.
type recorder struct {
	*history
	dir     string
	now     *disk // as all operations left it
	inodes  map[uint64]*node
	pending map[*call]*operation // of calls that have begun

	// fail is asked before each call that changes or flushes something below the
	// folder whether it is to fail; nil: none does.
	fail func(what string) unix.Errno
	// kill is asked after each operation whether the program is to be killed; it
	// is as soon as no other operation is under way.
	kill   func(op *operation) bool
	doomed bool
	err    error
}

// newRecorder begins the history of a folder that is empty.
func newRecorder(dir string) (*recorder, error) {
	h := newHistory()
	r := &recorder{history: h, dir: dir, now: newDisk(h.root), inodes: make(map[uint64]*node), pending: make(map[*call]*operation)}
	number, err := inodeOf(dir)
	r.inodes[number] = r.root
	return r, err
}

func inodeOf(path string) (uint64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Sys().(*syscall.Stat_t).Ino, nil
}

// begin implements observer.
func (r *recorder) begin(c *call) unix.Errno {
	op, err := r.decode(c)
	if err != nil {
		r.note(fmt.Errorf("call %d of the program: %w", c.nr, err))
	}
	if op == nil {
		return 0
	}
	op.began = len(r.operations)
	if r.fail != nil {
		if errno := r.fail(op.what); errno != 0 {
			return errno
		}
	}
	r.pending[c] = op
	return 0
}

// end implements observer.
func (r *recorder) end(c *call) bool {
	op := r.pending[c]
	delete(r.pending, c)
	if op == nil || c.result < 0 {
		return false
	}
	for n := range op.names {
		e := &op.names[n]
		if e.node == nil {
			continue
		}
		if old := r.now.names[e.place]; c.nr == unix.SYS_OPENAT && old != nil {
			return false // it was there: nothing was made
		}
		if e.node.number == 0 { // made by this call
			e.node = r.node(*e.node)
			r.bind(e.node, c, e.place)
		}
	}
	if op.file != nil && op.data != nil {
		op.data = op.data[:min(int64(len(op.data)), c.result)]
	}
	r.apply(*op)
	r.doomed = r.doomed || r.kill != nil && r.kill(op)
	return r.doomed && len(r.pending) == 0
}

// apply notes an operation that has taken place.
func (r *recorder) apply(op operation) {
	r.add(op)
	r.now.rename(op.names)
	if op.file != nil {
		r.now.content[op.file] = r.content(op.file, len(r.contents[op.file]))
	}
}

// bind remembers the number of a new inode.
func (r *recorder) bind(n *node, c *call, at place) {
	path := fmt.Sprintf("/proc/%d/fd/%d", c.pid, c.result)
	if c.nr != unix.SYS_OPENAT {
		for known, folder := range r.now.tree() {
			if folder == at.folder {
				path = filepath.Join(r.dir, known, at.name)
			}
		}
		if at.folder == r.root {
			path = filepath.Join(r.dir, at.name)
		}
	}
	if n.target != "" {
		return // nothing is ever written to a symlink
	}
	number, err := inodeOf(path)
	r.note(err)
	r.inodes[number] = n
}

func (r *recorder) note(err error) {
	if r.err == nil {
		r.err = err
	}
}

// decode reads from a call that begins what it will do below the folder; nil
// if it is nothing that matters.
func (r *recorder) decode(c *call) (*operation, error) {
	op := &operation{size: -1}
	a := c.args
	switch c.nr {
	case unix.SYS_OPENAT:
		if a[2]&unix.O_CREAT == 0 {
			if a[2]&unix.O_TRUNC != 0 {
				return nil, r.unexpected(c, a[0], a[1], "open with O_TRUNC and without O_CREAT")
			}
			return nil, nil
		}
		at, err := r.place(c, a[0], a[1])
		if at == nil || err != nil {
			return nil, err
		}
		if a[2]&unix.O_TRUNC != 0 && r.now.names[*at] != nil {
			return nil, fmt.Errorf("%s is emptied: nothing of the store may be", at.name)
		}
		op.what, op.names = "create "+r.path(*at), []entry{{*at, &node{}}}
	case unix.SYS_MKDIRAT:
		return r.making(op, "make folder", c, a[0], a[1], &node{folder: true})
	case unix.SYS_SYMLINKAT:
		target, err := c.text(a[0])
		if err != nil {
			return nil, err
		}
		return r.making(op, "symlink", c, a[1], a[2], &node{target: target})
	case unix.SYS_LINKAT:
		from, err := r.place(c, a[0], a[1])
		if from == nil || err != nil {
			return nil, err
		}
		return r.making(op, "link", c, a[2], a[3], r.now.names[*from])
	case unix.SYS_UNLINKAT:
		at, err := r.place(c, a[0], a[1])
		if at == nil || err != nil {
			return nil, err
		}
		op.what, op.names = "remove "+r.path(*at), []entry{{*at, nil}}
	case unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2:
		from, err := r.place(c, a[0], a[1])
		if from == nil || err != nil {
			return nil, err
		}
		to, err := r.place(c, a[2], a[3])
		if to == nil || err != nil {
			return nil, err
		}
		what := "rename "
		var left *node
		if c.nr == unix.SYS_RENAMEAT2 && a[4]&unix.RENAME_EXCHANGE != 0 {
			what, left = "exchange ", r.now.names[*to]
		} else if r.now.names[*from] == r.now.names[*to] {
			return nil, nil // two names of one file: POSIX has nothing happen
		}
		op.what, op.names = what+r.path(*from)+" → "+r.path(*to), []entry{{*from, left}, {*to, r.now.names[*from]}}
	case unix.SYS_WRITE, unix.SYS_PWRITE64:
		if op.file = r.descriptor(c, a[0]); op.file == nil {
			return nil, nil
		}
		op.off = int64(a[3])
		if c.nr == unix.SYS_WRITE {
			var err error
			if op.off, err = position(c, a[0]); err != nil {
				return nil, err
			}
		}
		var err error
		if op.data, err = c.memory(a[1], a[2]); err != nil {
			return nil, err
		}
		op.what = fmt.Sprintf("write %d bytes to file %d", len(op.data), op.file.number)
	case unix.SYS_FTRUNCATE:
		if op.file = r.descriptor(c, a[0]); op.file == nil {
			return nil, nil
		}
		op.size, op.what = int64(a[1]), fmt.Sprintf("cut file %d to %d bytes", op.file.number, a[1])
	case unix.SYS_FALLOCATE:
		if op.file = r.descriptor(c, a[0]); op.file == nil {
			return nil, nil
		}
		op.size = max(int64(a[2]+a[3]), int64(len(r.now.holds(op.file).data)))
		op.what = fmt.Sprintf("set aside %d bytes for file %d", op.size, op.file.number)
	case unix.SYS_FSYNC, unix.SYS_FDATASYNC:
		if op.covers = r.descriptor(c, a[0]); op.covers == nil {
			return nil, nil
		}
		op.flush, op.what = true, fmt.Sprintf("fsync node %d", op.covers.number)
	case unix.SYS_SYNCFS:
		op.flush, op.what = r.descriptor(c, a[0]) != nil, "syncfs"
		if !op.flush {
			return nil, nil
		}
	case unix.SYS_TRUNCATE, unix.SYS_PWRITEV, unix.SYS_WRITEV, unix.SYS_COPY_FILE_RANGE, unix.SYS_MKNODAT:
		// Where it concerned the folder, the comparison at the end would find it.
		return nil, nil
	default:
		return nil, nil
	}
	return op, nil
}

// making completes an operation that gives a node a new name.
func (r *recorder) making(op *operation, what string, c *call, folder, name uint64, n *node) (*operation, error) {
	at, err := r.place(c, folder, name)
	if at == nil || err != nil {
		return nil, err
	}
	op.what, op.names = what+" "+r.path(*at), []entry{{*at, n}}
	return op, nil
}

// unexpected is an error if a path is in the folder.
func (r *recorder) unexpected(c *call, folder, name uint64, what string) error {
	at, err := r.place(c, folder, name)
	if at != nil && err == nil {
		err = fmt.Errorf("%s: %s", at.name, what)
	}
	return err
}

// place finds the folder of a path; nil if it is none that is recorded.
func (r *recorder) place(c *call, folder, name uint64) (*place, error) {
	path, err := c.text(name)
	if err != nil {
		return nil, err
	}
	if !filepath.IsAbs(path) {
		base := fmt.Sprintf("/proc/%d/cwd", c.pid)
		if int32(folder) != unix.AT_FDCWD {
			base = fmt.Sprintf("/proc/%d/fd/%d", c.pid, int32(folder))
		}
		path = base + "/" + path // not cleaned: fd/7/.. is not fd
	}
	path = strings.TrimRight(path, "/")
	cut := strings.LastIndexByte(path, '/')
	number, err := inodeOf(path[:cut+1])
	if err != nil {
		return nil, nil // the call will fail, too
	}
	n := r.inodes[number]
	if n == nil || !n.folder || !r.sameDevice(path[:cut+1]) {
		return nil, nil
	}
	return &place{n, path[cut+1:]}, nil
}

// descriptor is the recorded node that a descriptor stands for.
func (r *recorder) descriptor(c *call, fd uint64) *node {
	path := fmt.Sprintf("/proc/%d/fd/%d", c.pid, int32(fd))
	number, err := inodeOf(path)
	if err != nil || !r.sameDevice(path) {
		return nil
	}
	return r.inodes[number]
}

func (r *recorder) sameDevice(path string) bool {
	var here, there unix.Stat_t
	return unix.Stat(r.dir, &here) == nil && unix.Stat(path, &there) == nil && here.Dev == there.Dev
}

// path is where a place is, for people.
func (r *recorder) path(p place) string {
	if p.folder == r.root {
		return p.name
	}
	for known, n := range r.now.tree() {
		if n == p.folder {
			return filepath.Join(known, p.name)
		}
	}
	return "?/" + p.name
}

// position is where a descriptor's next write goes.
func position(c *call, fd uint64) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", c.pid, int32(fd)))
	if err != nil {
		return 0, err
	}
	pos, _, _ := strings.Cut(strings.TrimPrefix(string(b), "pos:\t"), "\n")
	return strconv.ParseInt(pos, 10, 64)
}
