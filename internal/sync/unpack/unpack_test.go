package unpack

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"testing"
	"testing/iotest"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/archive"
	"github.com/specman/specman/internal/testenv"
)

func openStore(t *testing.T) *store.Store {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(func() { st.Close() })
	return st
}

func staged(t *testing.T, st *store.Store) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(st.Dir(), "staging", "*"))
	require.NoError(t, err)
	return names
}

func TestStream(t *testing.T) {
	content := testenv.TGZ(t, map[string]string{"a": "1", "b/c": "22", "link": "-> b", "out": "-> ../x"})
	told := digest.FromBytes([]byte("it is for the reader to hold what was told"))
	for name, row := range map[string]struct{ layer, want digest.Digest }{
		"a digest that was told": {told, told},
		"one that nobody told":   {"", digest.FromBytes(content)},
	} {
		t.Run(name, func(t *testing.T) {
			st := openStore(t)
			tree, err := Stream(t.Context(), st, iotest.OneByteReader(bytes.NewReader(content)), row.layer, archive.Limits{})
			require.NoError(t, err)
			assert.Equal(t, row.want, tree.Layer)
			assert.Equal(t, int64(len(content)), tree.Size)
			assert.Equal(t, 1, tree.SkippedTotal)
			assert.Equal(t, "out", tree.Skipped[0].Name)

			// It is sealed, so that it can be judged, and not yet anybody's.
			assert.True(t, tree.Staging.Has("link/c"))
			f, err := tree.Staging.Open("b/c")
			require.NoError(t, err)
			defer f.Close()
			got, err := io.ReadAll(f)
			require.NoError(t, err)
			assert.Equal(t, "22", string(got))
			assert.False(t, st.HasTree(row.want))

			require.NoError(t, tree.Staging.Publish())
			require.True(t, st.HasTree(row.want))
			v, err := st.AcquireTree(row.want)
			require.NoError(t, err)
			defer v.Close()
			named, total := v.Skipped(0)
			assert.Equal(t, tree.Skipped, named, "it is kept with the tree")
			assert.Equal(t, 1, total)
			assert.Empty(t, staged(t, st))
		})
	}
}

func TestStreamLeavesNothingOfWhatFails(t *testing.T) {
	good := testenv.TGZ(t, map[string]string{"a": "1", "b": "2"})
	broken := errors.New("the line broke")
	for name, row := range map[string]struct {
		r      io.Reader
		layer  digest.Digest
		limits archive.Limits
		check  func(t *testing.T, err error)
	}{
		"an archive that leads outside": {
			bytes.NewReader(testenv.TGZ(t, map[string]string{"a": "1", "b/../../x": "2"})), "", archive.Limits{},
			func(t *testing.T, err error) { assert.ErrorAs(t, err, new(*archive.RefusedError)) },
		},
		"one over a limit": {
			bytes.NewReader(good), "", archive.Limits{Files: 1},
			func(t *testing.T, err error) { assert.ErrorAs(t, err, new(*archive.RefusedError)) },
		},
		"a stream that breaks at its end": {
			io.MultiReader(bytes.NewReader(good), iotest.ErrReader(broken)), "", archive.Limits{},
			func(t *testing.T, err error) { assert.ErrorIs(t, err, broken) },
		},
		"a digest that is none": {
			bytes.NewReader(good), "sha256:x", archive.Limits{},
			func(t *testing.T, err error) { assert.ErrorContains(t, err, `"sha256:x"`) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			st := openStore(t)
			tree, err := Stream(t.Context(), st, row.r, row.layer, row.limits)
			require.Error(t, err)
			row.check(t, err)
			assert.Nil(t, tree)
			assert.Empty(t, staged(t, st))
		})
	}
}
