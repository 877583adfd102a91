package variant

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// File is a content of which variants may be wanted.
type File struct {
	Sum  [sha256.Size]byte
	Size int64
	Open func() (io.ReadCloser, error)
}

// Levels at which more work buys little. The window bounds
// the memory of a zstd encoder here and of every decoder there.
const (
	gzipLevel  = 6
	zstdLevel  = zstd.SpeedDefault // zstd's 3
	zstdWindow = 1 << 20
)

// Worth at most this much of the identity's size is a variant kept.
const worth = 0.9

// syncEvery is how often what was made is made durable. A crash of the machine
// loses the work since; one of the process loses none.
const syncEvery = 5 * time.Second

// Make makes the variants of all files of which nothing is known yet, one after
// the other, until ctx ends. It works for half of one processor's time at most.
// A file that cannot be read or does not have its sum is passed over. It
// returns an error where it cannot go on: ctx's, or that of the folder.
func (s *Store) Make(ctx context.Context, files iter.Seq[File]) (err error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	var m *maker // none where nothing is to be made, as at most starts: it is some MiB
	defer func() { err = errors.Join(err, s.index.Sync()) }()
	synced := time.Now()
	for f := range files {
		if _, known := s.Find(f.Sum); known {
			continue
		}
		if m == nil {
			if m, err = s.newMaker(ctx); err != nil {
				return err
			}
		}
		if err := m.make(f); err != nil {
			return err
		}
		if time.Since(synced) > syncEvery {
			if err := s.index.Sync(); err != nil {
				return fmt.Errorf("write the index of variants: %w", err)
			}
			synced = time.Now()
		}
	}
	return ctx.Err()
}

// maker is the tools of one Make.
type maker struct {
	*Store
	ctx    context.Context
	gzip   *gzip.Writer
	zstd   *zstd.Encoder
	block  []byte
	worked time.Duration // since it rested last
}

func (s *Store) newMaker(ctx context.Context) (*maker, error) {
	m := &maker{Store: s, ctx: ctx, block: make([]byte, 32<<10)}
	var err error
	if m.gzip, err = gzip.NewWriterLevel(nil, gzipLevel); err != nil {
		return nil, err
	}
	m.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstdLevel), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(zstdWindow), zstd.WithLowerEncoderMem(true))
	return m, err
}

// make makes and notes the variants of one file.
func (m *maker) make(f File) error {
	if err := m.opts.Space(f.Size); err != nil {
		return err
	}
	var coded [len(codings)]output
	for n, c := range codings {
		if err := coded[n].create(m.path(filepath.Join("tmp", "new"+c.extension()))); err != nil {
			return fmt.Errorf("make a variant: %w", err)
		}
		defer coded[n].file.Close() // a second time, where all went well
	}
	ok, err := m.encode(f, &coded)
	if err != nil || !ok {
		return err
	}
	var set Set
	for n, c := range codings {
		if err := coded[n].file.Close(); err != nil {
			return fmt.Errorf("make a variant: %w", err)
		}
		if size := coded[n].size; float64(size) <= worth*float64(f.Size) && size > 0 && size <= math.MaxUint32 {
			set[n] = Variant{Size: size, Tag: TagOf([sha256.Size]byte(coded[n].sum.Sum(nil)))}
			if err := m.keep(coded[n].file.Name(), m.file(f.Sum, c)); err != nil {
				return err
			}
		}
	}
	if _, err := m.index.Write(formatLine(f.Sum, set)); err != nil {
		return fmt.Errorf("write the index of variants: %w", err)
	}
	m.mu.Lock()
	m.facts.add(newFact(f.Sum, set))
	m.mu.Unlock()
	return nil
}

func (m *maker) keep(temp, path string) error {
	m.large.Delete(path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("keep a variant: %w", err)
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("keep a variant: %w", err)
	}
	return nil
}

// encode reads the file once and writes all codings of it. It is not ok where
// the file is not what it should be, for which others have an ear.
func (m *maker) encode(f File, coded *[len(codings)]output) (ok bool, err error) {
	r, err := f.Open()
	if err != nil {
		return false, nil
	}
	defer r.Close()
	m.gzip.Reset(&coded[0])
	m.zstd.Reset(&coded[1])
	sum, size := sha256.New(), int64(0)
	for {
		start := time.Now()
		n, readErr := r.Read(m.block)
		sum.Write(m.block[:n])
		size += int64(n)
		_, gzipErr := m.gzip.Write(m.block[:n])
		_, zstdErr := m.zstd.Write(m.block[:n])
		if readErr == io.EOF {
			gzipErr, zstdErr = errors.Join(gzipErr, m.gzip.Close()), errors.Join(zstdErr, m.zstd.Close())
		}
		if err := errors.Join(gzipErr, zstdErr); err != nil {
			return false, fmt.Errorf("make a variant: %w", err)
		}
		if readErr == io.EOF {
			return size == f.Size && [sha256.Size]byte(sum.Sum(nil)) == f.Sum, nil
		}
		if readErr != nil {
			return false, nil
		}
		if err := m.rest(time.Since(start)); err != nil {
			return false, err
		}
	}
}

// rest leaves the processor to others for as long as it was used. In between
// it yields after each block: a request waits for a fraction of a millisecond.
func (m *maker) rest(worked time.Duration) error {
	runtime.Gosched()
	if m.worked += worked; m.worked < 5*time.Millisecond {
		return m.ctx.Err()
	}
	defer func() { m.worked = 0 }()
	select {
	case <-time.After(m.worked):
		return nil
	case <-m.ctx.Done():
		return m.ctx.Err()
	}
}

// output is a coded form that is being written.
type output struct {
	file *os.File
	sum  hash.Hash
	size int64
}

func (o *output) create(path string) (err error) {
	o.file, err = os.Create(path)
	o.sum = sha256.New()
	return err
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.file.Write(p)
	o.sum.Write(p[:n])
	o.size += int64(n)
	return n, err
}
