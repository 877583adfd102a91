package store

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/specman/specman/internal/testenv"
)

// smallVolume mounts a file system of its own for a store.
func smallVolume(t *testing.T, options string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can mount a volume of a given size")
	}
	dir := t.TempDir()
	require.NoError(t, unix.Mount("tmpfs", dir, "tmpfs", 0, options))
	t.Cleanup(func() { assert.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

// fill leaves no room on a volume.
func fill(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "filler"))
	require.NoError(t, err)
	defer f.Close()
	for block := make([]byte, 64<<10); ; {
		if _, err := f.Write(block); err != nil {
			require.ErrorIs(t, err, unix.ENOSPC)
			if block = block[:len(block)/2]; len(block) < 512 {
				return
			}
		}
	}
}

func TestAFullVolume(t *testing.T) {
	dir := smallVolume(t, "size=8m")
	s := openStore(t, dir)
	one := content{"f": "1"}
	follow(t, s, hold(t, s, "0.0.0", one))
	two := hold(t, s, "0.0.0", content{"f": "2"})
	follow(t, s, two)
	fill(t, dir)

	st, err := s.NewStaging(layerFor(content{"big": ""}))
	if err == nil {
		err = st.File("big", time.Time{}, 1<<20, strings.NewReader(strings.Repeat("x", 1<<20)))
		if err == nil {
			err = st.Publish()
		}
		st.Discard()
	}
	assert.ErrorIs(t, err, ErrNoSpace)
	left, err := os.ReadDir(filepath.Join(dir, "staging"))
	require.NoError(t, err)
	assert.Empty(t, left, "what could not be finished is cleaned up")
	assert.Equal(t, content{"f": "2"}, served(t, s))

	assert.ErrorIs(t, s.CheckSpace(1<<20, 1), ErrNoSpace)
	assert.ErrorContains(t, s.CheckSpace(1<<20, 1), "1 MiB needed")

	target, err := s.Target("", false)
	require.NoError(t, err)
	require.NoError(t, s.Pin(target, "rollback", "rollback"), "to go back works on a full volume")
	assert.Equal(t, one, served(t, s))
	_, err = s.Unpin("")
	require.NoError(t, err)
	assert.Equal(t, content{"f": "2"}, served(t, s))
}

func TestMakeSpaceRemovesTheOldestFirst(t *testing.T) {
	dir := smallVolume(t, "size=16m")
	s := openStore(t, dir, func(o *Options) { o.Keep = 10 })
	var all []Contribution
	for n := range 4 {
		all = append(all, hold(t, s, "0.0.0", content{"f": strings.Repeat(fmt.Sprint(n), 3<<20)}))
		follow(t, s, all[n])
	}
	require.NoError(t, s.CheckSpace(1<<20, 1))
	require.NoError(t, s.MakeSpace(5<<20, 1))
	_, first := s.Held(ReleaseKey{"default", "0.0.0", all[0].Manifest})
	_, third := s.Held(ReleaseKey{"default", "0.0.0", all[2].Manifest})
	assert.False(t, first)
	assert.True(t, third, "no more than is needed")

	before := len(s.Releases())
	err := s.MakeSpace(1<<30, 1)
	assert.ErrorIs(t, err, ErrNoSpace)
	assert.Contains(t, served(t, s)["f"], "3", "what is served stays")
	assert.Len(t, s.Releases(), before, "so does what would not be room enough")
}

// A sync that is refused anyway costs nothing that people could go back to: what the older
// releases share with the served one, or with each other, is counted as what it frees.
func TestMakeSpaceRemovesNothingInVain(t *testing.T) {
	block := func(c string) string { return strings.Repeat(c, 3<<20) }
	small := func(n, files int) content {
		all := make(content)
		for m := range files {
			all[fmt.Sprint(m)] = fmt.Sprint(n, m)
		}
		return all
	}
	for name, row := range map[string]struct {
		volume             string
		releases           []content
		tooMany, tooLarge  int64 // what all would not make room for
		enough, enoughMany int64 // what they would
	}{
		"each its own":           {"size=16m", []content{{"f": block("0")}, {"f": block("1")}, {"f": block("2")}, {"f": block("3")}}, 1, 13 << 20, 11 << 20, 1},
		"shared with the served": {"size=16m", []content{{"s": block("s"), "f": "0"}, {"s": block("s"), "f": "1"}, {"s": block("s"), "f": "2"}}, 1, 13 << 20, 11 << 20, 1},
		"shared by them":         {"size=16m", []content{{"s": block("s"), "f": "0"}, {"s": block("s"), "f": "1"}, {"f": block("2")}}, 1, 13 << 20, 11<<20 + 1<<19, 1},
		"inodes":                 {"size=16m,nr_inodes=130", []content{small(0, 20), small(1, 20), small(2, 20), small(3, 20)}, 110, 1, 1, 80},
		"shared inodes":          {"size=16m,nr_inodes=130", []content{small(0, 20), small(0, 21), small(0, 22), small(0, 23)}, 110, 1, 1, 80},
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, smallVolume(t, row.volume), func(o *Options) { o.Keep = 10 })
			for n, files := range row.releases {
				follow(t, s, hold(t, s, fmt.Sprint(n), files))
			}
			err := s.MakeSpace(row.tooLarge, row.tooMany)
			assert.ErrorIs(t, err, ErrNoSpace)
			assert.ErrorContains(t, err, "store.keep holds, so they stay")
			assert.Len(t, s.Releases(), len(row.releases))
			before := s.mustVolume(t)
			bytes, inodes := s.removableSpace()
			if name != "shared with the served" {
				require.ErrorIs(t, s.CheckSpace(row.enough, row.enoughMany), ErrNoSpace)
			}
			assert.NoError(t, s.MakeSpace(row.enough, row.enoughMany))
			for r, err := s.removeOldest(); r != nil; r, err = s.removeOldest() {
				require.NoError(t, err)
			}
			after := s.mustVolume(t)
			assert.GreaterOrEqual(t, bytes, after.free-before.free, "it is no less than what they free")
			assert.GreaterOrEqual(t, inodes, after.inodes-before.inodes)
		})
	}
}

