package powerloss

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// saboteur has calls that concern a folder fail, as a bad or full disk would.
type saboteur struct {
	dir   string
	errno unix.Errno
	from  int  // the number of the first call that fails, counted from 1; 0: none
	stays bool // all calls after it fail, too

	calls int
	first string // what failed first
}

// descriptorCalls have a descriptor as their first argument, pathCalls a folder's
// descriptor and a path, at the place given. What only looks is in neither list
// for ENOSPC.
var (
	descriptorCalls = map[uint64]string{
		unix.SYS_WRITE: "write", unix.SYS_PWRITE64: "pwrite", unix.SYS_FTRUNCATE: "ftruncate", unix.SYS_FALLOCATE: "fallocate",
		unix.SYS_FSYNC: "fsync", unix.SYS_FDATASYNC: "fdatasync", unix.SYS_SYNCFS: "syncfs", unix.SYS_FCHMOD: "fchmod",
	}
	readingCalls = map[uint64]string{
		unix.SYS_READ: "read", unix.SYS_PREAD64: "pread", unix.SYS_GETDENTS64: "getdents", unix.SYS_FSTAT: "fstat", unix.SYS_FSTATFS: "fstatfs",
	}
	pathCalls = map[uint64]struct {
		name string
		at   int
	}{
		unix.SYS_OPENAT: {"open", 0}, unix.SYS_MKDIRAT: {"mkdir", 0}, unix.SYS_UNLINKAT: {"unlink", 0}, unix.SYS_SYMLINKAT: {"symlink", 1},
		unix.SYS_LINKAT: {"link", 2}, unix.SYS_RENAMEAT: {"rename", 2}, unix.SYS_RENAMEAT2: {"rename", 2}, unix.SYS_FCHMODAT: {"chmod", 0},
	}
)

// begin implements observer.
func (s *saboteur) begin(c *call) unix.Errno {
	what := s.describe(c)
	if what == "" {
		return 0
	}
	s.calls++
	if s.from == 0 || s.calls < s.from || s.calls > s.from && !s.stays {
		return 0
	}
	if s.first == "" {
		s.first = what
	}
	return s.errno
}

// end implements observer.
func (s *saboteur) end(*call) bool { return false }

// describe says what a call would do in the folder, "" where that is nothing
// that could fail so.
func (s *saboteur) describe(c *call) string {
	name, ok := descriptorCalls[c.nr]
	if !ok && s.errno == unix.EIO {
		name, ok = readingCalls[c.nr]
	}
	if ok {
		return s.below(name, s.descriptor(c, c.args[0]))
	}
	p, ok := pathCalls[c.nr]
	if !ok || c.nr == unix.SYS_OPENAT && s.errno != unix.EIO && c.args[2]&unix.O_CREAT == 0 || c.nr == unix.SYS_UNLINKAT && s.errno != unix.EIO {
		return ""
	}
	path, err := c.text(c.args[p.at+1])
	if err != nil {
		return ""
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(s.descriptor(c, c.args[p.at]), path)
	}
	return s.below(p.name, path)
}

func (s *saboteur) below(name, path string) string {
	if path != s.dir && !strings.HasPrefix(path, s.dir+"/") {
		return ""
	}
	return name + " " + strings.TrimPrefix(path, s.dir)
}

func (s *saboteur) descriptor(c *call, fd uint64) string {
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", c.pid, int32(fd)))
	if err != nil {
		return ""
	}
	return path
}
