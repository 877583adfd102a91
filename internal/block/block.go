// Package block makes the blocks of memory that contents are moved in.
package block

import "golang.org/x/sys/unix"

// New returns a zeroed block, of 32 KiB or more, that is there at once: the kernel
// maps its pages by one call, where it would otherwise be entered for each page
// that is written to for the first time. A block of 256 KiB has 64 of them, and on
// a virtual machine that is entered in turn each costs as much as copying a file.
func New(size int) []byte {
	b := make([]byte, size)
	// Advice: kernels before 5.14 do not know it, and map page by page.
	_ = unix.Madvise(b, unix.MADV_POPULATE_WRITE)
	return b
}
