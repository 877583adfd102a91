package store

import (
	"os"

	"golang.org/x/sys/unix"
)

// spread lets each tree that is begun in folder lie in a part of the disk of its own
// (FS_TOPDIR_FL, see chattr(1); ext2 to ext4, without effect elsewhere). Otherwise it
// lies by the trees before it, and where one of them was removed in the last five
// minutes, an ext4 without a journal looks at all inodes that this gave back, for each
// new file again. It is a matter of speed only: what fails is left as it is.
func spread(folder string) {
	if fileSystem(folder) != unix.EXT4_SUPER_MAGIC { // ext2's and ext3's too
		return
	}
	f, err := os.Open(folder)
	if err != nil {
		return
	}
	defer f.Close()
	if flags, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS); err == nil && flags&topDir == 0 {
		_ = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, int(flags|topDir))
	}
}

// topDir is the kernel's FS_TOPDIR_FL (linux/fs.h).
const topDir = 0x00020000
