package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	blockSize   = 256 << 10
	blockCount  = 8 // 2 MiB in all, whatever the archive
	writerCount = 2
	// checkEvery is how many bytes may be written between two looks at the
	// free space.
	checkEvery = 64 << 20
	// flushEvery is how many bytes may be written before the kernel is told to
	// write them out.
	flushEvery = 32 << 20
)

// writers put files below a root from a few goroutines, so that reading the
// archive and writing the files overlap. The memory they use is fixed.
//
// One goroutine calls write, wait and close. The first error stays and is
// returned by each later call.
type writers struct {
	root  *os.Root
	reuse *reuse // nil: none
	check func() error

	jobs    chan job
	free    chan []byte
	pending sync.WaitGroup // jobs not done
	running sync.WaitGroup // goroutines not ended

	mu        sync.Mutex
	err       error
	written   int64 // since the last check
	unflushed int64 // since the last early flush
	flushing  bool
}

// job is one file. Its content comes in blocks, which go back to the pool.
type job struct {
	name   string
	size   int64
	blocks chan []byte
	sum    *[sha256.Size]byte
}

func startWriters(root *os.Root, reuse *reuse, check func() error) *writers {
	w := &writers{root: root, reuse: reuse, check: check, jobs: make(chan job), free: make(chan []byte, blockCount)}
	for range blockCount {
		w.free <- nil // allocated when first needed
	}
	for range writerCount {
		w.running.Go(func() {
			for j := range w.jobs {
				if err := w.put(j); err != nil {
					w.fail(fmt.Errorf("%q: %w", j.name, err))
				}
				for b := range j.blocks { // what put did not take
					w.free <- b
				}
				w.pending.Done()
			}
		})
	}
	return w
}

// write reads size bytes of content and has them written to a new file. It
// returns when the content is read; *sum is set when wait returns. What failed
// is told apart: the reading of this content, or the writing of any file.
func (w *writers) write(name string, size int64, content io.Reader, sum *[sha256.Size]byte) (reading, writing error) {
	if err := w.failure(); err != nil {
		return nil, err
	}
	j := job{name: name, size: size, blocks: make(chan []byte, 1), sum: sum}
	w.pending.Add(1)
	defer close(j.blocks)
	sent := false
	for left := size; ; {
		b := <-w.free
		if b == nil {
			b = make([]byte, blockSize)
		}
		b = b[:min(left, blockSize)]
		if _, err := io.ReadFull(content, b); err != nil {
			w.free <- b
			if !sent {
				w.pending.Done()
			} else {
				w.fail(fmt.Errorf("%q: %w", name, err)) // the half file must not pass for a whole one
			}
			return err, nil
		}
		j.blocks <- b
		if !sent {
			sent = true
			w.jobs <- j
		}
		if left -= int64(len(b)); left == 0 {
			return nil, nil
		}
	}
}

// wait returns when all that was given to write is written.
func (w *writers) wait() error {
	w.pending.Wait()
	return w.failure()
}

// close waits, and ends the goroutines.
func (w *writers) close() error {
	close(w.jobs)
	w.running.Wait()
	w.reuse.close()
	return w.failure()
}

// put writes one file and takes its sum.
func (w *writers) put(j job) error {
	if w.failure() != nil {
		return nil
	}
	if j.size <= blockSize {
		return w.putSmall(j)
	}
	f, err := w.create(j.name)
	if err != nil {
		return err
	}
	sum := sha256.New()
	for b := range j.blocks {
		if err == nil {
			sum.Write(b)
			_, err = f.Write(b)
		}
		if err == nil {
			err = w.count(len(b))
		}
		w.free <- b
	}
	sum.Sum(j.sum[:0])
	if err := errors.Join(err, finishFile(f)); err != nil {
		return err
	}
	w.reuse.linkLarge(*j.sum, j.name)
	return nil
}

// putSmall writes a file that is one block, or links it to the same content
// of a tree that is held.
func (w *writers) putSmall(j job) error {
	b := <-j.blocks
	defer func() { w.free <- b }()
	*j.sum = sha256.Sum256(b)
	if w.reuse.link(*j.sum, b, j.name) {
		return nil
	}
	f, err := w.create(j.name)
	if err != nil {
		return err
	}
	if _, err = f.Write(b); err == nil {
		err = w.count(len(b))
	}
	return errors.Join(err, finishFile(f))
}

func (w *writers) create(name string) (*os.File, error) {
	return w.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o444)
}

// finishFile gives the file its mode whatever the umask is.
func finishFile(f *os.File) error {
	return errors.Join(f.Chmod(0o444), f.Close())
}

// count looks at the free space, and has the kernel write out what is there,
// now and then.
func (w *writers) count(n int) error {
	w.mu.Lock()
	w.written += int64(n)
	due := w.written >= checkEvery
	if due {
		w.written = 0
	}
	if w.unflushed += int64(n); w.unflushed >= flushEvery && !w.flushing {
		w.unflushed, w.flushing = 0, true
		w.running.Go(w.flushEarly)
	}
	w.mu.Unlock()
	if due {
		return w.check()
	}
	return nil
}

// flushEarly keeps the disk busy while the archive is read, so that little is
// left for the flush at the end. It flushes many files at a time: telling the
// kernel of each (sync_file_range) cost a fifth of all processor time. This is
// advice only, with a descriptor of its own: what cannot be written is told to
// the flusher's descriptor too, and that one counts.
func (w *writers) flushEarly() {
	if folder, err := w.root.Open("."); err == nil {
		_ = unix.Syncfs(int(folder.Fd()))
		folder.Close()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flushing = false
}

func (w *writers) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
}

func (w *writers) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}
