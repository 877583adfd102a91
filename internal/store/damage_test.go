package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/specman/specman/internal/filestate"
)

// rot changes a byte of a file of a tree, as a failing disk would.
func rot(t *testing.T, dir string, files content, name string) {
	t.Helper()
	path := filepath.Join(dir, "trees", treeName(layerFor(files)), "files", name)
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	b[0] ^= 1
	require.NoError(t, os.Chmod(path, 0o644))
	require.NoError(t, os.WriteFile(path, b, 0o644))
	require.NoError(t, os.Chmod(path, 0o444))
}

func TestDamageIsFoundAndNeverServed(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	files := content{"a": "aaa", "b": "bbb"}
	c := hold(t, s, "1.0.0", files)
	follow(t, s, c)
	report, err := s.Verify(context.Background(), VerifyOptions{})
	require.NoError(t, err)
	assert.Empty(t, report.Damaged)
	assert.Equal(t, 2, report.Files)

	rot(t, dir, files, "a")
	report, err = s.Verify(context.Background(), VerifyOptions{BytesPerSecond: 1 << 20})
	require.NoError(t, err)
	require.Len(t, report.Damaged, 1)
	assert.Equal(t, "a", report.Damaged[0].Path)
	assert.Equal(t, []string{"1.0.0"}, report.Damaged[0].Tags)
	assert.False(t, s.HasTree(layerFor(files)), "so that the next sync fetches it anew")

	openA := func(s *Store) error {
		v := s.Acquire()
		defer v.Close()
		e, ok := v.Lookup("a")
		require.True(t, ok)
		f, err := v.Open(e)
		if err == nil {
			f.Close()
		}
		return err
	}
	assert.ErrorIs(t, openA(s), ErrDamaged)
	require.NoError(t, s.Close())
	s = openStore(t, dir)
	assert.ErrorIs(t, openA(s), ErrDamaged, "after a restart too")

	held := s.Acquire()
	require.NoError(t, stage(t, s, layerFor(files), files).Publish())
	assert.Equal(t, files, served(t, s), "the repaired tree takes the place of the damaged one at once")
	e, _ := held.Lookup("b")
	f, err := held.Open(e)
	require.NoError(t, err, "who held the damaged one goes on reading it")
	f.Close()
	held.Close()
	emptied(t, dir)
	assert.True(t, s.HasTree(layerFor(files)))
}

func TestRepairFromAnotherTree(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	files := content{"a": "aaa", "d/b": "bbb"}
	other := content{"copy": "aaa"}
	low := hold(t, s, "0.9.0", other) // before any view is served: nothing to share files with
	follow(t, s, hold(t, s, "1.0.0", files), low)
	rot(t, dir, files, "a")
	_, err := s.Verify(context.Background(), VerifyOptions{})
	require.NoError(t, err)
	assert.Equal(t, content{"a": "aaa", "d/b": "bbb", "copy": "aaa"}, served(t, s), "a request falls to another copy")
	ended, end := context.WithCancel(t.Context())
	end()
	require.ErrorIs(t, s.Repair(ended, layerFor(files)), context.Canceled, "a pod that is told to end does not wait for it")
	assert.False(t, s.HasTree(layerFor(files)))
	require.NoError(t, s.Repair(t.Context(), layerFor(files)))
	assert.True(t, s.HasTree(layerFor(files)))
	assert.Equal(t, content{"a": "aaa", "d/b": "bbb", "copy": "aaa"}, served(t, s))

	rot(t, dir, files, "d/b")
	_, err = s.Verify(context.Background(), VerifyOptions{})
	require.NoError(t, err)
	err = s.Repair(t.Context(), layerFor(files))
	assert.True(t, errors.Is(err, ErrNotHeld), "%v", err)
}

