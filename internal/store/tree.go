package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// tree is the unpacked layer of a release: its index, in memory, and its
// files, below one open root. It is immutable, but for what is found damaged.
type tree struct {
	*index
	layer digest.Digest
	root  *os.Root
	// damaged are the records whose files must not be served, nil if all is well.
	damaged atomic.Pointer[map[int32]bool]
	// suspect says that any file may be one of them: each is read to its end before it
	// is given out.
	suspect  bool
	vouchers vouchers
	// found is told of a file that turned out to be damaged when it was opened; nil
	// where nobody keeps note of it.
	found func(t *tree, rec int32)

	users int    // guarded by loadedTrees.mu
	aside string // where the folder was moved to when a repaired one took its name
}

// errNoTree is what openTree returns where the tree's folder is not there.
var errNoTree = errors.New("the tree is missing")

func treeName(layer digest.Digest) string {
	return layer.Algorithm().String() + "-" + layer.Encoded()
}

func treeFolder(dir string, layer digest.Digest) string {
	return filepath.Join(dir, treesFolder, treeName(layer))
}

func openFiles(folder string) (*os.Root, error) { return os.OpenRoot(filepath.Join(folder, "files")) }

// layerOf is treeName backwards.
func layerOf(name string) (digest.Digest, bool) {
	algorithm, hex, ok := strings.Cut(name, "-")
	d := digest.NewDigestFromEncoded(digest.Algorithm(algorithm), hex)
	return d, ok && d.Validate() == nil
}

// layersOnDisk lists the layers that have a tree in a store's folder.
func layersOnDisk(dir string) ([]digest.Digest, error) {
	entries, err := os.ReadDir(filepath.Join(dir, treesFolder))
	if err != nil {
		return nil, fmt.Errorf("list the trees of the store: %w", err)
	}
	var layers []digest.Digest
	for _, e := range entries {
		if layer, ok := layerOf(e.Name()); ok {
			layers = append(layers, layer)
		}
	}
	return layers, nil
}

// openTree reads the index of a tree and checks it. It does not read the files.
func openTree(dir string, layer digest.Digest) (*tree, error) {
	folder := treeFolder(dir, layer)
	data, err := readSealed(filepath.Join(folder, "index"))
	if errors.Is(err, errSeal) {
		err = fmt.Errorf("%w: %w", errIndex, err)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open tree %s: %w", layer, errNoTree)
	}
	if err != nil {
		return nil, fmt.Errorf("open tree %s: %w", layer, err)
	}
	x, err := parseIndex(data)
	if err != nil {
		return nil, fmt.Errorf("open tree %s: %w", layer, err)
	}
	root, err := openFiles(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open tree %s: %w", layer, errNoTree)
	}
	if err != nil {
		return nil, fmt.Errorf("open tree %s: %w", layer, err)
	}
	t := &tree{index: x, layer: layer, root: root}
	if err := t.readDamage(folder); err != nil {
		root.Close()
		return nil, fmt.Errorf("open tree %s: %w", layer, err)
	}
	return t, nil
}

// open opens the file of a record that is no alias. The error wraps ErrDamaged
// where it is known to be damaged, gone, not of the published size or, of a large file
// and in a suspect tree, not of the published content.
func (t *tree) open(rec int32) (*os.File, error) {
	f, info, err := t.openFile(rec)
	if err != nil || info.Size() <= vouchFrom && !t.suspect {
		return f, err
	}
	if err = t.vouch(rec, f, info); err == nil {
		return f, nil
	}
	f.Close()
	if t.found != nil && errors.Is(err, ErrDamaged) {
		t.found(t, rec)
	}
	return nil, t.cannotOpen(rec, err)
}

// openFile is open for who reads all of the file, and compares.
func (t *tree) openFile(rec int32) (*os.File, os.FileInfo, error) {
	if t.isDamaged(rec) {
		return nil, nil, t.cannotOpen(rec, ErrDamaged)
	}
	return t.openAnyway(rec)
}

// openAnyway is openFile of one that may have been found damaged.
func (t *tree) openAnyway(rec int32) (*os.File, os.FileInfo, error) {
	f, err := t.root.OpenFile(t.path(rec), os.O_RDONLY|unix.O_NONBLOCK, 0) // or a pipe in its place would hold the reader
	if err != nil {
		return nil, nil, t.cannotOpen(rec, asDamage(err))
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() != t.records[rec].size {
		f.Close()
		return nil, nil, t.cannotOpen(rec, fmt.Errorf("%w: its size is not the published one", ErrDamaged))
	}
	return f, info, nil
}

func (t *tree) cannotOpen(rec int32, why error) error {
	return fmt.Errorf("open %q of tree %s: %w", t.path(rec), t.layer, why)
}
