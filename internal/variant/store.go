package variant

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/specman/specman/internal/filestate"
)

// Options say where variants are kept.
type Options struct {
	Dir string // made if it is not there; nobody else writes there
	// Space refuses to make a variant that would need too much of the volume;
	// nil refuses none.
	Space  func(bytes int64) error
	Logger *slog.Logger // nil: none
	// Forgotten is called where a variant turned out to be of no use, and its
	// content is for the next Make again. It must not wait. nil tells nobody.
	Forgotten func()
}

// Store is a folder of variants. Find, Read and Open are safe for concurrent
// use with everything; Make and Keep wait for each other.
type Store struct {
	opts  Options
	facts facts

	changing sync.Mutex // held by Make and Keep
	index    *os.File   // open for appending
	mu       sync.Mutex // held while facts change

	large sync.Map // string (path) → checked: large variants that this process has read
}

// checked is what is known of a large variant that was read to its end.
type checked struct {
	sum   [sha256.Size]byte
	state filestate.State
}

// ErrNone is wrapped where there is no such variant, or none that can be used.
var ErrNone = errors.New("no such variant")

// Open takes the folder. It reads the index, not the variants.
func Open(opts Options) (*Store, error) {
	if opts.Space == nil {
		opts.Space = func(int64) error { return nil }
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Forgotten == nil {
		opts.Forgotten = func() {}
	}
	s := &Store{opts: opts}
	if err := os.RemoveAll(s.path("tmp")); err != nil {
		return nil, fmt.Errorf("open the folder of variants: %w", err)
	}
	if err := os.MkdirAll(s.path("tmp"), 0o755); err != nil {
		return nil, fmt.Errorf("open the folder of variants: %w", err)
	}
	var all []fact
	if info, err := os.Stat(s.path("index")); err == nil {
		all = make([]fact, 0, int(info.Size())/shortestLine+1)
	}
	if err := readIndex(s.path("index"), func(sum [sha256.Size]byte, set Set) { all = append(all, newFact(sum, set)) }); err != nil {
		return nil, err
	}
	s.facts.replace(all)
	return s, s.openIndex()
}

// openIndex opens the index for appending, after a torn last line if need be.
func (s *Store) openIndex() error {
	index, err := os.OpenFile(s.path("index"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("open the index of variants: %w", err)
	}
	if info, err := index.Stat(); err == nil && info.Size() > 0 {
		last := make([]byte, 1)
		if _, err := index.ReadAt(last, info.Size()-1); err == nil && last[0] != '\n' {
			_, _ = index.WriteString("\n") // if it fails, one more line will not check
		}
	}
	s.index = index
	return nil
}

// Close ends the use of the store. Make must have returned.
func (s *Store) Close() error {
	s.changing.Lock()
	defer s.changing.Unlock()
	return errors.Join(s.index.Sync(), s.index.Close())
}

func (s *Store) path(name string) string { return filepath.Join(s.opts.Dir, name) }

func (s *Store) file(sum [sha256.Size]byte, c Coding) string {
	name := hex.EncodeToString(sum[:])
	return filepath.Join(s.opts.Dir, name[:2], name+c.extension())
}

// sumOf is file backwards: the sum in a file's name.
func sumOf(name string) (sum [sha256.Size]byte, ok bool) {
	stem, _, _ := strings.Cut(name, ".")
	return sum, parseHex(sum[:], []byte(stem))
}

// Find returns the variants of the content with that sha256; ok is false where
// nothing is known of it yet. It takes no lock and touches no file.
func (s *Store) Find(sum [sha256.Size]byte) (set Set, ok bool) {
	f, ok := s.facts.find(keyOf(sum))
	return f.set(), ok
}

// Read returns a whole variant, checked, and its sha256. An error means that
// there is none: the file is to be served as it is.
func (s *Store) Read(sum [sha256.Size]byte, c Coding) (body []byte, bodySum [sha256.Size]byte, err error) {
	file, want, _, err := s.find(sum, c)
	if err != nil {
		return nil, bodySum, err
	}
	defer file.Close()
	body = make([]byte, want.Size)
	if _, err = io.ReadFull(file, body); err == nil {
		if bodySum = sha256.Sum256(body); TagOf(bodySum) != want.Tag {
			err = errors.New("its bytes are not those that were made")
		}
	}
	if err != nil {
		return nil, bodySum, s.forget(sum, file.Name(), err)
	}
	return body, bodySum, nil
}

// Open opens a variant that is too large to be read whole, and returns its
// sha256. It reads the file to check it, the first time in the life of a process
// and when anything has changed on it since.
func (s *Store) Open(sum [sha256.Size]byte, c Coding) (file *os.File, bodySum [sha256.Size]byte, err error) {
	file, want, state, err := s.find(sum, c)
	if err != nil {
		return nil, bodySum, err
	}
	if known, ok := s.large.Load(file.Name()); ok && known.(checked).state == state {
		return file, known.(checked).sum, nil
	}
	h := sha256.New()
	_, err = io.Copy(h, io.NewSectionReader(file, 0, want.Size))
	bodySum = [sha256.Size]byte(h.Sum(nil))
	if err == nil && TagOf(bodySum) != want.Tag {
		err = errors.New("its bytes are not those that were made")
	}
	if err != nil {
		_ = file.Close() // it was only read
		return nil, bodySum, s.forget(sum, file.Name(), err)
	}
	if state.Settled() {
		s.large.Store(file.Name(), checked{bodySum, state})
	}
	return file, bodySum, nil
}

// Forget has a variant made anew of which Open gave a file that could not be read to
// its end.
func (s *Store) Forget(sum [sha256.Size]byte, c Coding, cause error) {
	_ = s.forget(sum, s.file(sum, c), cause) // it is the cause, for who was to be given the variant
}

func (s *Store) find(sum [sha256.Size]byte, c Coding) (file *os.File, want Variant, state filestate.State, err error) {
	set, ok := s.Find(sum)
	want, has := set.Get(c)
	if !ok || !has {
		return nil, want, state, fmt.Errorf("%x in %s: %w", sum, c, ErrNone)
	}
	path := s.file(sum, c)
	file, err = os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, want, state, s.forget(sum, path, err)
	}
	if err != nil {
		return nil, want, state, fmt.Errorf("%w: %w", ErrNone, err)
	}
	info, err := file.Stat()
	if err != nil || info.Size() != want.Size {
		_ = file.Close() // it was only read
		return nil, want, state, s.forget(sum, path, errors.New("its size is not that which was made"))
	}
	return file, want, filestate.Of(info), nil
}

// forget drops what is known of a content of which a variant cannot be used, so
// that the next Make makes it anew.
func (s *Store) forget(sum [sha256.Size]byte, path string, cause error) error {
	s.mu.Lock()
	s.facts.remove(keyOf(sum))
	s.mu.Unlock()
	s.large.Delete(path)
	s.opts.Logger.Warn("a compressed variant cannot be used; the file is served as it is, and the variant is made anew", "variant", path, "error", cause)
	s.opts.Forgotten()
	return fmt.Errorf("%s: %w: %w", path, ErrNone, cause)
}
