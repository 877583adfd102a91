package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/specman/specman/internal/block"
)

const (
	blockSize   = 256 << 10
	blockCount  = 8 // 2 MiB in all, whatever the archive
	writerCount = 2
	batchFiles  = 64 // so that files without content are written too while the archive is read
	// checkEvery is how many bytes may be written between two looks at the free space,
	// at most: of what is left above the reserve, a quarter.
	checkEvery = 8 << 20
	checkLeast = 64 << 10
	// flushFirst is how many bytes may be written before the kernel is told to
	// write them out, then twice as many as the time before, up to flushEvery:
	// of a small tree too, most is on the disk when the last file is.
	flushFirst = 4 << 20
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
	check func() (room int64, err error)

	jobs    chan job
	free    chan []byte    // blocks that were used, to be used again
	unused  chan struct{}  // one for each block that is still to be made
	batch   batch          // small files that no job has yet; of the goroutine that calls write
	pending sync.WaitGroup // jobs not done
	running sync.WaitGroup // goroutines not ended

	mu        sync.Mutex
	err       error
	written   int64 // since the last check
	checkAt   int64 // how many of them are enough for another
	unflushed int64 // since the last early flush
	flushAt   int64 // how many of them are too many
	flushing  bool
}

// job is what one goroutine writes: some small files, or a large one.
type job struct {
	batch
	large largeFile
}

// batch is small files whose contents share a block: to hand each over by itself
// costs more than to write it.
type batch struct {
	block []byte // nil: there is none yet
	files []smallFile
}

type smallFile struct {
	name    string
	content []byte // within the block
	sum     *[sha256.Size]byte
}

// largeFile is one whose content comes in blocks, which go back to the pool.
type largeFile struct {
	name   string
	blocks chan []byte // nil: it is none
	sum    *[sha256.Size]byte
}

func startWriters(root *os.Root, reuse *reuse, check func() (room int64, err error)) *writers {
	w := &writers{root: root, reuse: reuse, check: check, flushAt: flushFirst, jobs: make(chan job), free: make(chan []byte, blockCount), unused: make(chan struct{}, blockCount)}
	for range blockCount {
		w.unused <- struct{}{}
	}
	for range writerCount {
		w.running.Go(w.run)
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
	if size > blockSize {
		return w.writeLarge(name, size, content, sum), nil
	}
	if used := len(w.batch.block); w.batch.block != nil && (used+int(size) > blockSize || len(w.batch.files) == batchFiles) {
		w.send()
	}
	if w.batch.block == nil {
		w.batch.block = w.takeBlock()[:0]
	}
	used := len(w.batch.block)
	space := w.batch.block[used : used+int(size)]
	if _, err := io.ReadFull(content, space); err != nil {
		return err, nil
	}
	w.batch.block = w.batch.block[:used+len(space)]
	w.batch.files = append(w.batch.files, smallFile{name, space, sum})
	return nil, nil
}

// send hands over the small files that have come together.
func (w *writers) send() {
	if w.batch.block == nil {
		return
	}
	w.pending.Add(1)
	w.jobs <- job{batch: w.batch}
	w.batch = batch{}
}

// takeBlock makes a block only where none is free: memory that was never touched
// is dear, and a small tree needs little of it.
func (w *writers) takeBlock() []byte {
	select {
	case b := <-w.free:
		return b[:blockSize]
	default:
	}
	select {
	case b := <-w.free:
		return b[:blockSize]
	case <-w.unused:
		return block.New(blockSize)
	}
}

func (w *writers) writeLarge(name string, size int64, content io.Reader, sum *[sha256.Size]byte) error {
	large := largeFile{name: name, blocks: make(chan []byte, 1), sum: sum}
	defer close(large.blocks)
	sent := false
	for left := size; left > 0; {
		b := w.takeBlock()
		b = b[:min(left, blockSize)]
		if _, err := io.ReadFull(content, b); err != nil {
			w.free <- b
			if sent {
				w.fail(fmt.Errorf("%q: %w", name, err)) // the half file must not pass for a whole one
			}
			return err
		}
		left -= int64(len(b))
		large.blocks <- b
		if !sent {
			sent = true
			w.pending.Add(1)
			w.jobs <- job{large: large}
		}
	}
	return nil
}

// wait returns when all that was given to write is written.
func (w *writers) wait() error {
	w.send()
	w.pending.Wait()
	return w.failure()
}

// close waits, and ends the goroutines.
func (w *writers) close() error {
	w.send()
	close(w.jobs)
	w.running.Wait()
	w.reuse.close()
	return w.failure()
}

// writer is what one of the goroutines has for itself.
type writer struct {
	*writers
	into lastFolder
	held heldFiles
}

// run does jobs until there are no more. After an error it only takes them.
func (w *writers) run() {
	one := writer{writers: w, held: heldFiles{reuse: w.reuse}}
	defer one.into.close()
	defer one.held.close()
	for j := range w.jobs {
		if j.large.blocks != nil {
			one.putLarge(j.large)
		} else {
			for _, f := range j.files {
				if w.failure() != nil {
					break
				}
				if err := one.putSmall(f); err != nil {
					w.fail(fmt.Errorf("%q: %w", f.name, err))
				}
			}
			w.free <- j.block
		}
		w.pending.Done()
	}
}

// putSmall takes the sum of a file and writes it, or links it to the same content
// of a tree that is held.
func (w *writer) putSmall(f smallFile) error {
	*f.sum = sha256.Sum256(f.content)
	if w.held.link(*f.sum, f.content, w.root, f.name, &w.into) {
		return nil
	}
	file, err := w.into.create(w.root, f.name)
	if err != nil {
		return err
	}
	if _, err = file.Write(f.content); err == nil {
		err = w.count(len(f.content))
	}
	return errors.Join(err, file.Close())
}

// putLarge writes a file as its blocks come, and takes its sum.
func (w *writer) putLarge(f largeFile) {
	err := w.failure()
	var file descriptor
	if err == nil {
		file, err = w.into.create(w.root, f.name)
	}
	sum := sha256.New()
	for b := range f.blocks {
		if err == nil {
			sum.Write(b)
			_, err = file.Write(b)
		}
		if err == nil {
			err = w.count(len(b))
		}
		w.free <- b
	}
	sum.Sum(f.sum[:0])
	if file != 0 {
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		w.fail(fmt.Errorf("%q: %w", f.name, err))
		return
	}
	w.reuse.linkLarge(*f.sum, f.name)
}

// count looks at the free space, and has the kernel write out what is there,
// now and then.
func (w *writers) count(n int) error {
	w.mu.Lock()
	w.written += int64(n)
	due := w.written >= w.checkAt
	if due {
		w.written, w.checkAt = 0, checkEvery // until the check says how soon
	}
	if w.unflushed += int64(n); w.unflushed >= w.flushAt && !w.flushing {
		w.unflushed, w.flushing = 0, true
		w.flushAt = min(2*w.flushAt, flushEvery)
		w.running.Go(w.flushEarly)
	}
	w.mu.Unlock()
	if !due {
		return nil
	}
	room, err := w.check()
	w.mu.Lock()
	w.checkAt = min(max(room/4, checkLeast), checkEvery)
	w.mu.Unlock()
	return err
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
