package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/testenv"
	"github.com/specman/specman/internal/variant"
)

// No swap comes after it: that one asked for the variant is what has it made anew.
func TestADamagedVariantIsMadeAnew(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "store")
	text := strings.Repeat("apiVersion: v1\n", 1000)
	archive := testenv.TGZ(t, map[string]string{"roar/a.yaml": text, "roar/b.yaml": text + "b: 1\n"})
	got := runReading(t, bytes.NewReader(archive), nil, "import", "-", "--store.dir="+folder)
	require.Equal(t, 0, got.status, got.stderr)
	service := startService(t, "--store.dir="+folder, "--http.cacheBytes=0")
	service.ready()

	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableCompression: true}}
	defer client.CloseIdleConnections()
	coding := func(path string) string {
		req, err := http.NewRequest(http.MethodGet, service.tree+path, nil)
		require.NoError(t, err)
		req.Header.Set("Accept-Encoding", "gzip")
		resp, err := client.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		require.Equal(t, http.StatusOK, resp.StatusCode)
		return resp.Header.Get("Content-Encoding")
	}
	compressed := func(path string) {
		t.Helper()
		require.Eventually(t, func() bool { return coding(path) == "gzip" }, 30*time.Second, 20*time.Millisecond, "%s", service.log)
	}
	for range 2 { // a second time, too
		compressed("/roar/a.yaml")
		compressed("/roar/b.yaml")
		made, err := filepath.Glob(filepath.Join(folder, "variants", "*", "*.gz"))
		require.NoError(t, err)
		require.Len(t, made, 2)
		for _, path := range made {
			require.NoError(t, os.Truncate(path, 10))
		}
		require.Empty(t, coding("/roar/a.yaml"), "served as it is")
	}
	compressed("/roar/a.yaml")
}

// Else a volume that is short of room would keep them until something new fits, which
// they prevent.
func TestVariantsThatNobodyNeedsGoAlsoWhereNoneCanBeMade(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "store")
	archive := testenv.TGZ(t, map[string]string{"roar/a.yaml": strings.Repeat("apiVersion: v1\n", 1000)})
	got := runReading(t, bytes.NewReader(archive), nil, "import", "-", "--store.dir="+folder)
	require.Equal(t, 0, got.status, got.stderr)

	dir := filepath.Join(folder, "variants")
	made, err := variant.Open(variant.Options{Dir: dir})
	require.NoError(t, err)
	gone := strings.Repeat("of a release that is gone\n", 1000)
	require.NoError(t, made.Make(t.Context(), slices.Values([]variant.File{{
		Sum: sha256.Sum256([]byte(gone)), Size: int64(len(gone)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(gone)), nil },
	}})))
	require.NoError(t, made.Close())
	files := func() []string {
		all, err := filepath.Glob(filepath.Join(dir, "*", "*.*"))
		require.NoError(t, err)
		return all
	}
	require.Len(t, files(), 2)

	log := slog.New(slog.DiscardHandler)
	st, err := store.Open(t.Context(), store.Options{Dir: folder, Sources: []string{"default"}, Logger: log})
	require.NoError(t, err)
	defer st.Close()
	full, err := variant.Open(variant.Options{Dir: dir, Space: func(int64) error { return store.ErrNoSpace }})
	require.NoError(t, err)
	defer full.Close()
	v := &variants{store: full, views: st, log: log}
	require.ErrorIs(t, v.make(t.Context()), store.ErrNoSpace)
	require.Empty(t, files())
}
