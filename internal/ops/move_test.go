package ops

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/specman/specman/internal/store"
)

// moving is a running server with three views in its history, and a client.
func moving(t *testing.T) (*rig, *Client) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "control.sock")
	r := newRig(t, func(o *Options) { o.Socket = socket })
	for _, text := range []string{"1", "2", "3"} {
		r.follow(r.hold("0.0.0", files{"same": "x", "f": text, "only" + text: "only " + text}))
	}
	r.run()
	return r, &Client{Socket: socket}
}

func TestRollbackPinUnpin(t *testing.T) {
	r, client := moving(t)
	third := r.store.Served().ID

	planned, err := client.Rollback(t.Context(), MoveRequest{DryRun: true})
	require.NoError(t, err)
	assert.True(t, planned.DryRun)
	assert.Equal(t, third, r.store.Served().ID, "a dry run changes nothing")

	m, err := client.Rollback(t.Context(), MoveRequest{})
	require.NoError(t, err)
	assert.Equal(t, "specman-0", m.Replica)
	assert.Equal(t, third, m.From)
	assert.Equal(t, planned.To, m.To)
	assert.Equal(t, m.To, r.store.Served().ID)
	assert.Equal(t, []string{"only2"}, m.Added)
	assert.Equal(t, []string{"only3"}, m.Removed)
	assert.Equal(t, []string{"f"}, m.Changed)
	assert.True(t, m.Pinned)
	assert.Contains(t, r.log.String(), "changed by hand")

	_, err = client.Rollback(t.Context(), MoveRequest{})
	require.NoError(t, err)
	_, err = client.Rollback(t.Context(), MoveRequest{})
	var refused *RefusedError
	require.ErrorAs(t, err, &refused)
	assert.Equal(t, 404, refused.Status, "there is nothing before the first")
	assert.Regexp(t, `^a view before v-\w+ that can be served: not held$`, refused.Detail)

	_, err = client.Pin(t.Context(), MoveRequest{})
	require.ErrorAs(t, err, &refused, "it is held already")
	m, err = client.Unpin(t.Context(), MoveRequest{})
	require.NoError(t, err)
	assert.Equal(t, third, m.To)
	assert.Nil(t, r.store.Pinned())
	_, err = client.Unpin(t.Context(), MoveRequest{})
	require.ErrorAs(t, err, &refused)

	m, err = client.Pin(t.Context(), MoveRequest{})
	require.NoError(t, err)
	assert.Equal(t, third, m.To)
	assert.Empty(t, m.Changed)
	require.NotNil(t, r.store.Pinned())
	assert.Contains(t, r.store.Pinned().Reason, "the control socket")
	held := `msg="What is served is held by hand" by="the control socket" view=` + third
	assert.Contains(t, r.log.String(), held, "it has not changed")
	assert.NotContains(t, r.log.String(), "from="+third+" to="+third)
	_, err = client.Unpin(t.Context(), MoveRequest{})
	require.NoError(t, err)
	assert.Contains(t, r.log.String(), "What is served is not held any more")
}

func TestPinToWhatIsServedByItsTag(t *testing.T) {
	r := newRig(t)
	r.follow(r.hold("1.0.0", files{"f": "1"}))
	m, err := PinTo(r.store, MoveRequest{Version: "1.0.0"})
	require.NoError(t, err)
	assert.Equal(t, m.From, m.To)
	_, err = PinTo(r.store, MoveRequest{Version: "1.0.0"})
	assert.ErrorIs(t, err, store.ErrAlreadyThere)
}

// reopenWithout opens a store again, of which the tree that is served has lost its index
// meanwhile, until mend.
func reopenWithout(t *testing.T, s *store.Store) (again *store.Store, mend func()) {
	t.Helper()
	v := s.Acquire()
	index := filepath.Join(filepath.Dir(v.Folder()), "index")
	v.Close()
	dir := s.Dir()
	require.NoError(t, s.Close())
	require.NoError(t, os.Rename(index, index+".away"))
	again, err := store.Open(t.Context(), store.Options{Dir: dir, Keep: 3})
	require.NoError(t, err)
	t.Cleanup(func() { again.Close() })
	return again, func() { require.NoError(t, os.Rename(index+".away", index)) }
}

// To pin what should be served, while another view stands in for it, is no pin of that one.
func TestPinOfWhatAnotherStandsInFor(t *testing.T) {
	for _, by := range []string{"tag", "id"} {
		t.Run(by, func(t *testing.T) {
			r := newRig(t)
			r.follow(r.hold("1.0.0", files{"f": "1"}))
			r.follow(r.hold("2.0.0", files{"f": "2"}))
			expected := r.store.Served().ID
			st, _ := reopenWithout(t, r.store)

			version := map[string]string{"tag": "2.0.0", "id": expected}[by]
			for _, move := range []func(Mover, MoveRequest) (Move, error){Rollback, PinTo} {
				_, err := move(st, MoveRequest{Version: version})
				assert.ErrorIs(t, err, store.ErrNotHeld)
				assert.ErrorContains(t, err, "a tree of that view is lost")
				assert.Nil(t, st.Pinned())
			}
		})
	}
}

