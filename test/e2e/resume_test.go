package e2e

import (
	"bytes"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The tools that people fetch large files with come from Debian.
func needTools(t *testing.T, packages ...string) {
	t.Helper()
	out, err := exec.Command("../deps.sh", packages...).CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// largeFile is content that differs between versions in every block.
func largeFile(version uint64) []byte {
	content := make([]byte, 8<<20)
	r := rand.NewChaCha8([32]byte{byte(version)})
	_, _ = r.Read(content) // it never fails
	return content
}

// TestResumeAcrossASwap: tools that resume a download at an address that names a
// version get that version, whatever is served meanwhile.
func TestResumeAcrossASwap(t *testing.T) {
	needTools(t, "curl", "wget", "aria2")
	site, layout := t.TempDir(), t.TempDir()
	s := newSpecman(t, static, map[string]string{"source.repository": "oci-layout:" + layout})
	push := func(content []byte) {
		require.NoError(t, os.WriteFile(filepath.Join(site, "large.bin"), content, 0o644))
		s.must("push", site, "oci-layout:"+layout+":0.0.0")
	}
	one, two := largeFile(1), largeFile(2)
	push(one)
	running := s.start()
	defer running.terminate(t)
	s.sync()
	client := newClient(t, s.dir, true)
	first := s.get(client, "/large.bin")
	require.True(t, bytes.Equal(one, first.body))
	pinned := running.url + "/@" + first.header.Get("Specman-View") + "/large.bin"

	push(two)
	s.sync()
	require.True(t, bytes.Equal(two, s.get(client, "/large.bin").body))

	ca := filepath.Join(s.dir, "tls", "tls.crt")
	for name, args := range map[string][]string{
		"curl -C -":  {"curl", "-sS", "--fail", "--cacert", ca, "-C", "-", "-o", "large.bin", pinned},
		"wget -c":    {"wget", "-q", "--ca-certificate=" + ca, "-c", pinned},
		"aria2c -c":  {"aria2c", "-q", "--ca-certificate=" + ca, "-c", "--allow-overwrite=true", pinned},
		"aria2c -x4": {"aria2c", "-q", "--ca-certificate=" + ca, "-x", "4", "-s", "4", "-k", "1M", "-c", pinned},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			// What an earlier run brought before it broke off.
			require.NoError(t, os.WriteFile(filepath.Join(dir, "large.bin"), one[:3<<20], 0o644))
			cmd := exec.Command(args[0], args[1:]...)
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			got, err := os.ReadFile(filepath.Join(dir, "large.bin"))
			require.NoError(t, err)
			assert.True(t, bytes.Equal(one, got), "%d bytes", len(got))
		})
	}

	t.Run("a plain path with If-Range is the whole new file", func(t *testing.T) {
		a, err := fetch(client, running.url+"/large.bin", http.Header{
			"Range": {"bytes=" + strconv.Itoa(3<<20) + "-"}, "If-Range": {first.header.Get("Etag")},
		})
		require.NoError(t, err)
		assert.Equal(t, http.StatusOK, a.status)
		assert.True(t, bytes.Equal(two, a.body))
	})
	t.Run("curl with If-Range mixes nothing", func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "large.bin")
		require.NoError(t, os.WriteFile(path, one[:3<<20], 0o644))
		cmd := exec.Command("curl", "-sS", "--cacert", ca, "-C", "-", "-H", "If-Range: "+first.header.Get("Etag"), "-o", path, running.url+"/large.bin")
		assert.Error(t, cmd.Run(), "curl says that it cannot resume")
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.True(t, bytes.HasPrefix(one, got), "and leaves what it had")
	})
}
