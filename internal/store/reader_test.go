package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func readStore(t *testing.T, dir string) *Snapshot {
	t.Helper()
	p, err := Read(dir)
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return p
}

// every returns the names, sizes and dates of all files of a folder.
func every(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	require.NoError(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		found[path] = info.ModTime().String()
		return err
	}))
	return found
}

func TestReadTellsWhatAServiceWouldServe(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	low := hold(t, s, "4.5.11", content{"a": "1", "b": "1"})
	top := hold(t, s, "4.5.13", content{"a": "2"})
	follow(t, s, top, low)
	before := every(t, dir)

	p := readStore(t, dir) // beside the process that has the lock
	assert.Equal(t, content{"a": "2", "b": "1"}, read(t, p.View))
	running := s.Snapshot()
	defer running.Close()
	assert.Equal(t, running.View.ID(), p.View.ID())
	assert.True(t, running.Since.Equal(p.Since))
	require.Len(t, p.Releases, 2)
	for n := range p.Releases {
		assert.Equal(t, running.Releases[n].Key(), p.Releases[n].Key())
	}
	assert.Equal(t, []Contribution{top, low}, p.Following["default"])
	assert.NoError(t, p.Damage)
	space, err := p.Space()
	require.NoError(t, err)
	assert.Equal(t, 2, space.Trees)
	assert.Positive(t, space.Bytes)
	assert.Positive(t, space.Free)
	assert.Equal(t, before, every(t, dir), "nothing was written")
}

func TestReadWhereThereIsLittle(t *testing.T) {
	_, err := Read(filepath.Join(t.TempDir(), "none"))
	assert.ErrorIs(t, err, fs.ErrNotExist)

	p := readStore(t, t.TempDir())
	assert.Nil(t, p.View)
	_, err = p.AcquireDesired()
	assert.ErrorIs(t, err, ErrNotHeld)

	newer := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(newer, "state.json"), []byte(`{"format": 99}`), 0o600))
	_, err = Read(newer)
	assert.ErrorIs(t, err, ErrNewer)
}

func TestSnapshotTellsOfDamage(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	old := hold(t, s, "4.5.11", content{"a": "1"})
	follow(t, s, old)
	served := s.Served().ID
	bad := hold(t, s, "4.5.13", content{"a": "2"})
	follow(t, s, bad)
	expected := s.Served().ID
	require.NoError(t, os.Remove(filepath.Join(dir, treesFolder, treeName(layerFor(content{"a": "2"})), "index")))
	require.NoError(t, s.Close())

	t.Run("on disk", func(t *testing.T) {
		p := readStore(t, dir)
		assert.Equal(t, served, p.View.ID())
		assert.Equal(t, expected, p.Expected.ID)
		assert.Zero(t, p.Since, "nothing is served")
	})
	t.Run("in a service", func(t *testing.T) {
		s := openStore(t, dir)
		p := s.Snapshot()
		defer p.Close()
		assert.Equal(t, served, p.View.ID())
		assert.Equal(t, expected, p.Expected.ID)
		assert.Equal(t, s.started, p.Since, "since when it takes the place of the damaged one")
	})
	t.Run("the state itself", func(t *testing.T) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "state.json"), []byte("{"), 0o600))
		p := readStore(t, dir)
		assert.Error(t, p.Damage)
		assert.NotNil(t, p.View, "the state before it is there")
	})
}

func TestDesiredIsWhatAPinHides(t *testing.T) {
	s := openStore(t, t.TempDir())
	follow(t, s, hold(t, s, "4.5.11", content{"a": "1"}))
	require.NoError(t, s.Pin(*s.Served(), "pin", "pin to 4.5.11"))
	follow(t, s, hold(t, s, "4.5.13", content{"a": "2"}))

	p := s.Snapshot()
	defer p.Close()
	assert.Equal(t, content{"a": "1"}, read(t, p.View))
	desired, err := p.AcquireDesired()
	require.NoError(t, err)
	defer desired.Close()
	assert.Equal(t, content{"a": "2"}, read(t, desired))

	_, err = s.Unpin("")
	require.NoError(t, err)
	after := s.Snapshot()
	defer after.Close()
	same, err := after.AcquireDesired()
	require.NoError(t, err)
	assert.Same(t, after.View, same, "the served view is not built a second time")
	same.Close()
}

// A snapshot is never of both sides of a swap.
func TestSnapshotIsOfOneMoment(t *testing.T) {
	s := openStore(t, t.TempDir())
	a, b := hold(t, s, "4.5.11", content{"a": "1"}), hold(t, s, "4.5.13", content{"a": "2"})
	follow(t, s, a)
	done := make(chan error, 1)
	go func() {
		var errs error
		for n := range 50 {
			_, err := s.Follow("default", []Contribution{[]Contribution{b, a}[n%2]})
			errs = errors.Join(errs, err)
		}
		done <- errs
	}()
	for ended := false; !ended; {
		select {
		case err := <-done:
			require.NoError(t, err)
			ended = true
		default:
		}
		p := s.Snapshot()
		require.Equal(t, p.Expected.ID, p.View.ID())
		require.Equal(t, p.Expected.Since, p.Since)
		p.Close()
	}
}