// A pin can be ended while a tree of what is followed is lost: what was held goes on being
// served, and what is followed takes its place once it is had again.
func TestUnpinWhereWhatIsFollowedIsLost(t *testing.T) {
	r, client := moving(t)
	r.follow(r.hold("1.0.0", files{"f": "1"}))
	one := r.store.Served().ID
	r.follow(r.hold("2.0.0", files{"f": "2"}))
	v := r.store.Acquire()
	lost := filepath.Dir(v.Folder())
	v.Close()
	_, err := client.Rollback(t.Context(), MoveRequest{})
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(lost))
	_, err = client.Rollback(t.Context(), MoveRequest{Version: "2.0.0", Alone: true})
	assert.ErrorContains(t, err, "`specman verify --repair`")

	for _, dryRun := range []bool{true, false} {
		m, err := client.Unpin(t.Context(), MoveRequest{DryRun: dryRun})
		require.NoError(t, err)
		assert.Equal(t, one, m.To)
		assert.False(t, m.Pinned)
		assert.Empty(t, m.Changed)
		assert.Equal(t, dryRun, r.store.Pinned() != nil)
	}
	assert.Equal(t, one, r.store.Served().ID)
}

// To hold what stands in is to be where it lies in the history: a rollback goes back from there.
func TestRollbackAfterAPinOfWhatStandsIn(t *testing.T) {
	r := newRig(t)
	r.follow(r.hold("1.0.0", files{"f": "1"}))
	one := r.store.Served().ID
	r.follow(r.hold("2.0.0", files{"f": "2"}))
	two := r.store.Served().ID
	c := r.hold("3.0.0", files{"f": "3"})
	r.follow(c)
	three := r.store.Served().ID
	st, mend := reopenWithout(t, r.store)

	m, err := PinTo(st, MoveRequest{}) // "stay where you are until I know more"
	require.NoError(t, err)
	require.Equal(t, two, m.To)
	mend()
	m, err = Rollback(st, MoveRequest{})
	require.NoError(t, err)
	assert.Equal(t, one, m.To, "the view before")
	assert.NotEqual(t, three, m.To, "forward")
}

func TestAReadOnlyVolumeIsNamedWithItsCure(t *testing.T) {
	w := httptest.NewRecorder()
	newRig(t).server.refuse(w, fmt.Errorf("hold a view: %w", unix.EROFS))
	p := problemOf(t, w)
	assert.Equal(t, 409, p.Status)
	assert.Equal(t, "hold a view: read-only file system: "+store.ReadOnlyCure, p.Detail)
}

func TestForgetThroughTheSocket(t *testing.T) {
	r, client := moving(t)
	low := r.hold("1.0.0", files{"low": "1"})
	top := r.hold("2.0.0", files{"top": "1"})
	r.follow(top, low)
	f, err := client.Forget(t.Context(), "2.0.0")
	require.NoError(t, err)
	assert.Equal(t, top.Manifest, f.Release.Manifest)
	assert.False(t, f.Served)
	assert.Empty(t, f.Also)
	v := r.store.Acquire()
	defer v.Close()
	_, ok := v.Lookup("top")
	assert.False(t, ok)
	var refused *RefusedError
	_, err = client.Forget(t.Context(), "9.9.9")
	require.ErrorAs(t, err, &refused)
	assert.Equal(t, 404, refused.Status)
	_, err = client.Forget(t.Context(), "1.0.0")
	require.ErrorAs(t, err, &refused)
	assert.Equal(t, 409, refused.Status, "it is all that is served")

	_, err = client.Pin(t.Context(), MoveRequest{})
	require.NoError(t, err)
	f, err = client.Forget(t.Context(), "1.0.0")
	require.NoError(t, err)
	assert.True(t, f.Served, "the pin keeps it")
}

// A retag, as `crane copy` makes one: what is taken out is a digest, under all its names.
func TestForgetNamesAllThatGo(t *testing.T) {
	r := newRig(t)
	low, top := r.hold("1.0.0", files{"f": "1"}), r.hold("2.0.0", files{"f": "2"})
	again, ok := r.store.Release(store.ReleaseKey{Source: "default", Tag: "2.0.0", Manifest: top.Manifest})
	require.True(t, ok)
	again.Tag = "0.0.0"
	require.NoError(t, r.store.Add(again))
	r.follow(store.Contribution{Tag: "0.0.0", Manifest: top.Manifest}, top, low)
	f, err := ForgetRelease(r.store, "2.0.0", "")
	require.NoError(t, err)
	assert.Equal(t, "2.0.0", f.Release.Tag)
	require.Len(t, f.Also, 1)
	assert.Equal(t, "0.0.0", f.Also[0].Tag)
}

