package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/testenv"
)

func TestInspectFile(t *testing.T) {
	good := testenv.TGZ(t, map[string]string{"a/b": "12345", "a/link": "-> b", "out": "-> /etc/passwd"})
	for _, row := range []struct {
		name    string
		content []byte
		flags   []string
		status  int
		want    inspection
		stderr  string
	}{
		{"an archive", good, nil, 0, inspection{
			Accepted: true, Format: "tar+gzip", Files: 1, Folders: 1, Bytes: 5, ThroughLinks: 1,
			Skipped: []skipped{{"out", `symlink to "/etc/passwd" is absolute; make it relative`}}, SkippedTotal: 1,
		}, ""},
		{"an entry that leads outside", testenv.TGZ(t, map[string]string{"a": "1", "b/../../c": "2"}), nil, 1, inspection{
			Refused: &refusal{"b/../../c", `the name holds ".."`}, Format: "tar+gzip", Files: 1, Bytes: 1, Skipped: []skipped{},
		}, ` would be refused: entry "b/../../c": the name holds ".."` + "\n"},
		{"over a limit", good, []string{"--store.maxTreeBytes=4"}, 1, inspection{
			Refused: &refusal{"a/b", "with it the archive unpacks to more than the limit of 4 bytes (store.maxTreeBytes)"}, Format: "tar+gzip", Skipped: []skipped{},
		}, " would be refused: entry \"a/b\": with it the archive unpacks to more"},
		{"truncated", good[:len(good)-4], nil, 1, inspection{
			Refused: &refusal{"", "the gzip stream is truncated: unexpected EOF"}, Format: "tar+gzip", Files: 1, Folders: 1, Bytes: 5,
			Skipped: []skipped{},
		}, " would be refused: the gzip stream is truncated"},
		{"nothing", nil, nil, 1, inspection{
			Refused: &refusal{"", "it is empty (0 bytes); make it with `specman pack`, or `tar -czf manifests.tgz .`"}, Skipped: []skipped{},
		}, " would be refused: it is empty (0 bytes)"},
	} {
		t.Run(row.name, func(t *testing.T) {
			file := writeArchive(t, "a.tgz", row.content)
			row.want.Digest, row.want.ArchiveBytes = digest.FromBytes(row.content), int64(len(row.content))

			got := runWith(t, nil, append([]string{"inspect", file, "-o", "json"}, row.flags...)...)
			assert.Equal(t, row.status, got.status)
			assert.Equal(t, row.want, inspected(t, got.stdout))
			if row.stderr == "" {
				assert.Empty(t, got.stderr)
			} else {
				assert.True(t, strings.HasPrefix(got.stderr, "specman: "+file+row.stderr), got.stderr)
			}

			piped := runReading(t, bytes.NewReader(row.content), nil, append([]string{"inspect", "-", "-o", "json"}, row.flags...)...)
			assert.Equal(t, got.stdout, piped.stdout, "standard input is read the same")

			text := runWith(t, nil, append([]string{"inspect", file}, row.flags...)...)
			assert.Equal(t, row.status, text.status)
			assert.Equal(t, got.stderr, text.stderr)
			assert.Contains(t, text.stdout, "digest: "+row.want.Digest.String()+"\n")
			assert.Equal(t, row.want.Accepted, strings.HasSuffix(text.stdout, "\nwould be accepted\n"))
			for _, s := range row.want.Skipped {
				assert.Contains(t, text.stdout, `not served: "`+s.Name+`": `+s.Reason+"\n")
			}
		})
	}
}

func inspected(t *testing.T, output string) inspection {
	t.Helper()
	var found inspection
	decoder := json.NewDecoder(strings.NewReader(output))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&found), output)
	return found
}

