package httpserve

import (
	"crypto/sha256"
	"errors"
	"io"
	"os"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/variant"
)

// content is the bytes of a form: a whole body in memory, or an open file.
type content struct {
	body   []byte
	buffer *buffer // where the body is, if it is one of the pool
	file   *os.File
	sum    [sha256.Size]byte // of the bytes
}

// reader reads the open file of a large body, which has size bytes.
func (c *content) reader(size int64) io.ReadSeeker {
	return io.NewSectionReader(wholeFile{c.file}, 0, size)
}

// wholeFile is a file of which nothing is read that it should not have: its end is a
// fault like any other.
type wholeFile struct{ io.ReaderAt }

func (f wholeFile) ReadAt(p []byte, offset int64) (int, error) {
	n, err := f.ReaderAt.ReadAt(p, offset)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// close ends the use of the content; unsent where a Write of it failed.
func (c *content) close(unsent bool) {
	if c.file != nil {
		_ = c.file.Close() // nothing was written to it
	}
	if c.buffer != nil && !unsent {
		c.buffer.give()
	}
}

// errRemade is the error of a variant that was made anew, by another encoder,
// between the choice of its ETag and the reading of its bytes.
var errRemade = errors.New("the variant is another one by now")

func (s *Server) open(view *store.View, entry store.Entry, form form) (content, error) {
	if form.size > maxCached {
		return s.openLarge(view, entry, form)
	}
	buffer := takeBuffer(form.size)
	c := content{body: buffer.bytes[:form.size], buffer: buffer}
	key := cacheKey{entry.Sum, form.coding, form.tag}
	if s.cache != nil {
		var hit bool
		if c.sum, hit = s.cache.get(key, c.body); hit {
			s.metrics.cacheHits.Inc()
			return c, nil
		}
		s.metrics.cacheMisses.Inc()
	}
	var err error
	if form.coding == variant.Identity {
		c.sum, err = entry.Sum, view.Read(entry, c.body)
	} else {
		c.close(false)
		c.buffer = nil
		if c.body, c.sum, err = s.opts.Variants.Read(entry.Sum, form.coding); err == nil && variant.TagOf(c.sum) != form.tag {
			err = errRemade
		}
	}
	if err != nil {
		c.close(false)
		return content{}, err
	}
	if s.cache != nil {
		s.cache.put(key, c.body, c.sum)
	}
	return c, nil
}

func (s *Server) openLarge(view *store.View, entry store.Entry, form form) (content, error) {
	c := content{sum: entry.Sum}
	var err error
	if form.coding == variant.Identity {
		c.file, err = view.Open(entry)
	} else if c.file, c.sum, err = s.opts.Variants.Open(entry.Sum, form.coding); err == nil && variant.TagOf(c.sum) != form.tag {
		c.close(false)
		err = errRemade
	}
	return c, err
}
