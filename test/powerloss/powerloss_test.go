package powerloss

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/specman/specman/internal/store"
)

// version is a release as the program has stored it.
type version struct {
	store.Release
	view  string // its id, where the release is served alone
	files content
}

// session is a command that was recorded, and what it is allowed to change.
type session struct {
	command       string
	from, to      int // operations; what lies between two commands belongs to the later
	before, after *version
	// damaged is a path whose bytes are wrong on disk; it may be refused.
	damaged string
}

// recording is the life of a store: commands, one after the other.
type recording struct {
	*site
	*recorder
	sessions []session
	now      *version
}

func newRecording(t *testing.T, dir string) *recording {
	t.Helper()
	s := newSite(t, filepath.Join(dir, "store"), "SPECMAN_STORE_KEEP=9")
	r, err := newRecorder(dir)
	require.NoError(t, err)
	return &recording{site: s, recorder: r}
}

// command records a command after which want is served.
func (r *recording) command(want content, args ...string) *session {
	r.t.Helper()
	s := session{command: strings.Join(args, " "), before: r.now}
	if n := len(r.sessions); n > 0 {
		s.from = r.sessions[n-1].to
	}
	status, out := r.traced(r.recorder, args...)
	require.NoError(r.t, r.err)
	if r.kill == nil {
		require.Zero(r.t, status, "%s: %s", s.command, out)
	}
	r.assertRecorded()
	r.look(want)
	s.to, s.after = len(r.operations), r.now
	r.sessions = append(r.sessions, s)
	return &r.sessions[len(r.sessions)-1]
}

// look notes which version the store serves now.
func (r *recording) look(want content) {
	r.t.Helper()
	p, err := store.Read(r.site.dir)
	require.NoError(r.t, err)
	defer p.Close()
	require.NotNil(r.t, p.View)
	require.Len(r.t, p.View.Releases(), 1)
	r.now = &version{Release: p.View.Releases()[0], view: p.View.ID(), files: want}
}

// assertRecorded compares what the recorder knows with what is on the disk:
// nothing that the program did has escaped it.
func (r *recording) assertRecorded() {
	r.t.Helper()
	found := make(map[string]bool)
	require.NoError(r.t, filepath.WalkDir(r.recorder.dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && path != r.recorder.dir {
			name, _ := filepath.Rel(r.recorder.dir, path)
			found[name] = true
		}
		return err
	}))
	known := r.recorder.now.tree()
	require.Equal(r.t, sortedPaths(found), sortedPaths(known))
	for name, n := range known {
		if n.folder || n.target != "" {
			continue
		}
		b, err := os.ReadFile(filepath.Join(r.recorder.dir, name))
		require.NoError(r.t, err)
		require.True(r.t, bytes.Equal(b, r.recorder.now.holds(n).data), "%s is not what was recorded", name)
	}
}

// rot changes a byte of a served file as a failing disk does: for good.
func (r *recording) rot(name string) {
	r.t.Helper()
	path := filepath.Join("store", "trees", strings.Replace(r.now.Layer.String(), ":", "-", 1), "files", name)
	file := r.recorder.now.tree()[path]
	require.NotNil(r.t, file)
	b := bytes.Clone(r.recorder.now.holds(file).data)
	b[len(b)/2] ^= 1
	require.NoError(r.t, os.WriteFile(filepath.Join(r.recorder.dir, path), b, 0o444))
	r.apply(operation{what: "rot", file: file, data: b, size: -1})
	r.apply(operation{what: "for good", flush: true, covers: file, began: len(r.operations)})
}

// killed records a command that is killed when it has done what is described so.
func (r *recording) killed(what string, want content, args ...string) {
	r.t.Helper()
	r.kill = func(op *operation) bool { return strings.Contains(op.what, what) }
	r.command(want, args...)
	require.True(r.t, r.doomed, "nothing was done that is %q", what)
	r.kill, r.doomed = nil, false
}

// record makes the life of a store.
func record(t *testing.T, dir string) *recording {
	t.Helper()
	r := newRecording(t, dir)
	one, two, three := tree("1"), tree("2"), tree("3")
	r.push(one)
	r.command(one, "sync")
	r.push(two)
	r.command(two, "sync")
	var links int
	for _, op := range r.operations {
		if strings.HasPrefix(op.what, "link store/staging/") || strings.Contains(op.what, "/files/") && strings.HasPrefix(op.what, "link ") {
			links++
		}
	}
	require.Positive(t, links, "the second sync links what did not change")
	r.command(one, "rollback")
	r.command(two, "unpin")

	// A process that is killed and then the power: what the next one finds need
	// not be durable.
	r.push(three)
	r.killed("/aside-", two, "sync")
	r.killed("→ store/trees/", two, "sync")
	r.killed("→ store/state.json", two, "sync")
	r.command(three, "sync")
	r.extra = []string{"SPECMAN_STORE_KEEP=1"}
	r.command(three, "gc")

	r.rot("roar/nickfury/versions.yaml")
	s := r.command(three, "verify", "--repair")
	s.damaged = "roar/nickfury/versions.yaml"
	r.push(one)
	r.command(one, "sync")
	return r
}

func TestPowerLoss(t *testing.T) {
	for _, c := range []struct {
		name string
		dir  func(t *testing.T) string
	}{
		{"a file system that is flushed as a whole", func(t *testing.T) string { return volume(t, "") }},
		{"one whose files are flushed one by one", overlay},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := c.dir(t)
			r := record(t, dir)
			r.replay(volume(t, ""))
		})
	}
}

