package archive

import (
	"strings"
	"time"
)

// place finds or makes the path of an entry that is going to be of kind k, and
// announces the folders on the way that are new.
func (x *extractor) place(name string, k kind) (int32, error) {
	t := x.tree
	if name == "." {
		return 0, refuse(name, "it is the root of the tree, and no folder")
	}
	parent, base, err := x.parent(name)
	if err != nil {
		return 0, err
	}
	id, exists := t.index[place{parent, base}]
	was := skipped
	if exists {
		was = t.nodes[id].kind
	}
	switch {
	case exists && (was == folder) != (k == folder):
		return 0, refuse(name, "the archive holds the same path as a folder and as something else")
	case k == file && was != file && t.files >= x.limits.Files:
		return 0, x.tooManyFiles(name)
	case k != file && (!exists || was == file) && t.others() >= x.limits.others():
		return 0, x.tooManyOthers(name)
	}
	if !exists {
		if k != folder {
			k = skipped // until it is known to be what it is to be
		}
		id = t.add(parent, base, k)
	}
	return id, nil
}

// parent finds the folder of a path, making it and its parents where needed.
func (x *extractor) parent(name string) (id int32, base string, err error) {
	t := x.tree
	slash := strings.LastIndexByte(name, '/')
	if slash < 0 {
		return root, name, nil
	}
	path, base := name[:slash], name[slash+1:]
	if path == t.lastPath {
		return t.lastFolder, base, nil
	}
	id = root
	for start := 0; start < slash; {
		end := start + strings.IndexByte(name[start:], '/')
		child, exists := t.index[place{id, name[start:end]}]
		switch {
		case !exists:
			if t.others() >= x.limits.others() {
				return 0, "", x.tooManyOthers(name)
			}
			child = t.add(id, name[start:end], folder)
			if err := x.sink.Dir(name[:end], time.Time{}); err != nil {
				return 0, "", err
			}
		case t.nodes[child].kind == link:
			return 0, "", refuse(name, "its path leads through the symlink %s", quote(name[:end]))
		case t.nodes[child].kind != folder:
			return 0, "", refuse(name, "its path leads through %s, which is no folder", quote(name[:end]))
		}
		id, start = child, end+1
	}
	t.lastPath, t.lastFolder = strings.Clone(path), id
	return id, base, nil
}

func (x *extractor) tooManyFiles(name string) error {
	return refuse(name, "with it there are more than %d files, the limit (store.maxFiles)", x.limits.Files)
}

func (x *extractor) tooManyOthers(name string) error {
	return refuse(name, "with it there are more than %d folders, links and skipped entries, the limit (store.maxFiles)", x.limits.others())
}
