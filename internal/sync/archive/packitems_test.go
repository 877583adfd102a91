package archive

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func textItem(name, content string) Item {
	return Item{Name: name, Kind: File, Size: int64(len(content)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(content)), nil
	}}
}

func TestPackItemsMakesWhatPackMakes(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "a/empty"), 0o755))
	for name, content := range map[string]string{"a/b": "1", "a-b": "22", "a/é": ""} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
	}
	require.NoError(t, os.Symlink("a", filepath.Join(dir, "link")))
	items := []Item{
		{Name: "a", Kind: Folder}, textItem("a/b", "1"), {Name: "a/empty", Kind: Folder}, textItem("a/é", ""),
		textItem("a-b", "22"), {Name: "link", Kind: Symlink, Target: "a"},
	}
	for _, zstd := range []bool{false, true} {
		want, wantReport := packed(t, dir, PackOptions{Zstd: zstd})
		var got bytes.Buffer
		report, err := PackItems(t.Context(), &got, slices.Values(items), PackOptions{Zstd: zstd})
		require.NoError(t, err)
		assert.Equal(t, wantReport, report)
		assert.True(t, bytes.Equal(want, got.Bytes()), "the same bytes")
	}
}

func TestPackItemsFails(t *testing.T) {
	broken := errors.New("broken")
	short := textItem("a", "12")
	short.Size = 3
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, row := range map[string]struct {
		ctx   context.Context
		items []Item
		limit Limits
		want  string
		is    error
	}{
		"nothing":              {t.Context(), nil, Limits{}, "there is not one file in it", nil},
		"refused":              {t.Context(), []Item{textItem("a", ""), textItem("b", "")}, Limits{Files: 1}, `archive refused at entry "b": `, nil},
		"content too short":    {t.Context(), []Item{short}, Limits{}, `packing "a": `, io.ErrUnexpectedEOF},
		"content not there":    {t.Context(), []Item{{Name: "a", Kind: File, Open: func() (io.ReadCloser, error) { return nil, broken }}}, Limits{}, `packing "a": broken`, broken},
		"what is no such item": {t.Context(), []Item{{Name: "a", Kind: Alias}}, Limits{}, `packing "a": what is of kind "alias" cannot be packed`, nil},
		"canceled":             {canceled, []Item{textItem("a", "")}, Limits{}, "", context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := PackItems(row.ctx, io.Discard, slices.Values(row.items), PackOptions{Limits: row.limit})
			require.Error(t, err)
			assert.Contains(t, err.Error(), row.want)
			if row.is != nil {
				assert.ErrorIs(t, err, row.is)
			}
		})
	}
}
