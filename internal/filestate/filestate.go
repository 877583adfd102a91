// Package filestate tells whether a file has changed since it was read, without
// reading it again.
package filestate

import (
	"os"
	"syscall"
	"time"
)

// State changes with every write to a file, and with a file put in its place. The
// zero State is that of a file of which it cannot be told; it equals itself only.
type State struct {
	inode   uint64
	changed int64 // seconds
	nanos   int64
	ahead   bool // the clock has not come to changed yet: it was set back
}

// Of returns the state of a file.
func Of(info os.FileInfo) State {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return State{}
	}
	sec, nsec := st.Ctim.Unix()
	return State{st.Ino, sec, nsec, time.Now().Before(time.Unix(sec, nsec))}
}

// Settled says whether a write from now on would show: the clock of a file system
// is coarse, and one that came soon enough would leave no trace. What was read of a
// file in a state that is not settled must be read again the next time.
//
// A file that has changed in the future is settled as well, or else it would be read
// again until the clock is there. A write from now on is dated earlier. One that comes
// when the clock shows that very time again is not missed either: what is no more ahead
// is another state.
func (s State) Settled() bool {
	return s != State{} && time.Since(time.Unix(s.changed, s.nanos)).Abs() > time.Second
}