func TestInspectReference(t *testing.T) {
	layout := filepath.Join(t.TempDir(), "registry")
	work := t.TempDir()
	content := testenv.TGZ(t, map[string]string{"a": "1"})
	require.NoError(t, os.WriteFile(filepath.Join(work, "manifests.tgz"), content, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(work, "other"), []byte("no archive"), 0o600))
	oras := func(args ...string) { testenv.Oras(t, work, append([]string{"push", "--oci-layout"}, args...)...) }
	oras(layout+":0.0.0", "manifests.tgz", "other")
	oras(layout+":1.0.0", "other")
	require.NoError(t, os.WriteFile(filepath.Join(work, "another"), []byte("nor this"), 0o600))
	oras(layout+":2.0.0", "other", "another")
	require.NoError(t, os.WriteFile(filepath.Join(work, "config.json"), []byte("{}"), 0o600))
	oras(layout+":3.0.0", "--config", "config.json:application/vnd.cncf.helm.config.v1+json", "other")

	t.Run("the layer of the right title", func(t *testing.T) {
		got := runWith(t, nil, "inspect", "oci-layout:"+layout+":0.0.0", "-o", "json")
		assert.Equal(t, 0, got.status, got.stderr)
		found := inspected(t, got.stdout)
		assert.True(t, found.Accepted)
		assert.Equal(t, digest.FromBytes(content), found.Digest)
		a := found.Artifact
		require.NotNil(t, a)
		assert.Equal(t, digest.FromBytes(content), a.Layer)
		assert.True(t, a.Followed)
		assert.Equal(t, "application/vnd.unknown.artifact.v1", a.ArtifactType)
		assert.False(t, a.Created.IsZero())
		assert.Equal(t, []string{"manifests.tgz", "other"}, []string{a.Layers[0].Title, a.Layers[1].Title})

		byDigest := runWith(t, nil, "inspect", "oci-layout:"+layout+"@"+a.Manifest.String(), "-o", "json")
		assert.Equal(t, 0, byDigest.status, byDigest.stderr)
		same := inspected(t, byDigest.stdout)
		assert.Equal(t, "oci-layout:"+layout+"@"+a.Manifest.String(), same.Artifact.Reference)
		assert.False(t, same.Artifact.Followed)

		text := runWith(t, nil, "inspect", "oci-layout:"+layout+":0.0.0")
		assert.Contains(t, text.stdout, "* layer "+a.Layer.String()+", ")
		assert.Contains(t, text.stdout, "  layer "+a.Layers[1].Digest.String()+", 10 B, \"other\", ")
	})

	for _, row := range []struct{ name, tag, stderr string }{
		{"the only layer, which is no archive", "1.0.0", "would be refused: a text file is no archive"},
		{"several layers, none of the title", "2.0.0", "would be refused: none of its 2 layers is titled \"manifests.tgz\""},
		{"something else, met by a pattern", "3.0.0", "would be refused: its layer is not titled \"manifests.tgz\", and its config is application/vnd.cncf.helm.config.v1+json"},
		{"no such tag", "9.9.9", "9.9.9: file does not exist\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := runWith(t, nil, "inspect", "oci-layout:"+layout+":"+row.tag)
			assert.Equal(t, 1, got.status)
			assert.Contains(t, got.stderr, row.stderr)
		})
	}
	t.Run("something else, which is named", func(t *testing.T) {
		got := runWith(t, nil, "inspect", "oci-layout:"+layout+":3.0.0", "--source.select=3.0.0")
		assert.Contains(t, got.stderr, "a text file is no archive", "its only layer is looked at")
	})
	t.Run("a layer that is damaged", func(t *testing.T) {
		damaged := filepath.Join(layout, "blobs/sha256", digest.FromBytes(content).Encoded())
		require.NoError(t, os.Chmod(damaged, 0o644))
		broken := append([]byte{}, content...)
		broken[len(broken)-1] ^= 1
		require.NoError(t, os.WriteFile(damaged, broken, 0o644))
		got := runWith(t, nil, "inspect", "oci-layout:"+layout+":0.0.0")
		assert.Equal(t, 1, got.status)
		assert.NotContains(t, got.stderr, "would be refused", "the archive is not at fault")
		assert.Contains(t, got.stderr, digest.FromBytes(broken).String())
	})
}

func TestInspectAtARegistry(t *testing.T) {
	r := testenv.Zot(t, testenv.Options{CA: testenv.NewCA(t), Username: "ada", Password: "pass$word"})
	work := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(work, "manifests.tgz"), testenv.TGZ(t, map[string]string{"a": "1"}), 0o600))
	r.Oras(work, "push", r.Repo("a/b")+":0.0.0", "manifests.tgz")

	got := runWith(t, nil, append(connectionFlags(t, r), "inspect", r.Repo("a/b")+":0.0.0")...)
	assert.Equal(t, 0, got.status, got.stderr)
	assert.True(t, strings.HasSuffix(got.stdout, "would be accepted\n"))

	got = runWith(t, nil, "inspect", r.Repo("a/b")+":0.0.0", "--source.tls.caFile="+r.CAFile)
	assert.Equal(t, 1, got.status)
	assert.Contains(t, got.stderr, "\n  set source.auth.username and source.auth.passwordFile")
}

func TestInspectArguments(t *testing.T) {
	dir := t.TempDir()
	for _, row := range []struct {
		name, arg string
		status    int
		stderr    string
	}{
		{"neither file nor REF", "manifests.tgz", 1, "stat manifests.tgz: no such file or directory\n  it is no file, and no REF: "},
		{"a path that is not there", "./x/y:1", 1, "stat ./x/y:1: no such file or directory\n"},
		{"a folder", dir, 1, dir + " is a folder\n"},
		{"a REF without a tag", "example.com/a", 2, "REF \"example.com/a\" names no tag\n"},
		{"a REF that is none", "Example.com/A:1", 2, "connect to Example.com/A: "},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := runWith(t, nil, "inspect", row.arg)
			assert.Equal(t, row.status, got.status)
			assert.True(t, strings.HasPrefix(got.stderr, "specman: "+row.stderr), got.stderr)
			assert.Empty(t, got.stdout)
		})
	}
}
