package store

import (
	"os"
	"sync"

	"github.com/specman/specman/internal/filestate"
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
	seen filestate.State
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

// vouch compares an open file with what was published, if anything may have changed on
// it since it was last done. Its error is that of compare.
func (t *tree) vouch(rec int32, f *os.File, info os.FileInfo) error {
	now := filestate.Of(info)
	settled := now.Settled()
	v := t.vouchers.of(rec)
	v.mu.Lock()
	defer v.mu.Unlock()
	if settled && v.seen == now {
		return nil
	}
	if err := compare(f, t.records[rec].sum); err != nil {
		return err
	}
	if settled {
		v.seen = now
	}
	return nil
}
