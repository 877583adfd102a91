package store

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// copyOver is the overlay as a person would make it: each tree is copied over
// what is there, the lowest first.
func copyOver(layers []content) content {
	got := make(content)
	for _, layer := range slices.Backward(layers) {
		for name := range layer {
			for old := range got {
				// A file replaces a folder whole, a folder replaces a file.
				if strings.HasPrefix(old, name+"/") || strings.HasPrefix(name, old+"/") {
					delete(got, old)
				}
			}
		}
		maps.Copy(got, layer)
	}
	return got
}

// randomTree is a tree of few names, so that trees meet often; no path of it is
// a file and a folder.
func randomTree(r *rand.Rand, mark string) content {
	names := []string{"a", "b", "a-", "a0"}
	files := make(content)
	for range 1 + r.IntN(6) {
		var parts []string
		for range 1 + r.IntN(3) {
			parts = append(parts, names[r.IntN(len(names))])
		}
		name := strings.Join(parts, "/")
		clash := false
		for other := range files {
			clash = clash || strings.HasPrefix(other, name+"/") || strings.HasPrefix(name, other+"/")
		}
		if !clash {
			text := mark
			if r.IntN(3) == 0 {
				text = "same everywhere"
			}
			files[name] = text
		}
	}
	return files
}

func TestOverlayIsCopyingOver(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	s := openStore(t, t.TempDir(), func(o *Options) { o.Keep = 0 })
	for round := range 150 {
		var layers []content
		var order []Contribution
		for n := range 1 + r.IntN(4) {
			layers = append(layers, randomTree(r, fmt.Sprintf("%d.%d", round, n)))
			order = append(order, hold(t, s, fmt.Sprintf("%d.%d.0", round, n), layers[n]))
		}
		follow(t, s, order...)
		want := copyOver(layers)
		require.Equal(t, want, served(t, s), "%v", layers)

		v := s.Acquire()
		for n, c := range v.Coverage() {
			var served, covered, differs int
			for name, text := range layers[n] {
				if e, ok := v.Lookup(name); ok && e.Kind == File && v.Release(e).Tag == order[n].Tag {
					served++
					continue
				}
				covered++
				if want[name] != text {
					differs++
				}
			}
			assert.Equal(t, Coverage{served, covered, differs}, c, "%v: layer %d", layers, n)
		}
		checkFolders(t, v)
		v.Close()
		_, err := s.GC(false)
		require.NoError(t, err)
	}
}

// checkFolders walks the view from its root: what a listing shows is what there
// is, each path once, in order.
func checkFolders(t *testing.T, v *View) {
	t.Helper()
	seen := make(map[string]bool)
	var walk func(path string, e Entry)
	walk = func(path string, e Entry) {
		var last string
		for name, child := range v.Children(e) {
			require.Greater(t, name, last)
			last = name
			below := strings.TrimPrefix(path+"/"+name, "/")
			found, ok := v.Lookup(below)
			require.True(t, ok)
			require.Equal(t, child, found)
			seen[below] = true
			if child.Kind == Dir {
				walk(below, child)
			}
		}
	}
	root, ok := v.Lookup("")
	require.True(t, ok)
	walk("", root)
	count := 0
	for name := range v.All() {
		require.True(t, seen[name], name)
		count++
	}
	require.Len(t, seen, count)
}

// model is what an operator expects of the served view: what is followed, or
// what was gone back to.
type model struct {
	history [][]string // tags of the views that following led to, oldest first
	at      int        // the served one in it
	pinned  bool
	follows []string
}

func (m *model) follow(tags []string) {
	m.follows = tags
	if !m.pinned {
		m.advance()
	}
}

// advance goes to what is followed. To go there from an older view is a step, too,
// where it is the same: what was served in between is not what was served before it.
func (m *model) advance() {
	if len(m.history) > 0 && m.at == len(m.history)-1 && slices.Equal(m.history[m.at], m.follows) {
		return
	}
	m.history = append(m.history, m.follows)
	if len(m.history) > maxHistory { // the oldest goes that is there once more
		again := func(n int) bool {
			return slices.ContainsFunc(m.history[n+1:], func(tags []string) bool { return slices.Equal(tags, m.history[n]) })
		}
		n := 0
		for n < len(m.history) && !again(n) {
			n++
		}
		if n == len(m.history) {
			n = 0
		}
		m.history = slices.Delete(m.history, n, n+1)
	}
	m.at = len(m.history) - 1
}

// back steps to the newest view before the served one that is another one.
func (m *model) back() bool {
	for n := m.at - 1; n >= 0; n-- {
		if !slices.Equal(m.history[n], m.history[m.at]) {
			m.at, m.pinned = n, true
			return true
		}
	}
	return false
}

func (m *model) unpin() {
	m.pinned = false
	m.advance()
}

func TestWhatIsServedIsAFunctionOfWhatIsHeldAndAsked(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	dir := t.TempDir()
	s := openStore(t, dir, func(o *Options) { o.Keep = 100 })
	byTag := make(map[string]Contribution)
	files := make(map[string]content)
	for n := range 5 {
		tag := fmt.Sprintf("%d.0.0", n)
		files[tag] = randomTree(r, tag)
		byTag[tag] = hold(t, s, tag, files[tag])
	}
	m := &model{}
	for step := range 300 {
		switch k := r.IntN(6); {
		case k < 3 || m.history == nil:
			tags := slices.Sorted(maps.Keys(byTag))
			r.Shuffle(len(tags), func(a, b int) { tags[a], tags[b] = tags[b], tags[a] })
			tags = tags[:1+r.IntN(len(tags))]
			var order []Contribution
			for _, tag := range tags {
				order = append(order, byTag[tag])
			}
			follow(t, s, order...)
			m.follow(tags)
		case k == 3:
			target, err := s.Target("", false)
			if !m.back() {
				require.ErrorIs(t, err, ErrNotHeld)
				break
			}
			require.NoError(t, err, "step %d", step)
			require.NoError(t, s.Pin(target, "rollback", "rollback"))
		case k == 4 && m.pinned:
			_, err := s.Unpin("")
			require.NoError(t, err)
			m.unpin()
		case k == 5:
			require.NoError(t, s.Close())
			s = openStore(t, dir, func(o *Options) { o.Keep = 100 })
		}
		var layers []content
		for _, tag := range m.history[m.at] {
			layers = append(layers, files[tag])
		}
		require.Equal(t, copyOver(layers), served(t, s), "step %d", step)
		require.Equal(t, m.pinned, s.Pinned() != nil)
	}
}
