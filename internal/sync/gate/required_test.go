package gate

import (
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/store"
)

// heldView is a view of trees, top first, each of files: their names, a blank between.
func heldView(t *testing.T, st *store.Store, trees ...string) []store.Release {
	t.Helper()
	var view []store.Release
	for _, names := range trees {
		view = append(view, store.Release{Layer: held(t, st, strings.Fields(names)...)})
	}
	return view
}

// What is said of a view is what it would serve.
func TestRequiredIsWhatTheViewServes(t *testing.T) {
	for _, row := range []struct {
		name string
		view []string // top first
		has  bool     // d/e/f
	}{
		{"it has it", []string{"d/e/f"}, true},
		{"it does not", []string{"d/e/g"}, false},
		{"below", []string{"a", "d/e/g", "d/e/f"}, true},
		{"below a file of another name", []string{"d/e/ff d/ee", "d/e/f"}, true},
		{"below a file in the place of its folder", []string{"d/e", "d/e/f"}, false},
		{"below a file in the place of a folder above", []string{"a d", "d/e/f"}, false},
		{"above such a file", []string{"d/e/f", "d"}, true},
		{"below a file that a folder hides", []string{"d/e/g", "d/e", "d/e/f"}, false},
		{"as a folder", []string{"d/e/f/g"}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			st := openStore(t)
			view := heldView(t, st, row.view...)
			rules := Rules{RequirePaths: []string{"/d/e/f"}}
			err := rules.Required(st).Judge(view)
			if row.has {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, "the view would lack what gate.requirePaths asks for: /d/e/f")
				assert.ErrorAs(t, err, new(*RefusedError))
			}

			var keys []store.ReleaseKey
			for n, r := range view {
				r.Source, r.Tag, r.Manifest = "default", string(rune('a'+n)), r.Layer
				require.NoError(t, st.Add(r))
				keys = append(keys, r.Key())
			}
			laid, err := st.AcquireRecord(store.ViewRecord{Releases: keys})
			require.NoError(t, err)
			defer laid.Close()
			assert.Equal(t, laid.Has("d/e/f"), row.has, "the view itself")
		})
	}
}

func TestRequiredOfWhatCannotBeRead(t *testing.T) {
	st := openStore(t)
	rules := Rules{RequirePaths: []string{"/a", "/b"}}
	gone := store.Release{Layer: digest.FromString("gone")}
	view := append([]store.Release{gone}, heldView(t, st, "a")...)
	required := rules.Required(st)
	assert.Equal(t, []string{"/b"}, required.Lacking(view))
	tree, _ := staged(t, st, "b")
	required.Learn(gone.Layer, tree)
	assert.Empty(t, required.Lacking(view), "it was had anew")
}

// New releases are judged by the view that comes of them together, whichever is judged
// first.
func TestAdmit(t *testing.T) {
	type release struct{ now, before string } // before: what its tag contributes without it
	for _, row := range []struct {
		name     string
		paths    []string
		below    string
		together []release // top first
		refused  map[int]string
	}{
		{"what nothing is asked of", nil, "", []release{{now: "a"}, {now: "b"}}, nil},
		{"one that has all", []string{"x"}, "", []release{{now: "x"}}, nil},
		{"each has what the other lacks", []string{"x", "y"}, "", []release{{now: "x"}, {now: "y"}}, nil},
		{"what lies below has it", []string{"x"}, "x", []release{{now: "a"}}, nil},
		{"nobody has it", []string{"x", "y"}, "", []release{{now: "x"}, {now: "b"}}, map[int]string{0: "y", 1: "y"}},
		{"one hides what another has", []string{"d/x"}, "", []release{{now: "a"}, {now: "d"}, {now: "d/x"}}, map[int]string{1: "d/x"}},
		{"one hides what lies below", []string{"d/x"}, "d/x", []release{{now: "d"}, {now: "a"}}, map[int]string{0: "d/x"}},
		{"two hide the same", []string{"d/x"}, "", []release{{now: "a"}, {now: "d"}, {now: "d b"}, {now: "c"}, {now: "d/x"}}, map[int]string{1: "d/x", 2: "d/x"}},
		{"one has left out what it had", []string{"x"}, "", []release{{now: "a"}, {now: "b", before: "x"}}, map[int]string{1: "x"}},
		{"one has what another has left out", []string{"x"}, "", []release{{now: "a", before: "x"}, {now: "x", before: "b"}}, nil},
		{"one of two ways to lack it", []string{"d/x", "y"}, "d/x", []release{{now: "d y"}, {now: "y"}}, map[int]string{0: "d/x"}},
		{"one has what nobody else has, above two that hide", []string{"d/x", "y"}, "", []release{{now: "y"}, {now: "d"}, {now: "d b"}, {now: "d/x"}}, map[int]string{1: "d/x", 2: "d/x"}},
		{"two have it, above two that hide", []string{"d/x", "y"}, "", []release{{now: "y"}, {now: "y b"}, {now: "d"}, {now: "d b"}, {now: "d/x"}}, map[int]string{2: "d/x", 3: "d/x"}},
		{"what helps lies above two that hide", []string{"d/x", "y"}, "", []release{{now: "a", before: "y"}, {now: "y"}, {now: "d"}, {now: "d c"}, {now: "d/x"}}, map[int]string{2: "d/x", 3: "d/x"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			st := openStore(t)
			below := heldView(t, st, row.below)
			var now, before []store.Release
			for _, r := range row.together {
				now = append(now, heldView(t, st, r.now)...)
				before = append(before, heldView(t, st, r.before)...)
			}
			view := func(with []int) (view []store.Release) {
				for n := range row.together {
					if slices.Contains(with, n) {
						view = append(view, now[n])
					} else {
						view = append(view, before[n])
					}
				}
				return append(view, below...)
			}
			var together, want []int
			for n := range row.together {
				together = append(together, n)
				if _, ok := row.refused[n]; !ok {
					want = append(want, n)
				}
			}
			rules := Rules{RequirePaths: row.paths}
			admitted, refused := Admit(rules.Required(st), together, view)
			assert.Equal(t, want, admitted)
			require.Len(t, refused, len(row.refused))
			for n, lacks := range row.refused {
				assert.EqualError(t, refused[n], "the view would lack what gate.requirePaths asks for: "+lacks)
				assert.ErrorAs(t, refused[n], new(*RefusedError))
			}
		})
	}
}