func TestOfTwoCopiesTheGoodOneIsShared(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	upper, lower := content{"a": "aaa"}, content{"b": "aaa"}
	low := hold(t, s, "0.9.0", lower) // before any view is served: nothing to share files with
	follow(t, s, hold(t, s, "1.0.0", upper), low)
	rot(t, dir, lower, "b")
	_, err := s.Verify(context.Background(), VerifyOptions{})
	require.NoError(t, err)

	next := content{"c": "aaa"}
	require.NoError(t, stage(t, s, layerFor(next), next).Publish())
	path := func(files content, name string) os.FileInfo {
		info, err := os.Stat(filepath.Join(dir, "trees", treeName(layerFor(files)), "files", name))
		require.NoError(t, err)
		return info
	}
	assert.True(t, os.SameFile(path(upper, "a"), path(next, "c")))
}

func TestADamagedTreeAtStart(t *testing.T) {
	for name, harm := range map[string]func(t *testing.T, tree string){
		"its index has a flipped bit": func(t *testing.T, tree string) {
			b, err := os.ReadFile(filepath.Join(tree, "index"))
			require.NoError(t, err)
			b[len(b)/2] ^= 1
			require.NoError(t, os.WriteFile(filepath.Join(tree, "index"), b, 0o644))
		},
		"its index is cut short": func(t *testing.T, tree string) { require.NoError(t, os.Truncate(filepath.Join(tree, "index"), 30)) },
		"it is gone":             func(t *testing.T, tree string) { require.NoError(t, os.RemoveAll(tree)) },
		"its files are gone":     func(t *testing.T, tree string) { require.NoError(t, os.RemoveAll(filepath.Join(tree, "files"))) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, dir)
			one, two := content{"f": "1"}, content{"f": "2"}
			follow(t, s, hold(t, s, "1.0.0", one))
			second := hold(t, s, "1.0.0", two)
			follow(t, s, second)
			require.NoError(t, s.Close())
			harm(t, filepath.Join(dir, "trees", treeName(layerFor(two))))

			s = openStore(t, dir)
			assert.Equal(t, one, served(t, s), "the newest whole view of the history")
			hold(t, s, "1.0.0", two) // what the next sync does
			assert.True(t, follow(t, s, second))
			assert.Equal(t, two, served(t, s))
		})
	}
}

func TestDamagedState(t *testing.T) {
	files := content{"f": "1"}
	prepare := func(t *testing.T) string {
		dir := t.TempDir()
		s := openStore(t, dir)
		follow(t, s, hold(t, s, "1.0.0", files))
		require.NoError(t, s.Close())
		return dir
	}
	t.Run("cut short", func(t *testing.T) {
		dir := prepare(t)
		require.NoError(t, os.Truncate(filepath.Join(dir, "state.json"), 20))
		s := openStore(t, dir) // from state.previous.json
		hold(t, s, "1.0.0", files)
		follow(t, s, hold(t, s, "1.0.0", files))
		assert.Equal(t, files, served(t, s))
	})
	t.Run("both copies lost", func(t *testing.T) {
		dir := prepare(t)
		require.NoError(t, os.Truncate(filepath.Join(dir, "state.json"), 20))
		require.NoError(t, os.Remove(filepath.Join(dir, "state.previous.json")))
		s := openStore(t, dir)
		assert.True(t, s.HasTree(layerFor(files)), "the next sync finds the tree without a download")
	})
	for name, newer := range map[string]func(ours []byte) []byte{
		"of a newer Specman": func([]byte) []byte { return []byte(`{"format": 99}`) },
		"of a newer Specman that seals it in its own way": func(ours []byte) []byte {
			return bytes.Replace(ours, []byte(`"format": 1`), []byte(`"format": 2`), 1)
		},
		"of a newer Specman whose fields are others": func([]byte) []byte { return []byte(`{"format": 2, "releases": {}}`) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := prepare(t)
			path := filepath.Join(dir, "state.json")
			ours, err := os.ReadFile(path)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(path, newer(ours), 0o644))
			_, err = Open(context.Background(), Options{Dir: dir})
			assert.ErrorIs(t, err, ErrNewer)
			kept, err := os.ReadFile(path)
			require.NoError(t, err)
			assert.Equal(t, newer(ours), kept, "it is left alone")
		})
		t.Run("cut short, and the one before "+name, func(t *testing.T) {
			dir := prepare(t)
			current, previous := filepath.Join(dir, "state.json"), filepath.Join(dir, "state.previous.json")
			ours, err := os.ReadFile(current)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(previous, newer(ours), 0o644))
			for _, harm := range []func() error{func() error { return os.Truncate(current, 20) }, func() error { return os.Remove(current) }} {
				require.NoError(t, harm())
				_, err = Open(context.Background(), Options{Dir: dir})
				assert.ErrorIs(t, err, ErrNewer)
			}
			kept, err := os.ReadFile(previous)
			require.NoError(t, err)
			assert.Equal(t, newer(ours), kept, "it is left alone")
		})
	}
}

