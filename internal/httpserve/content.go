package httpserve

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/variant"
)

// content is the bytes of a form: a whole body in memory, or an open file.
type content struct {
	body []byte
	file *os.File
	sum  [sha256.Size]byte // of the bytes
}

func (c *content) close() {
	if c.file != nil {
		_ = c.file.Close() // nothing was written to it
	}
}

// errRemade is the error of a variant that was made anew, by another encoder,
// between the choice of its ETag and the reading of its bytes.
var errRemade = errors.New("the variant is another one by now")

func (s *Server) open(view *store.View, entry store.Entry, form form) (*content, error) {
	if form.size > maxCached {
		c := &content{sum: entry.Sum}
		var err error
		if form.coding == variant.Identity {
			c.file, err = view.Open(entry)
		} else if c.file, c.sum, err = s.opts.Variants.Open(entry.Sum, form.coding); err == nil && variant.TagOf(c.sum) != form.tag {
			c.close()
			err = errRemade
		}
		return c, err
	}
	key := cacheKey{entry.Sum, form.coding, form.tag}
	if s.cache != nil {
		if hit, ok := s.cache.get(key); ok {
			s.metrics.cacheHits.Inc()
			return &content{body: hit.body, sum: hit.sum}, nil
		}
		s.metrics.cacheMisses.Inc()
	}
	read := &cached{sum: entry.Sum}
	var err error
	if form.coding == variant.Identity {
		read.body, err = readChecked(view, entry)
	} else if read.body, read.sum, err = s.opts.Variants.Read(entry.Sum, form.coding); err == nil && variant.TagOf(read.sum) != form.tag {
		err = errRemade
	}
	if err != nil {
		return nil, err
	}
	if s.cache != nil {
		s.cache.put(key, read)
	}
	return &content{body: read.body, sum: read.sum}, nil
}

// readChecked reads a small file and holds it against its published sha256.
func readChecked(view *store.View, entry store.Entry) ([]byte, error) {
	f, err := view.Open(entry)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	body := make([]byte, entry.Size)
	if _, err := io.ReadFull(f, body); err != nil {
		return nil, fmt.Errorf("read %q: %w", f.Name(), err)
	}
	if sha256.Sum256(body) != entry.Sum {
		return nil, fmt.Errorf("read %q: %w: its sha256 is not the published one", f.Name(), store.ErrDamaged)
	}
	return body, nil
}