// What is removed while somebody reads it gives no room: all the others would go after it,
// in vain.
func TestMakeSpaceLeavesWhatIsRead(t *testing.T) {
	s := openStore(t, smallVolume(t, "size=16m"), func(o *Options) { o.Keep = 10 })
	var all []Contribution
	for n := range 4 {
		all = append(all, hold(t, s, "0.0.0", content{"f": strings.Repeat(fmt.Sprint(n), 3<<20)}))
		follow(t, s, all[n])
	}
	first, ok := s.Release(ReleaseKey{"default", "0.0.0", all[0].Manifest})
	require.True(t, ok)
	reader, err := s.AcquireTree(first.Layer)
	require.NoError(t, err)
	defer reader.Close()

	second, err := s.AcquireVersion(string(all[1].Manifest))
	require.NoError(t, err)
	second.Close() // it stays at hand, and nobody reads it
	require.NoError(t, s.MakeSpace(5<<20, 1))
	for n, held := range []bool{true, false, true, true} {
		_, ok := s.Held(ReleaseKey{"default", "0.0.0", all[n].Manifest})
		assert.Equal(t, held, ok, "release %d", n)
	}
}

func TestInodesCountAsSpace(t *testing.T) {
	s := openStore(t, smallVolume(t, "size=8m,nr_inodes=64"))
	assert.NoError(t, s.CheckSpace(0, 10))
	assert.ErrorContains(t, s.CheckSpace(0, 1000), "inodes")
}

// Before a download only the archive's size is known: what is in it takes more, and nobody
// may take the size that would hold the archive for one that will do.
func TestARefusalOfAnArchiveTellsTheLeast(t *testing.T) {
	s := openStore(t, smallVolume(t, "size=16m,nr_inodes=64"), func(o *Options) { o.MinFree = 1 << 20 })
	archive, tree := s.CheckSpace(18<<20, 1).Error(), s.CheckSpace(31<<20, 4).Error()
	for _, text := range []string{"at least 18 MiB needed and 1 MiB to stay free", " free in ", "a volume of at least ", "unpacking"} {
		assert.Contains(t, archive, text)
	}
	assert.Contains(t, tree, ": 31 MiB needed")
	assert.Contains(t, tree, "a volume of 33 MiB would do")
	assert.NotContains(t, tree, "at least")
}

func TestAReadOnlyVolume(t *testing.T) {
	dir := smallVolume(t, "size=8m")
	s := openStore(t, dir)
	files := content{"f": "1"}
	c := hold(t, s, "0.0.0", files)
	follow(t, s, c)
	other := hold(t, s, "0.0.0", content{"f": "2"})
	require.NoError(t, s.Close())
	require.NoError(t, unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))

	s = openStore(t, dir)
	assert.Equal(t, files, served(t, s), "what is held is served from a volume that cannot be written")
	_, err := s.Follow("default", []Contribution{other})
	assert.ErrorIs(t, err, unix.EROFS)
	_, err = s.NewStaging(layerFor(files))
	assert.ErrorIs(t, err, unix.EROFS)
	assert.Equal(t, files, served(t, s), "a failure to change it changes nothing")
	v := s.Acquire()
	defer v.Close()
	e, _ := v.Lookup("f")
	assert.Zero(t, e.Since, "without a place for its mark no date is safe")
}

