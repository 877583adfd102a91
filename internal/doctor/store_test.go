package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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

// filled is a store that holds one release of a tree of one file.
func filled(t *testing.T) (dir string, layer digest.Digest) {
	t.Helper()
	dir, layer = filepath.Join(t.TempDir(), "store"), digest.FromString("layer")
	st, err := store.Open(t.Context(), store.Options{Dir: dir})
	require.NoError(t, err)
	defer st.Close()
	staging, err := st.NewStaging(layer)
	require.NoError(t, err)
	require.NoError(t, staging.File("a", time.Time{}, 1, strings.NewReader("1")))
	require.NoError(t, staging.Publish())
	r := store.Release{Source: "default", Tag: "1.0.0", Manifest: digest.FromString("manifest"), Layer: layer}
	require.NoError(t, st.Add(r))
	_, err = st.Follow("default", []store.Contribution{{Tag: r.Tag, Manifest: r.Manifest}})
	require.NoError(t, err)
	return dir, layer
}

func TestStore(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(t *testing.T, s *Store)
		want   []string
		detail string // of the first that is not well, else of the last
	}{
		{"held", func(*testing.T, *Store) {}, []string{"service ok", "folder ok", "write ok", "space ok", "content ok"}, " is held; releases: 1, files: 1"},
		{"a folder that is to be made", func(t *testing.T, s *Store) { s.Dir = filepath.Join(t.TempDir(), "a/b") },
			[]string{"service ok", "folder ok", "write ok", "space ok", "content ok"}, "there is no store yet"},
		{"a file in its place", func(t *testing.T, s *Store) {
			s.Dir = filepath.Join(t.TempDir(), "a")
			require.NoError(t, os.WriteFile(s.Dir, nil, 0o600))
		}, []string{"service ok", "folder fail", "write skip", "space skip", "content skip"}, "is no folder (store.dir)"},
		{"a volume that is too full", func(_ *testing.T, s *Store) { s.MinFree = 1 << 60 },
			[]string{"service ok", "folder ok", "write ok", "space fail", "content ok"}, "and 1024 PiB are to stay free (store.minFree)"},
		{"a tree that is gone", func(t *testing.T, s *Store) { require.NoError(t, os.RemoveAll(filepath.Join(s.Dir, "trees"))) },
			[]string{"service ok", "folder ok", "write ok", "space ok", "content fail"}, " is damaged"},
		{"a state that is cut short", func(t *testing.T, s *Store) {
			require.NoError(t, os.Truncate(filepath.Join(s.Dir, "state.json"), 20))
		}, []string{"service ok", "folder ok", "write ok", "space ok", "content warn"}, "the state was damaged"},
		{"a store of a newer Specman", func(t *testing.T, s *Store) {
			require.NoError(t, os.WriteFile(filepath.Join(s.Dir, "state.json"), []byte(`{"format": 1000}`), 0o600))
		}, []string{"service ok", "folder ok", "write ok", "space ok", "content fail"}, "newer"},
		{"a service that runs", func(_ *testing.T, s *Store) { s.Service = func(context.Context) error { return nil } },
			[]string{"service ok", "folder ok", "write ok", "space ok", "content ok"}, "is held; "},
		{"a socket of another user", func(_ *testing.T, s *Store) {
			s.Service = func(context.Context) error { return fmt.Errorf("the socket: %w", fs.ErrPermission) }
		}, []string{"service warn", "folder ok", "write ok", "space ok", "content ok"}, "the socket: permission denied"},
		{"a service that hangs", func(_ *testing.T, s *Store) {
			s.Service = func(context.Context) error { return errors.New("no answer") }
		},
			[]string{"service warn", "folder ok", "write ok", "space ok", "content ok"}, "no answer"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := Store{NotRunning: errNotRunning, Service: func(context.Context) error { return errNotRunning }}
			s.Dir, _ = filled(t)
			row.change(t, &s)
			d := diagnose(t, Options{Store: s})
			assert.Equal(t, row.want, d.order)
			told := d.checks["content"]
			for _, what := range []string{"content", "space", "write", "folder", "service"} {
				if d.checks[what].Status != OK {
					told = d.checks[what]
				}
			}
			assert.Contains(t, told.Detail, row.detail)
			if left, err := os.ReadDir(filepath.Join(s.Dir, "staging")); err == nil {
				assert.Empty(t, left, "nothing is left behind")
			}
		})
	}
}

func TestRoom(t *testing.T) {
	d := &sourceDoctor{layers: make([]layer, 1)}
	d.layers[0].Size = 100
	room := func(free int64, held bool) Status {
		return d.room(holdings{free: free, hasTree: func(digest.Digest) bool { return held }}).status
	}
	assert.Equal(t, OK, room(1000, false))
	assert.Equal(t, Warn, room(200, false))
	assert.Equal(t, Fail, room(99, false))
	assert.Equal(t, OK, room(0, true), "what is held needs no room")
	assert.Equal(t, Skipped, room(-1, false))
}

// A system call on a network volume whose server is gone never returns.
func TestACheckThatHangsIsLeftBehind(t *testing.T) {
	dir, _ := filled(t)
	gone := make(chan struct{})
	defer close(gone)
	var got []string
	s := Store{Dir: dir, Service: func(context.Context) error { <-gone; return nil }}
	well := Run(t.Context(), Options{Store: s, Timeout: time.Millisecond, Sources: []Source{{Name: "default"}}}, func(c Check) {
		got = append(got, c.Where+" "+c.What+" "+string(c.Status))
		if c.What == "service" {
			assert.Equal(t, "it has not come back in 1ms", c.Detail)
			assert.Contains(t, c.Cure, "network volume")
		}
	})
	assert.False(t, well)
	assert.Equal(t, []string{"store service fail", "store folder skip", "store write skip", "store space skip", "store content skip", "default repository ok"}, got)
}
