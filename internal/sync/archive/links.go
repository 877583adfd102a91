package archive

import "strings"

// maxHops is how many symlinks a path may lead through: as many as Linux
// follows (path_resolution(7)), so that a link serves what it served where the
// archive was made.
const maxHops = 40

// walked says how far the way of a symlink has been followed.
type walked uint8

const (
	fresh   walked = iota
	walking        // met again before it is done: a circle
	done
)

// step is a symlink on whose way we are.
type step struct {
	link int32
	at   int32  // how far we got
	rest string // of the target, from there
	hops int
}

// resolve finds out where a symlink leads in the tree as it is, never leaving
// it. Each symlink is walked once, whatever leads through it; the stack is our
// own, since a chain can be as long as the archive.
func (t *tree) resolve(id int32) {
	stack := []step{t.start(id)}
	for len(stack) > 0 {
		s := &stack[len(stack)-1]
		why, needs := t.follow(s)
		if needs != root {
			stack = append(stack, t.start(needs))
			continue
		}
		l := t.links[s.link]
		if why == served && s.hops > maxHops {
			why = leadsInCircles
		}
		l.walked, l.why, l.to, l.hops = done, why, s.at, uint8(min(s.hops, maxHops+1))
		stack = stack[:len(stack)-1]
	}
}

func (t *tree) start(id int32) step {
	l := t.links[id]
	l.walked = walking
	return step{link: id, at: t.nodes[id].parent, rest: l.target, hops: 1}
}

// follow walks on until the end of the way, or until a symlink that must be
// resolved first (needs).
func (t *tree) follow(s *step) (why skipReason, needs int32) {
	target := t.links[s.link].target
	switch {
	case target == "", len(target) > maxPathBytes:
		return leadsNowhere, 0
	case target[0] == '/':
		return isAbsolute, 0
	}
	for {
		switch t.nodes[s.at].kind {
		case skipped:
			return leadsToSkipped, 0
		case link:
			l := t.links[s.at]
			switch {
			case l.walked == fresh:
				return served, s.at
			case l.walked == walking:
				return leadsInCircles, 0
			case l.why != served:
				return l.why, 0
			}
			s.at = l.to
			s.hops += int(l.hops)
			continue
		case file:
			if s.rest != "" || strings.HasSuffix(target, "/") {
				return leadsNowhere, 0 // a file has nothing below it
			}
			return served, 0
		}
		if s.rest == "" {
			return served, 0
		}
		var part string
		part, s.rest, _ = strings.Cut(s.rest, "/")
		switch part {
		case "", ".":
		case "..":
			if s.at == root {
				return leadsOutside, 0
			}
			s.at = t.nodes[s.at].parent
		default:
			next, ok := t.index[place{s.at, part}]
			if !ok {
				return leadsNowhere, 0
			}
			s.at = next
		}
	}
}

// inside reports whether the path id lies somewhere below the folder outer.
func (t *tree) inside(id, outer int32) bool {
	for id != root {
		id = t.nodes[id].parent
		if id == outer {
			return true
		}
	}
	return false
}

// resolveLinks finds out what each symlink serves, if anything.
func (t *tree) resolveLinks() {
	for i := range t.nodes {
		if id := int32(i); t.nodes[id].kind == link && t.links[id].walked == fresh {
			t.resolve(id)
		}
	}
	// Only now, since a way may well lead through such a link, and back down.
	for id, l := range t.links {
		if l.why == served && t.inside(id, l.to) {
			l.why = leadsToOwnFolder
		}
	}
}
