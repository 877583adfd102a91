package store

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A file of the store that says it is a terabyte is damaged, as any other that was
// spoilt: there is no room for it, and it is not read.
func TestAFileThatClaimsToBeHuge(t *testing.T) {
	one, two := content{"f": "1"}, content{"f": "2"}
	for name, c := range map[string]struct {
		file    string // empty: both states
		serves  content
		damaged bool
	}{
		"the state":      {"state.json", two, false},
		"both states":    {"", nil, false},
		"an index":       {filepath.Join(treesFolder, treeName(layerFor(two)), "index"), one, true},
		"a damage note":  {filepath.Join(treesFolder, treeName(layerFor(two)), damageFile), two, true},
		"an older state": {"state.previous.json", two, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, dir)
			follow(t, s, hold(t, s, "1.0.0", one))
			follow(t, s, hold(t, s, "1.0.0", two))
			s.saveAgain()
			require.NoError(t, s.Close())
			files := []string{c.file}
			if c.file == "" {
				files = []string{"state.json", "state.previous.json"}
			}
			for _, file := range files {
				path := filepath.Join(dir, file)
				f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
				require.NoError(t, err)
				require.NoError(t, f.Truncate(1<<40))
				require.NoError(t, f.Close())
			}
			s = openStore(t, dir)
			if c.serves == nil {
				assert.Nil(t, s.Acquire())
				assert.ErrorIs(t, s.stateLost, errTooLarge)
			} else {
				assert.Equal(t, c.serves, served(t, s))
			}
			assert.Equal(t, !c.damaged, s.HasTree(layerFor(two)))
			follow(t, s, hold(t, s, "1.0.0", content{"f": "3"}))
			assert.Equal(t, content{"f": "3"}, served(t, s))
		})
	}
}