// What the volume could not hold were it empty must not cost what is held.
func TestNoSpaceIsMadeForTheImpossible(t *testing.T) {
	s := openStore(t, t.TempDir(), func(o *Options) { o.MinFree = 1 << 20 })
	for n := range 3 {
		follow(t, s, hold(t, s, "1.0.0", content{"f": fmt.Sprint(n)}))
	}
	for _, bytes := range []int64{1 << 60, math.MaxInt64} { // as a manifest may say
		assert.ErrorIs(t, s.MakeSpace(bytes, 1), ErrNoSpace)
		assert.ErrorIs(t, s.CheckSpace(bytes, 1), ErrNoSpace)
	}
	assert.Len(t, s.Releases(), 3)
}

// Garbage goes also where no inode is left.
func TestGarbageGoesWithoutAnInode(t *testing.T) {
	dir := smallVolume(t, "size=8m,nr_inodes=60")
	s := openStore(t, dir, func(o *Options) { o.Keep = 0 })
	follow(t, s, hold(t, s, "1.0.0", content{"f": "1"}))
	lone := content{"g": "1"} // a crash left it, longer ago than the grace
	require.NoError(t, stage(t, s, layerFor(lone), lone).Publish())
	s.orphans[layerFor(lone)] = time.Now().Add(-time.Hour)
	for n := 0; ; n++ {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint("fill-", n)))
		if err != nil {
			require.ErrorIs(t, err, unix.ENOSPC)
			break
		}
		f.Close()
	}
	garbage, err := s.GC(false)
	require.NoError(t, err)
	assert.Equal(t, []digest.Digest{layerFor(lone)}, garbage.Trees)
}

// Where a second name takes an inode (tmpfs), and none is left, people can still go back.
func TestRollbackWithoutAnInode(t *testing.T) {
	dir := smallVolume(t, "size=8m,nr_inodes=60")
	s := openStore(t, dir)
	follow(t, s, hold(t, s, "1.0.0", content{"f": "1"}))
	follow(t, s, hold(t, s, "2.0.0", content{"f": "2"}))
	for n := 0; ; n++ {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint("fill-", n)))
		if err != nil {
			break
		}
		f.Close()
	}
	require.NoError(t, holdVersion(s, ""))
	assert.Equal(t, content{"f": "1"}, served(t, s))
	require.NoError(t, s.Close())
	assert.Equal(t, content{"f": "1"}, served(t, openStore(t, dir)))
}

// For more inodes than there are nothing is removed.
func TestNoInodesAreMadeForTheImpossible(t *testing.T) {
	s := openStore(t, smallVolume(t, "size=64m,nr_inodes=200"), func(o *Options) { o.Keep = 5 })
	for n := range 4 {
		follow(t, s, hold(t, s, "0.0.0", content{"f": fmt.Sprint(n)}))
	}
	assert.ErrorIs(t, s.MakeSpace(1, 100_000), ErrNoSpace)
	assert.Len(t, s.Releases(), 4)
}

// To roll back works on a full volume that knows no fallocate, too.
func TestRollbackOnAFullVolumeWithoutFallocate(t *testing.T) {
	dir, _ := testenv.LoopVolume(t, 16<<20, "mkfs.ext2", "-q", "-m", "0", "-I", "256")
	s := openStore(t, dir)
	follow(t, s, hold(t, s, "0.0.0", content{"f": "1"}))
	follow(t, s, hold(t, s, "0.0.0", content{"f": "2"}))
	fill(t, dir)
	pin(t, s, "")
	assert.Equal(t, content{"f": "1"}, served(t, s))
	require.NoError(t, s.Close())
}

func TestTheStateBeforeIsKeptWithoutLinks(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	state, previous := filepath.Join(dir, "state.json"), filepath.Join(dir, "state.previous.json")
	assert.ErrorIs(t, s.copyAs(state, previous), fs.ErrNotExist, "there is none yet")
	assert.NoFileExists(t, previous)
	for _, text := range []string{"one", "two"} {
		require.NoError(t, os.WriteFile(state, []byte(text), 0o600))
		require.NoError(t, s.copyAs(state, previous))
		data, err := os.ReadFile(previous)
		require.NoError(t, err)
		assert.Equal(t, text, string(data))
	}
}

// What is being removed may be room enough: nothing else is removed before that is gone.
func TestMakeSpaceWaitsForWhatIsBeingRemoved(t *testing.T) {
	dir := smallVolume(t, "size=64m")
	s := openStore(t, dir, func(o *Options) { o.Keep = 5 })
	follow(t, s, hold(t, s, "1.0.0", content{"f": "1"}))
	follow(t, s, hold(t, s, "2.0.0", content{"f": "2"}))
	going := filepath.Join(dir, stagingFolder, "gone")
	require.NoError(t, os.WriteFile(going, make([]byte, 40<<20), 0o600))
	s.removing.RLock()
	made := make(chan error)
	go func() { made <- s.MakeSpace(32<<20, 1) }()
	time.Sleep(20 * time.Millisecond)
	require.NoError(t, os.Remove(going))
	s.removing.RUnlock()
	assert.NoError(t, <-made)
	assert.Len(t, s.Releases(), 2)
}
