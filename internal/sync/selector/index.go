package selector

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	indexFolder = "roar/nickfury"
	// IndexPath is where a tree's own index of versions lies.
	IndexPath = indexFolder + "/versions.yaml"

	// maxIndexBytes limits one file: room for 2,000 versions, where real indexes
	// have dozens. The YAML library makes up to 250 bytes of one.
	maxIndexBytes   = 256 << 10
	maxPatchIndexes = 64
	maxIndexNesting = 8
	maxVersionBytes = 128 // as long as a tag can be
	maxPathBytes    = 4096
)

// IndexVersions returns the versions that a tree's own index lists, the highest
// first: those of roar/nickfury/versions.yaml and of the patch indexes that it
// names. The text is the index's own, without a leading v and build metadata;
// MAJOR.MINOR counts as MAJOR.MINOR.0, and of two ways to write a version the
// first counts.
//
// open opens a file of the tree by its clean relative path (see [fs.ValidPath])
// and fails with [fs.ErrNotExist] where there is none. The content is not trusted:
// files over 256 KiB, patch indexes after the 64 of the highest versions and paths
// that lead outside are passed over, YAML aliases are not followed. What could not
// be read is said in warnings, at most one a file and three more; a tree without
// an index gives none. What is not understood is ignored.
//
// The shape of patch indexes is not public. So wherever versions are listed, each
// can be a mapping with the key version (or else name), a bare text or number, or
// the key of a mapping; and the key patchVersions can hold such a list in place.
func IndexVersions(open func(path string) (io.ReadCloser, error)) (versions []string, warnings []string) {
	index, err := readYAML(open, IndexPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, []string{err.Error()}
	}
	var found findings
	found.list(index, maxIndexNesting)

	patchIndexes, warnings := patchIndexPaths(found.patchIndexes)
	for _, name := range patchIndexes {
		patches, err := readYAML(open, name)
		if err != nil {
			warnings = append(warnings, fmt.Sprintf("patch index: %v", err))
			continue
		}
		found.list(patches, maxIndexNesting)
	}
	if len(found.versions) == 0 {
		warnings = append(warnings, IndexPath+": lists no version that is understood")
	}
	return found.highestFirst(), warnings
}

// HighestIndexVersion returns the first of [IndexVersions], "" if there is none.
func HighestIndexVersion(open func(path string) (io.ReadCloser, error)) (version string, warnings []string) {
	versions, warnings := IndexVersions(open)
	if len(versions) > 0 {
		version = versions[0]
	}
	return version, warnings
}

