package store

import (
	"os"
	"sync"
	"syscall"
	"time"
)

// vouchFrom is the size above which who serves a file does not have it in memory as a
// whole, and so cannot hold it against its published sha256 each time.
const vouchFrom = 256 << 10

// vouchers are the large files of a tree that were read, to their ends, since
// anything last changed on them: each is, before its first byte goes out, but not
// again at each request.
type vouchers struct {
	mu    sync.Mutex
	files map[int32]*voucher
}

type voucher struct {
	mu   sync.Mutex // who comes while the file is read waits for it
	seen fileState
}

// fileState changes with every write to a file, and with a file put in its place.
type fileState struct {
	inode        uint64
	changed      int64
	changedNanos int64
}

func (v *vouchers) of(rec int32) *voucher {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.files == nil {
		v.files = make(map[int32]*voucher)
	}
	if v.files[rec] == nil {
		v.files[rec] = &voucher{}
	}
	return v.files[rec]
}

// vouch says whether an open file holds what was published.
func (t *tree) vouch(rec int32, f *os.File, info os.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return hashFile(f) == t.records[rec].sum
	}
	now := fileState{st.Ino, int64(st.Ctim.Sec), int64(st.Ctim.Nsec)}
	v := t.vouchers.of(rec)
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.seen == now {
		return true
	}
	if hashFile(f) != t.records[rec].sum {
		return false
	}
	// The clock of a file system is coarse: another write so soon would leave no trace.
	if time.Since(time.Unix(now.changed, now.changedNanos)) > time.Second {
		v.seen = now
	}
	return true
}
