package variant

import (
	"crypto/sha256"
	"os"
	"syscall"
	"time"
)

// checked is what is known of a large variant that was read to its end.
type checked struct {
	sum   [sha256.Size]byte
	state fileState
}

// fileState changes with every write to a file, and with a file put in its place.
type fileState struct {
	inode   uint64
	changed syscall.Timespec
}

// stateOf is the zero state where it cannot be told.
func stateOf(file *os.File) fileState {
	info, err := file.Stat()
	if err != nil {
		return fileState{}
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fileState{}
	}
	return fileState{st.Ino, st.Ctim}
}

// settled says whether a write from now on would show: the clock of a file system
// is coarse, and one that came soon enough would leave no trace.
func (s fileState) settled() bool {
	return s != fileState{} && time.Since(time.Unix(s.changed.Unix())) > time.Second
}
