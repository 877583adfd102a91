package archive

import "strings"

// tellLinks tells the sink of all symlinks that are served, and of what they
// add.
func (x *extractor) tellLinks() error {
	t := x.tree
	// Count before the sink hears of it: links to folders that are full of links
	// to folders multiply.
	count := &aliases{x: x, files: t.files, others: t.others()}
	count.alias = count.within
	count.cycle = func(name string) error {
		x.circles.skip(name, "symlink that leads, through other symlinks, to a folder that contains it")
		return count.within(name, "", true)
	}
	if err := count.all(); err != nil {
		return err
	}

	for i := range t.nodes {
		id := int32(i)
		if t.nodes[id].kind != link {
			continue
		}
		if l := t.links[id]; l.why == served {
			if err := x.sink.Symlink(t.path(id), l.target, l.modTime); err != nil {
				return err
			}
		}
	}
	tell := &aliases{x: x}
	tell.alias = func(name, target string, dir bool) error {
		x.report.Aliases++
		return x.sink.Alias(name, target, dir)
	}
	tell.cycle = func(string) error { return nil }
	return tell.all()
}

// aliases goes through all paths that exist only through symlinks.
type aliases struct {
	x     *extractor
	alias func(name, target string, dir bool) error
	cycle func(name string) error // a link that would show a folder inside of itself

	files, others int // for within
	steps         int
}

// within counts a path, and refuses the archive when there are too many.
func (a *aliases) within(name, _ string, dir bool) error {
	if dir {
		a.others++
	} else {
		a.files++
	}
	switch {
	case a.files > a.x.limits.Files:
		return a.x.tooManyFiles(name)
	case a.others > a.x.limits.others():
		return a.x.tooManyOthers(name)
	}
	return nil
}

func (a *aliases) all() error {
	t := a.x.tree
	for i := range t.nodes {
		id := int32(i)
		if t.nodes[id].kind != link || t.links[id].why != served {
			continue
		}
		a.mark(id, true)
		err := a.link(t.path(id), id, strings.Count(t.path(id), "/")+1)
		a.mark(id, false)
		if err != nil {
			return err
		}
	}
	return nil
}

// mark notes the folders in which a path lies.
func (a *aliases) mark(id int32, on bool) {
	nodes := a.x.tree.nodes
	for id != root {
		id = nodes[id].parent
		nodes[id].onPath = on
	}
}

// link shows under name what the symlink id leads to.
func (a *aliases) link(name string, id int32, depth int) error {
	t := a.x.tree
	to := t.links[id].to
	switch {
	case t.nodes[to].kind == file:
		return a.visit(name, t.path(to), false, depth)
	case t.nodes[to].onPath:
		return a.cycle(name)
	}
	return a.folder(name, to, t.path(to), depth)
}

// folder shows under name the folder id, which is at target, and all that lies
// in it. It ends because a link is not followed into a folder that is on the
// path already, and there are only so many folders.
func (a *aliases) folder(name string, id int32, target string, depth int) error {
	if err := a.visit(name, target, true, depth); err != nil {
		return err
	}
	t := a.x.tree
	outer := t.nodes[id].onPath
	t.nodes[id].onPath = true
	defer func() { t.nodes[id].onPath = outer }()

	for child := t.nodes[id].firstChild; child != 0; child = t.nodes[child].next {
		n := &t.nodes[child]
		if err := a.step(name); err != nil {
			return err
		}
		name, target := join(name, n.name), join(target, n.name)
		var err error
		switch {
		case n.kind == folder:
			err = a.folder(name, child, target, depth+1)
		case n.kind == file:
			err = a.visit(name, target, false, depth+1)
		case n.kind == link && t.links[child].why == served:
			err = a.link(name, child, depth+1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *aliases) visit(name, target string, dir bool, depth int) error {
	switch {
	case depth > maxDepth:
		return refuse(name, "the path, through symlinks, is deeper than 256 folders")
	case len(name) > maxPathBytes:
		return refuse(name, "the path, through symlinks, is longer than 4096 bytes")
	}
	return a.alias(name, target, dir)
}

// step bounds the work, since looking at what is not served takes time too.
func (a *aliases) step(name string) error {
	a.steps++
	if a.steps > a.x.limits.Files+a.x.limits.others() {
		return a.x.tooManyFiles(name)
	}
	if a.steps%1024 == 0 {
		return a.x.ctx.Err()
	}
	return nil
}
