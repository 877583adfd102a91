package store

import (
	"context"
	"io/fs"
	"slices"

	"github.com/opencontainers/go-digest"
)

// Foreign is a file, link or folder in the folder of a tree that is none of what was
// published. It is never served, for the index alone says what is, and goes with the tree:
// so it is no damage.
type Foreign struct {
	Layer digest.Digest `json:"layer"`
	Path  string        `json:"path"` // below the tree; of a folder, all that is in it is foreign
}

// maxForeign bounds how many are named: somebody may have copied a folder of anything.
const maxForeign = 100

// findForeign looks for what somebody has put among the files of a tree. A folder that
// cannot be read it passes over: what is lost of it the check of the files tells.
func (s *Store) findForeign(ctx context.Context, t *tree, report *VerifyReport) error {
	found, first := 0, ""
	err := fs.WalkDir(t.root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil || name == "." || t.published(name) {
			return nil
		}
		if found++; found == 1 {
			first = name
		}
		if len(report.Foreign) < maxForeign {
			report.Foreign = append(report.Foreign, Foreign{t.layer, name})
		}
		if e.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
	if found > 0 {
		s.log.Warn("Something lies in the folder of a tree that was never published; it is not served", "path", first, "found", found, "tree", t.layer,
			"cure", "remove it; else it goes with the tree")
	}
	return err
}

// published says whether a name on disk is of what was published.
func (t *tree) published(name string) bool {
	if rec, ok := t.find(name); ok && t.records[rec].real == rec {
		return true
	}
	return slices.ContainsFunc(t.links, func(l Link) bool { return l.Name == name })
}