// readYAML returns the root of a file's first document, nil if it has none. It
// stays a tree of nodes: decoding into values would expand aliases.
func readYAML(open func(path string) (io.ReadCloser, error), name string) (*yaml.Node, error) {
	file, err := open(name)
	if err != nil {
		return nil, fmt.Errorf("opening %q: %w", name, err)
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxIndexBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", name, err)
	}
	if len(content) > maxIndexBytes {
		return nil, fmt.Errorf("reading %q: larger than %d bytes", name, maxIndexBytes)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(content, &document); err != nil {
		return nil, fmt.Errorf("reading %q: %w", name, err)
	}
	if len(document.Content) == 0 {
		return nil, nil
	}
	return document.Content[0], nil
}

// findings is what was found in index files.
type findings struct {
	versions     map[version]string // and how the index writes it
	patchIndexes []patchIndex
}

// patchIndex is a file that lists the patches of one version.
type patchIndex struct {
	of   version // zero if not understood
	path string
}

// list reads a node that holds several versions.
func (f *findings) list(node *yaml.Node, nesting int) {
	if node == nil || nesting == 0 {
		return
	}
	switch node.Kind {
	case yaml.SequenceNode:
		for _, item := range node.Content {
			f.entry(item, version{}, nesting-1)
		}
	case yaml.MappingNode:
		for key, value := range pairs(node) {
			if v, ok := f.note(key); ok {
				f.entry(value, v, nesting-1)
			} else if holdsVersions(key.Value) {
				f.list(value, nesting-1)
			}
		}
	}
}

// entry reads a node that tells of one version; of is that version where its
// place already said it.
func (f *findings) entry(node *yaml.Node, of version, nesting int) {
	switch node.Kind {
	case yaml.ScalarNode:
		f.note(node)
	case yaml.SequenceNode: // the value of a key that is a version: its patches
		f.list(node, nesting)
	case yaml.MappingNode:
		fields := make(map[string]*yaml.Node)
		for key, value := range pairs(node) {
			fields[key.Value] = value
		}
		if own := cmp.Or(fields["version"], fields["name"]); own != nil {
			if v, ok := f.note(own); ok {
				of = v
			}
		}
		if file := fields["patchVersionsFilepath"]; file != nil && file.Kind == yaml.ScalarNode && file.Value != "" {
			f.patchIndexes = append(f.patchIndexes, patchIndex{of: of, path: file.Value})
		}
		f.list(node, nesting) // for patchVersions
	}
}

// note takes a node into account if it is a version. Its text counts, not its
// value: as a number, 4.10 would be 4.1.
func (f *findings) note(node *yaml.Node) (version, bool) {
	if node.Kind != yaml.ScalarNode || len(node.Value) > maxVersionBytes {
		return version{}, false
	}
	v, ok := parseIndexVersion(node.Value)
	if ok && f.versions[v] == "" {
		if f.versions == nil {
			f.versions = make(map[version]string)
		}
		f.versions[v], _, _ = strings.Cut(strings.TrimPrefix(node.Value, "v"), "+")
	}
	return v, ok
}

func (f *findings) highestFirst() []string {
	var texts []string
	for _, v := range slices.SortedFunc(maps.Keys(f.versions), func(v, w version) int { return w.compare(v) }) {
		texts = append(texts, f.versions[v])
	}
	return texts
}

func holdsVersions(key string) bool {
	return key == "versions" || key == "patchVersions"
}

// pairs iterates over the keys and values of a mapping.
func pairs(mapping *yaml.Node) iter.Seq2[*yaml.Node, *yaml.Node] {
	return func(yield func(key, value *yaml.Node) bool) {
		for i := 0; i+1 < len(mapping.Content); i += 2 {
			if !yield(mapping.Content[i], mapping.Content[i+1]) {
				return
			}
		}
	}
}

// patchIndexPaths returns the relative paths of the files to read, each once,
// those of the highest versions first, since one of them holds the answer.
func patchIndexPaths(named []patchIndex) (paths []string, warnings []string) {
	slices.SortFunc(named, func(a, b patchIndex) int {
		return cmp.Or(b.of.compare(a.of), strings.Compare(a.path, b.path))
	})
	seen := map[string]bool{IndexPath: true}
	outside, tooMany := 0, 0
	for _, p := range named {
		relative, ok := insideTree(p.path)
		switch {
		case !ok:
			outside++
		case seen[relative]:
		case len(paths) == maxPatchIndexes:
			seen[relative] = true
			tooMany++
		default:
			seen[relative] = true
			paths = append(paths, relative)
		}
	}
	if outside > 0 {
		warnings = append(warnings, fmt.Sprintf("%s: paths of patch indexes that lead out of the tree or are too long: %d", IndexPath, outside))
	}
	if tooMany > 0 {
		warnings = append(warnings, fmt.Sprintf("%s: more than %d patch indexes are named; not read, of the lowest versions: %d", IndexPath, maxPatchIndexes, tooMany))
	}
	return paths, warnings
}

// insideTree makes the path that an index names, absolute from the root of the
// tree or relative to the index's folder, relative to the root.
func insideTree(named string) (string, bool) {
	folder := indexFolder
	if path.IsAbs(named) {
		folder = "."
	}
	relative := path.Join(folder, named)
	return relative, len(relative) <= maxPathBytes && relative != "." && fs.ValidPath(relative)
}