// Where a note of damage cannot be read each file is looked at before it is served again,
// and what is whole is served.
func TestANoteOfDamageThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	files := content{"a": "aaa", "b": "bbb"}
	s := damagedStore(t, dir, files)
	require.NoError(t, s.Close())
	note := filepath.Join(treeFolder(dir, layerFor(files)), damageFile)
	require.NoError(t, os.Remove(note))
	require.NoError(t, os.Mkdir(note, 0o755))
	s = openStore(t, dir)
	assert.Equal(t, "bbb", servedFile(t, s, "b"))
	assert.False(t, s.HasTree(layerFor(files)))

	// Everybody who takes a tree waits for its loading: no file is read meanwhile.
	v := s.Acquire()
	defer v.Close()
	assert.Empty(t, *v.trees[0].damaged.Load())
	e, ok := v.Lookup("a")
	require.True(t, ok)
	_, err := v.Open(e)
	assert.ErrorIs(t, err, ErrDamaged)
	assert.Len(t, *v.trees[0].damaged.Load(), 1)
	lines, err := os.ReadFile(note)
	assert.Error(t, err, "%s: there is a folder in the place of the note", lines)
}

// A note of damage that was cut short is written anew with what is found, and the tree is
// made whole once its content is had.
func TestANoteOfDamageThatWasCutShort(t *testing.T) {
	dir := t.TempDir()
	files := content{"a": "aaa", "b": "bbb"}
	s := damagedStore(t, dir, files)
	require.NoError(t, s.Close())
	note := filepath.Join(treeFolder(dir, layerFor(files)), damageFile)
	require.NoError(t, os.Truncate(note, 1))
	s = openStore(t, dir)
	assert.Equal(t, []digest.Digest{layerFor(files)}, s.DamagedTrees())
	v := s.Acquire()
	e, ok := v.Lookup("a")
	require.True(t, ok)
	_, err := v.Open(e)
	assert.ErrorIs(t, err, ErrDamaged)
	v.Close()
	lines, err := os.ReadFile(note)
	require.NoError(t, err)
	assert.Equal(t, string(seal([]byte("a\n"))), string(lines))

	hold(t, s, "0.9.0", content{"copy": "aaa"})
	s.repairDamaged(t.Context())
	assert.True(t, s.HasTree(layerFor(files)))
	assert.Equal(t, files, served(t, s))
}

// What a check has found is not served while it goes on, nor after it was cut off.
func TestDamageIsMarkedAsItIsFound(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	files := content{"aa": "first"}
	for n := range 100 {
		files[fmt.Sprintf("b%02d", n)] = "x"
	}
	follow(t, s, hold(t, s, "1.0.0", files))
	rot(t, dir, files, "aa")
	ctx, cancel := context.WithCancel(t.Context())
	report, err := s.Verify(ctx, VerifyOptions{Progress: func(VerifyReport) {
		v := s.Acquire()
		defer v.Close()
		e, _ := v.Lookup("aa")
		_, err := v.Open(e)
		assert.ErrorIs(t, err, ErrDamaged)
		cancel()
	}})
	assert.ErrorIs(t, err, context.Canceled)
	assert.Len(t, report.Damaged, 1)
	assert.False(t, s.HasTree(layerFor(files)))
}

