package store

import (
	"os"

	"golang.org/x/sys/unix"
)

// descriptor is an open file or folder, less what os.File does for it: a question
// to the kernel whether it can be polled, a finalizer, and locks. Of thousands of
// small files that is a tenth of what they cost. Who has one must Close it.
type descriptor int

// Write writes all of b.
func (d descriptor) Write(b []byte) (n int, err error) {
	for n < len(b) {
		m, err := unix.Write(int(d), b[n:])
		switch {
		case err == unix.EINTR: // on network and user space file systems
		case err != nil:
			return n, os.NewSyscallError("write", err)
		default:
			n += m
		}
	}
	return n, nil
}

// readOnce reads as much as one call gives: all that there is or fits, of a file of a
// local disk.
func (d descriptor) readOnce(b []byte) (n int, err error) {
	for {
		n, err = unix.Read(int(d), b)
		if err != unix.EINTR {
			return max(n, 0), os.NewSyscallError("read", err)
		}
	}
}

// Close reports what network file systems tell of earlier writes only then.
func (d descriptor) Close() error { return os.NewSyscallError("close", unix.Close(int(d))) }