// overlay mounts an overlayfs, which cannot be trusted to flush as a whole.
func overlay(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can mount an overlayfs")
	}
	base, dir := volume(t, ""), t.TempDir()
	for _, name := range []string{"lower", "upper", "work"} {
		require.NoError(t, os.Mkdir(filepath.Join(base, name), 0o755))
	}
	require.NoError(t, unix.Mount("overlay", dir, "overlay", 0, fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", base)))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

// replay cuts the power at every moment of the recording and opens what is left.
func (r *recording) replay(dir string) {
	t, random := r.t, rand.New(rand.NewPCG(7, 11))
	perCut, everySync := 5, 97
	if torture {
		perCut, everySync = 60, 97
	}
	seen := make(map[string]bool)
	var cuts, states, synced int
	session := 0
	for c := range r.cuts(0) {
		cuts++
		for c.at > r.sessions[session].to {
			session++
		}
		s := &r.sessions[session]
		for what, d := range c.states(perCut, random) {
			key := fmt.Sprintf("%d %t %x", session, c.at >= s.to, d.fingerprint())
			if seen[key] {
				continue
			}
			seen[key] = true
			states++
			last := "nothing"
			if c.at > 0 {
				last = r.operations[c.at-1].what
			}
			where := fmt.Sprintf("%s, cut after operation %d (%s): %s", s.command, c.at-s.from, last, what)
			state := filepath.Join(dir, fmt.Sprint(states))
			require.NoError(t, os.Mkdir(state, 0o755))
			require.NoError(t, d.build(state))
			r.check(filepath.Join(state, "store"), s, c.at >= s.to, where)
			if states%everySync == 0 {
				synced++
				r.checkSync(filepath.Join(state, "store"), where)
			}
			require.NoError(t, os.RemoveAll(state))
		}
	}
	require.Equal(t, len(r.operations)+1, cuts)
	t.Logf("%d operations of %d commands, cut at %d moments: %d different states opened, all whole; %d of them synced by the program", len(r.operations), len(r.sessions), cuts, states, synced)
}

// check opens a state: what is served is what was served before the command, or
// after it, whole; and the next sync completes.
func (r *recording) check(dir string, s *session, ended bool, where string) {
	t := r.t
	t.Helper()
	opened, err := store.Open(context.Background(), store.Options{Dir: dir, Keep: 1})
	require.NoError(t, err, where)
	defer opened.Close()
	allowed := []*version{s.after}
	if !ended {
		allowed = append(allowed, s.before)
	}
	var expected *version
	view, wrong, err := served(opened, func(view string) content {
		if expected = find(allowed, view); expected == nil {
			return nil
		}
		return expected.files
	})
	switch {
	case view == "" && s.before == nil && !ended:
	case expected == nil:
		require.Failf(t, "what is served is neither the old nor the new view", "%s: %q", where, view)
	case s.damaged != "" && err != nil:
		require.ErrorIs(t, err, store.ErrDamaged, where)
		require.ErrorContains(t, err, s.damaged, where)
	default:
		require.NoError(t, err, where)
		require.Subset(t, []string{s.damaged}, wrong, where)
	}
	left, err := os.ReadDir(filepath.Join(dir, "staging"))
	require.NoError(t, err, where)
	require.Empty(t, left, where)
	report, err := opened.Verify(context.Background(), store.VerifyOptions{})
	require.NoError(t, err, where)
	for _, d := range report.Damaged {
		require.True(t, s.damaged != "" && d.Path == s.damaged, "%s: what has a tree's name is no whole tree: %v", where, d)
	}
	require.NoError(t, syncAgain(opened, s.after), where)
	requireServed(t, opened, s.after, where)
}

func requireServed(t *testing.T, s *store.Store, want *version, where string) {
	t.Helper()
	view, wrong, err := served(s, func(string) content { return want.files })
	require.NoError(t, err, where)
	require.Equal(t, want.view, view, where)
	require.Empty(t, wrong, where)
}

func find(versions []*version, id string) *version {
	for _, v := range versions {
		if v != nil && v.view == id {
			return v
		}
	}
	return nil
}

// syncAgain brings a version into a store as a sync does.
func syncAgain(s *store.Store, v *version) error {
	if s.Pinned() != nil {
		if _, err := s.Unpin(""); err != nil {
			return err
		}
	}
	if _, held := s.Held(v.Key()); !held {
		if !s.HasTree(v.Layer) {
			if err := unpack(s, v); err != nil {
				return err
			}
		}
		if err := s.Add(v.Release); err != nil {
			return err
		}
	}
	_, err := s.Follow(v.Source, []store.Contribution{{Tag: v.Tag, Manifest: v.Manifest}})
	return err
}

func unpack(s *store.Store, v *version) error {
	st, err := s.NewStaging(v.Layer)
	if err != nil {
		return err
	}
	defer st.Discard()
	made := make(map[string]bool)
	for _, name := range sortedPaths(v.files) {
		for n := range name {
			if name[n] == '/' && !made[name[:n]] {
				made[name[:n]] = true
				if err := st.Dir(name[:n], time.Time{}); err != nil {
					return err
				}
			}
		}
		if err := st.File(name, time.Time{}, int64(len(v.files[name])), strings.NewReader(v.files[name])); err != nil {
			return err
		}
	}
	return st.Publish()
}

// checkSync runs the real program on a state: it ends with the registry's
// newest being served.
func (r *recording) checkSync(dir, where string) {
	r.t.Helper()
	status, out := r.plain(dir, "sync")
	require.Zero(r.t, status, "%s: %s", where, out)
	r.checkServed(dir, r.now, where)
}

// checkServed opens a store and reads all that it serves.
func (r *recording) checkServed(dir string, want *version, where string) {
	r.t.Helper()
	opened, err := store.Open(context.Background(), store.Options{Dir: dir, Keep: 1})
	require.NoError(r.t, err, where)
	defer opened.Close()
	requireServed(r.t, opened, want, where)
}