// emptied waits until nothing is left in staging: what was replaced goes with its last
// reader, who does not wait for it.
func emptied(t *testing.T, dir string) {
	t.Helper()
	assert.Eventually(t, func() bool {
		left, err := os.ReadDir(filepath.Join(dir, stagingFolder))
		return err == nil && len(left) == 0
	}, 10*time.Second, time.Millisecond)
}

// What a disk does not give is damage, whatever it says; what this process lacks is not.
func TestWhatReadingMeets(t *testing.T) {
	for _, err := range []error{unix.EIO, unix.EINVAL, unix.ESTALE, io.ErrUnexpectedEOF} {
		assert.ErrorIs(t, asDamage(&fs.PathError{Op: "read", Err: err}), ErrDamaged)
		assert.ErrorIs(t, asDamage(&fs.PathError{Op: "read", Err: err}), err)
	}
	for _, err := range []error{unix.EMFILE, unix.ENFILE, unix.ENOMEM} {
		assert.NotErrorIs(t, asDamage(&fs.PathError{Op: "read", Err: err}), ErrDamaged)
	}
	assert.NoError(t, asDamage(nil))
}

// What was given for a file that is known to be damaged came from another tree, which is
// vouched for: a fault that leaves no trace on it is found there.
func TestDamageOfTheCopyThatIsServed(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	large := strings.Repeat("x", vouchFrom+1)
	one, two := content{"l": large}, content{"m": large}
	a, b := hold(t, s, "1.0.0", one), hold(t, s, "2.0.0", two) // nothing was served: no file is shared
	follow(t, s, a, b)
	v := s.Acquire()
	defer v.Close()
	e, ok := v.Lookup("l")
	require.True(t, ok)
	open := func() error {
		f, err := v.Open(e)
		if err == nil {
			f.Close()
		}
		return err
	}
	rot(t, dir, one, "l")
	require.NoError(t, open(), "the other tree has it")
	s.ReportDamage(v, e)
	require.Len(t, s.DamagedTrees(), 1)

	rot(t, dir, two, "m")
	copied := v.trees[1]
	rec, ok := copied.find("m")
	require.True(t, ok)
	time.Sleep(1100 * time.Millisecond) // see filestate.Settled
	f, info, err := copied.openFile(rec)
	require.NoError(t, err)
	f.Close()
	copied.vouchers.of(rec).seen = filestate.Of(info) // as if nothing had changed on it
	require.NoError(t, open(), "it is vouched for")
	s.ReportDamage(v, e)
	assert.ErrorIs(t, open(), ErrDamaged)
	assert.Len(t, s.DamagedTrees(), 2)
}

// What GC has removed is not damaged any more, nor repaired when it comes again.
func TestWhatIsGoneIsNotDamaged(t *testing.T) {
	s := openStore(t, t.TempDir(), func(o *Options) { o.Keep = 0 })
	old := content{"f": "old"}
	follow(t, s, hold(t, s, "1.0.0", old))
	rot(t, s.dir, old, "f")
	_, err := s.Verify(t.Context(), VerifyOptions{})
	require.NoError(t, err)
	require.Len(t, s.DamagedTrees(), 1)
	follow(t, s, hold(t, s, "1.0.0", content{"f": "new"}))
	garbage, err := s.GC(false)
	require.NoError(t, err)
	require.Len(t, garbage.Trees, 1)
	assert.Empty(t, s.DamagedTrees())
}

// Trees that no state names are not passed over in silence.
func TestTreesWithoutAState(t *testing.T) {
	s := openStore(t, t.TempDir())
	assert.NoError(t, s.stateLost, "an empty store has none")
	follow(t, s, hold(t, s, "1.0.0", content{"f": "1"}))
	require.NoError(t, s.Close())
	for _, name := range []string{"state.json", "state.previous.json"} {
		require.NoError(t, os.Remove(filepath.Join(s.dir, name)))
	}
	s = openStore(t, s.dir)
	assert.ErrorContains(t, s.stateLost, "holds 1 trees, but there is no state.json")
	p, err := Read(s.dir)
	require.NoError(t, err)
	defer p.Close()
	assert.Equal(t, s.stateLost, p.Damage)
}
