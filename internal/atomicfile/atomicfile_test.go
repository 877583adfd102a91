package atomicfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "made", "file")
	require.NoError(t, Write(path, strings.NewReader("one"), 0o600))
	require.NoError(t, Write(path, strings.NewReader("two"), 0o640))
	assertFile(t, path, "two", 0o640)

	broken := errors.New("the source broke")
	err := Write(path, io.MultiReader(strings.NewReader("thr"), iotest.ErrReader(broken)), 0o644)
	assert.ErrorIs(t, err, broken)
	assertFile(t, path, "two", 0o640)
}

func TestWriteWhereAFolderIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.Mkdir(path, 0o755))
	assert.Error(t, Write(path, strings.NewReader("one"), 0o600))
	left, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	assert.Len(t, left, 1, "nothing unfinished stays")
}

// assertFile also holds that the file is alone in its folder.
func assertFile(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, content, string(got))
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, mode, info.Mode())
	left, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	assert.Len(t, left, 1, "nothing unfinished stays")
}
