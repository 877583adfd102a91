package store

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Who is told that something is not held may forget it; who meets a fault asks again.
func TestAFaultIsNotAbsence(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	old := hold(t, s, "1.0.0", content{"f": "old"})
	follow(t, s, old)
	view := s.Served().ID
	follow(t, s, hold(t, s, "2.0.0", content{"f": "new"}))
	index := filepath.Join(dir, "trees", treeName(layerFor(content{"f": "old"})), "index")
	versions := []string{"1.0.0", old.Manifest.String(), view}

	require.NoError(t, os.Rename(index, index+".away"))
	require.NoError(t, os.Mkdir(index, 0o755)) // cannot be read, by root neither
	for _, version := range versions {
		_, err := s.AcquireVersion(version)
		require.Error(t, err)
		assert.NotErrorIs(t, err, ErrNotHeld, version)
	}
	require.NoError(t, os.Remove(index))
	require.NoError(t, os.Rename(index+".away", index))
	for _, version := range versions {
		v, err := s.AcquireVersion(version)
		require.NoError(t, err, "the fault is over")
		v.Close()
	}

	s.versions.drop()
	require.NoError(t, os.RemoveAll(filepath.Dir(index)))
	for _, version := range append(versions, "3.0.0") {
		_, err := s.AcquireVersion(version)
		assert.ErrorIs(t, err, ErrNotHeld, version)
	}
}
