package main

import (
	"bytes"
	"crypto/tls"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/testenv"
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
