package store

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Somebody removes the folder of a served tree under a running service. What is not held
// elsewhere would be 503 until a sync brings it, for as long as a registry is out of reach;
// the view before is whole.
func TestAViewStandsInForATreeThatIsGone(t *testing.T) {
	old, files := content{"same": "x", "f": "1"}, content{"same": "x", "f": "2"}
	for name, c := range map[string]struct {
		pinned bool
		find   func(*testing.T, *Store)
	}{
		"which nobody has asked for": {false, func(*testing.T, *Store) {}},
		"which is pinned":            {true, func(*testing.T, *Store) {}},
		"which a check has found": {false, func(t *testing.T, s *Store) {
			_, err := s.Verify(t.Context(), VerifyOptions{})
			require.NoError(t, err)
		}},
		"which a reader has found": {false, func(t *testing.T, s *Store) {
			v := s.Acquire()
			defer v.Close()
			e, _ := v.Lookup("f")
			require.ErrorIs(t, v.Read(e, make([]byte, 1)), ErrDamaged)
			s.ReportDamage(v, e)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, dir)
			follow(t, s, hold(t, s, "1.0.0", old))
			two := hold(t, s, "2.0.0", files)
			follow(t, s, two)
			expected := s.Served().ID
			if c.pinned {
				require.NoError(t, holdVersion(s, "2.0.0"))
				two = hold(t, s, "3.0.0", old)
				follow(t, s, two)
			}
			reader := s.Acquire()
			defer reader.Close()
			byName, err := s.AcquireVersion("2.0.0")
			require.NoError(t, err)
			byName.Close()

			require.NoError(t, os.RemoveAll(treeFolder(dir, layerFor(files))))
			c.find(t, s)
			s.repairDamaged(t.Context())
			assert.Equal(t, old, served(t, s))
			assert.Equal(t, expected, s.Served().ID, "what should be served stays what it was")
			_, err = s.AcquireVersion("2.0.0")
			assert.ErrorIs(t, err, ErrNotHeld)
			for range 3 { // as polls do while the registry has nothing
				follow(t, s, two)
				s.repairDamaged(t.Context())
				require.Equal(t, old, served(t, s), "no way back while a reader has what is gone in memory")
			}

			require.NoError(t, stage(t, s, layerFor(files), files).Publish())
			s.repairDamaged(t.Context())
			assert.Equal(t, files, served(t, s))
			assert.Equal(t, expected, s.current.Load().id)
		})
	}
}

// What was removed and is held elsewhere is made anew from there, and goes on being served.
func TestATreeThatIsGoneAndHeldElsewhere(t *testing.T) {
	s := openStore(t, t.TempDir())
	files := content{"a": "x", "b": "y"}
	follow(t, s, hold(t, s, "1.0.0", content{"one": "x", "two": "y"}))
	follow(t, s, hold(t, s, "2.0.0", files))
	require.NoError(t, os.RemoveAll(treeFolder(s.dir, layerFor(files))))
	assert.Equal(t, files, served(t, s))
	s.repairDamaged(t.Context())
	assert.Equal(t, files, served(t, s))
	assert.True(t, s.HasTree(layerFor(files)))
}

// Where nothing else is whole what is left goes on being served: nothing is replaced by
// nothing.
func TestATreeThatIsGoneAndAllElseToo(t *testing.T) {
	s := openStore(t, t.TempDir())
	lower, upper := content{"low": "1"}, content{"up": "2"}
	low := hold(t, s, "1.0.0", lower)
	follow(t, s, hold(t, s, "2.0.0", upper), low)
	require.NoError(t, os.RemoveAll(treeFolder(s.dir, layerFor(upper))))
	s.repairDamaged(t.Context())
	assert.Equal(t, lower, served(t, s), "what is whole of what is followed")
	require.NoError(t, os.RemoveAll(treeFolder(s.dir, layerFor(lower))))
	s.repairDamaged(t.Context())
	assert.NotNil(t, s.current.Load())
}