func TestVerifyThroughTheSocket(t *testing.T) {
	r, client := moving(t)
	result, err := client.Verify(t.Context(), false)
	require.NoError(t, err)
	assert.Equal(t, 3, result.Trees)
	assert.Empty(t, result.Left)

	// "same" is one file on disk, shared by all three trees.
	paths, err := filepath.Glob(filepath.Join(r.store.Dir(), "trees/*/files/only3"))
	require.NoError(t, err)
	require.Len(t, paths, 1)
	require.NoError(t, os.Chmod(paths[0], 0o644))
	require.NoError(t, os.WriteFile(paths[0], []byte("only 4"), 0o644))
	result, err = client.Verify(t.Context(), true)
	require.NoError(t, err)
	require.Len(t, result.Left, 1, "neither another tree nor the source has it")
	assert.Equal(t, "only3", result.Left[0].Path)
	assert.Zero(t, result.Repaired)
	assert.Equal(t, 1, r.source.syncs, "the source was asked for it")
}

func TestGCThroughTheSocket(t *testing.T) {
	r, client := moving(t)
	require.NoError(t, r.store.Configure(store.Options{Keep: 1}))
	planned, err := client.GC(t.Context(), true)
	require.NoError(t, err)
	assert.True(t, planned.DryRun)
	require.Len(t, planned.Releases, 1)
	done, err := client.GC(t.Context(), false)
	require.NoError(t, err)
	assert.Equal(t, planned.Releases, done.Releases)
	assert.Len(t, done.Trees, 1)
	assert.Len(t, r.store.Releases(), 2)
}

// A view that a command has looked at is let go of, or its trees would stay until a restart.
func TestUnpinLetsGoOfWhatWasServed(t *testing.T) {
	r := newRig(t)
	r.follow(r.hold("1.0.0", files{"a": "1"}))
	require.NoError(t, r.store.Pin(*r.store.Served(), "pin", "test"))
	r.follow(r.hold("2.0.0", files{"a": "2"}))
	_, err := Follow(r.store, MoveRequest{})
	require.NoError(t, err)
	require.NoError(t, r.store.Configure(store.Options{Sources: []string{"default"}}))
	garbage, err := r.store.GC(false)
	require.NoError(t, err)
	assert.Len(t, garbage.Trees, 1)
}

// syncing is a store to which a sync contributes while a command looks at it.
type syncing struct {
	*store.Store
	sync func()
}

func (s syncing) Unpin(by string) (bool, error) {
	s.sync()
	return s.Store.Unpin(by)
}

func (s syncing) Pin(target store.ViewRecord, kind, reason string) error {
	s.sync()
	return s.Store.Pin(target, kind, reason)
}

// What is told is what is served now, and not what would have been served a moment ago.
func TestUnpinTellsWhatItMovedTo(t *testing.T) {
	r := newRig(t)
	r.follow(r.hold("1.0.0", files{"same": "x", "f": "1"}))
	one := r.store.Served().ID
	require.NoError(t, r.store.Pin(*r.store.Served(), "pin", "test"))
	r.follow(r.hold("2.0.0", files{"same": "x", "f": "2"}))
	m, err := Follow(syncing{r.store, func() { r.follow(r.hold("3.0.0", files{"same": "x", "g": "3"})) }}, MoveRequest{})
	require.NoError(t, err)
	assert.Equal(t, one, m.From)
	assert.Equal(t, r.store.Served().ID, m.To)
	assert.Equal(t, "3.0.0", m.Top[0].Tag)
	assert.Equal(t, []string{"g"}, m.Added)
	assert.Equal(t, []string{"f"}, m.Removed)
	assert.Empty(t, m.Changed)
}

// To hold a view is to be there, whatever a sync has served since it was chosen.
func TestRollbackTellsWhatItMovedTo(t *testing.T) {
	r := newRig(t)
	r.follow(r.hold("1.0.0", files{"f": "1"}))
	one := r.store.Served().ID
	r.follow(r.hold("2.0.0", files{"f": "2"}))
	s := syncing{r.store, func() { r.follow(r.hold("3.0.0", files{"f": "3"})) }}
	m, err := Rollback(s, MoveRequest{})
	require.NoError(t, err)
	assert.Equal(t, one, m.To)
	assert.Equal(t, one, r.store.Served().ID)
	assert.Equal(t, []string{"f"}, m.Changed)
}

// Commands hold what they look at until they have told of it, and no longer.
func TestMovesLetGoOfWhatTheyLookedAt(t *testing.T) {
	r := newRig(t)
	for _, text := range []string{"1", "2", "3"} {
		r.follow(r.hold(text+".0.0", files{"f": text}))
	}
	for _, move := range []func(Mover, MoveRequest) (Move, error){Rollback, Follow, PinTo, Follow} {
		for _, dryRun := range []bool{true, false} {
			_, err := move(r.store, MoveRequest{DryRun: dryRun})
			require.NoError(t, err)
		}
	}
	require.NoError(t, r.store.Configure(store.Options{Sources: []string{"default"}}))
	garbage, err := r.store.GC(false)
	require.NoError(t, err)
	assert.Len(t, garbage.Trees, 2)
}
