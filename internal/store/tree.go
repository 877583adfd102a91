package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"
)

// tree is the unpacked layer of a release: its index, in memory, and its
// files, below one open root. Immutable.
type tree struct {
	*index
	layer digest.Digest
	root  *os.Root
}

// errNoTree is what openTree returns where the tree's folder is not there.
var errNoTree = errors.New("the tree is missing")

func treeName(layer digest.Digest) string {
	return layer.Algorithm().String() + "-" + layer.Encoded()
}

// layerOf is treeName backwards.
func layerOf(name string) (digest.Digest, bool) {
	algorithm, hex, ok := strings.Cut(name, "-")
	d := digest.NewDigestFromEncoded(digest.Algorithm(algorithm), hex)
	return d, ok && d.Validate() == nil
}

// openTree reads the index of a tree and checks it. It does not read the files.
func openTree(dir string, layer digest.Digest) (*tree, error) {
	folder := filepath.Join(dir, treesFolder, treeName(layer))
	data, err := os.ReadFile(filepath.Join(folder, "index"))
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
	root, err := os.OpenRoot(filepath.Join(folder, "files"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open tree %s: %w", layer, errNoTree)
	}
	if err != nil {
		return nil, fmt.Errorf("open tree %s: %w", layer, err)
	}
	return &tree{index: x, layer: layer, root: root}, nil
}
