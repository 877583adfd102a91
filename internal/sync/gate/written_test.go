package gate

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/store"
)

// Files that two releases share are one file: a command that writes to it harms the
// served tree as well.
func TestACommandThatWritesInTheTree(t *testing.T) {
	for name, row := range map[string]struct {
		script, path string
		harms        bool // the served tree
	}{
		"to a shared file":            {`chmod u+w "$0/d/a" && printf X >"$0/d/a"`, "/d/a", true},
		"as many bytes":               {`chmod u+w "$0/d/a" && printf XXX >"$0/d/a"`, "/d/a", true},
		"and does not like it anyway": {`chmod u+w "$0/d/a" && printf X >"$0/d/a"; exit 1`, "/d/a", true},
		"a file in its place":         {`printf XXX >"$0/d/b" && mv -f "$0/d/b" "$0/d/a"`, "/d/a", false},
		"a file beside":               {`touch "$0/new"`, "/new", false},
		"one less":                    {`rm -f "$0/d/a"`, "/d/a", false},
		"a folder less":               {`rm -rf "$0/d"`, "/d", false},
		"all less":                    {`rm -rf "$0"`, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			st := openStore(t)
			layer := held(t, st, "d/a", "z")
			require.NoError(t, st.Add(store.Release{Source: "default", Tag: "1", Manifest: layer, Layer: layer, Fetched: time.Now()}))
			_, err := st.Follow("default", []store.Contribution{{Tag: "1", Manifest: layer}})
			require.NoError(t, err)
			tree, _ := staged(t, st, "d/a", "y")

			rules := Rules{Command: []string{"sh", "-c", row.script}, Timeout: time.Minute}
			err = rules.Judge(t.Context(), st, Candidate{Tree: tree})
			assert.ErrorIs(t, err, ErrWritten)
			assert.ErrorAs(t, err, new(*RefusedError))
			assert.ErrorContains(t, err, `"`+row.path+`"`)

			assert.Equal(t, row.harms, !st.HasTree(layer), "the store knows of the damage")
			v := st.Acquire()
			defer v.Close()
			e, _ := v.Lookup("d/a")
			f, err := v.Open(e)
			if row.harms {
				assert.ErrorIs(t, err, store.ErrDamaged)
				return
			}
			require.NoError(t, err)
			defer f.Close()
			content, err := io.ReadAll(f)
			require.NoError(t, err)
			assert.Equal(t, "d/a", string(content))
		})
	}
}

// Another release that takes the same file, or lets go of it, is no writing.
func TestANameMoreIsNoWriting(t *testing.T) {
	st := openStore(t)
	tree, _ := staged(t, st, "d/a")
	other := filepath.Join(filepath.Dir(tree.Folder()), "other")
	err := guarded(st, tree, func() error { return os.Link(filepath.Join(tree.Folder(), "d/a"), other) })
	assert.NoError(t, err)
	assert.NoError(t, guarded(st, tree, func() error { return os.Remove(other) }))
}

// What is judged may be held already, under another tag.
func TestACommandThatWritesInAHeldTree(t *testing.T) {
	st := openStore(t)
	layer := held(t, st, "a")
	require.NoError(t, st.Add(store.Release{Source: "default", Tag: "1", Manifest: digest.FromString("m"), Layer: layer, Fetched: time.Now()}))
	v, err := st.AcquireTree(layer)
	require.NoError(t, err)
	defer v.Close()
	rules := Rules{Command: []string{"sh", "-c", `chmod u+w "$0/a" && printf ` + strings.Repeat("x", 3) + ` >"$0/a"`}, Timeout: time.Minute}
	assert.ErrorIs(t, rules.Judge(t.Context(), st, Candidate{Tree: v}), ErrWritten)
	assert.False(t, st.HasTree(layer))
}
