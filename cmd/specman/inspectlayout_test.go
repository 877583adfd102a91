package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/testenv"
)

// layoutOf is a folder with an OCI layout of archives by tag; of the tag chart the
// content is of another kind.
func layoutOf(t *testing.T, archives map[string][]byte) string {
	t.Helper()
	work := t.TempDir()
	layout := filepath.Join(t.TempDir(), "layout")
	require.NoError(t, os.WriteFile(filepath.Join(work, "config.json"), []byte("{}"), 0o600))
	for tag, content := range archives {
		name, flags := "manifests.tgz", []string{}
		if tag == "chart" {
			name, flags = "chart.tgz", []string{"--config", "config.json:application/vnd.cncf.helm.config.v1+json"}
		}
		require.NoError(t, os.WriteFile(filepath.Join(work, name), content, 0o600))
		testenv.Oras(t, work, append(append([]string{"push", "--oci-layout", layout + ":" + tag}, flags...), name)...)
	}
	return layout
}

// What inspect says of a layout in a tar is what import does with it.
func TestInspectALayoutInATar(t *testing.T) {
	good, better, bad := testenv.TGZ(t, map[string]string{"a": "1", "out": "-> /x"}), testenv.TGZ(t, map[string]string{"a": "2"}), testenv.TGZ(t, map[string]string{"a": "1", "b/../../c": "2"})
	damaged := layoutOf(t, map[string][]byte{"1.0.0": good})
	blob := filepath.Join(damaged, "blobs/sha256", digest.FromBytes(good).Encoded())
	require.NoError(t, os.Chmod(blob, 0o644))
	require.NoError(t, os.Truncate(blob, 3))
	untagged := layoutOf(t, map[string][]byte{"1.0.0": good})
	index := filepath.Join(untagged, "index.json")
	require.NoError(t, os.WriteFile(index, []byte(strings.ReplaceAll(readFile(t, index), `"org.opencontainers.image.ref.name":"1.0.0"`, `"x":"y"`)), 0o600))

	for _, row := range []struct {
		name    string
		content []byte
		said    map[string]string // of each tag, in the text
		stderr  string            // what would be refused; empty: nothing
	}{
		{"one release", testenv.TarFolder(t, layoutOf(t, map[string][]byte{"1.0.0": good})), map[string]string{"1.0.0": "accepted"}, ""},
		{"a release without a tag", testenv.TarFolder(t, untagged), nil, ""},
		{"several, and a chart", testenv.TarFolder(t, layoutOf(t, map[string][]byte{"1.0.0": good, "2.0.0": better, "chart": good})),
			map[string]string{"1.0.0": "accepted", "2.0.0": "accepted", "chart": `passed over: its layer is not titled "manifests.tgz"`}, ""},
		{"nothing but a chart", testenv.TarFolder(t, layoutOf(t, map[string][]byte{"chart": []byte("x")})), map[string]string{"chart": "refused: a text file is no archive"}, "chart: a text file is no archive"},
		{"one that is bad", testenv.TarFolder(t, layoutOf(t, map[string][]byte{"1.0.0": bad})), map[string]string{"1.0.0": `refused: entry "b/../../c"`}, `1.0.0: entry "b/../../c": the name holds ".."`},
		{"several, one that is bad", testenv.TarFolder(t, layoutOf(t, map[string][]byte{"1.0.0": bad, "2.0.0": better, "chart": good})),
			map[string]string{"1.0.0": `refused: entry`, "2.0.0": "accepted", "chart": "passed over"}, `only 1 of its 3 releases can be served; 1.0.0: entry "b/../../c"`},
		{"one that is damaged", testenv.TarFolder(t, damaged), map[string]string{"1.0.0": "refused: "}, "1.0.0: "},
		{"a layout of nothing", testenv.Tar(t, map[string]string{"oci-layout": `{"imageLayoutVersion":"1.0.0"}`, "index.json": `{"manifests":[]}`}), nil, "it holds 0 manifests"},
		{"a tree that has the names", testenv.Tar(t, map[string]string{"oci-layout": "{}", "index.json": "{}"}), nil, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			file := writeArchive(t, "layout.tar", row.content)
			imported := runWith(t, nil, "import", file, "--store.dir="+filepath.Join(t.TempDir(), "store"))
			got := runWith(t, nil, "inspect", file)
			assert.Equal(t, imported.status, got.status, imported.stderr)
			assert.Contains(t, got.stdout, "digest: "+digest.FromBytes(row.content).String()+"\n")
			for tag, said := range row.said {
				assert.Contains(t, got.stdout, "\n"+tag+" would be "+said)
			}
			if row.stderr == "" {
				assert.Empty(t, got.stderr)
				assert.True(t, strings.HasSuffix(got.stdout, "would be accepted\n"), got.stdout)
			} else {
				assert.True(t, strings.HasPrefix(got.stderr, "specman: "+file+" would be refused: "+row.stderr), got.stderr)
			}

			found := inspected(t, runWith(t, nil, "inspect", file, "-o", "json").stdout)
			assert.Equal(t, got.status == 0, found.Accepted)
			for _, r := range found.Releases {
				said := row.said[r.Tag]
				assert.Equal(t, strings.HasPrefix(said, "passed over"), r.PassedOver)
				if said != "" {
					assert.Equal(t, said == "accepted", r.Accepted)
				}
			}
		})
	}
}

func TestInspectTellsWhatALayoutHolds(t *testing.T) {
	content := testenv.TGZ(t, map[string]string{"a": "1", "out": "-> /x"})
	file := writeArchive(t, "layout.tar", testenv.TarFolder(t, layoutOf(t, map[string][]byte{"1.0.0": content, "nightly": content})))
	found := inspected(t, runWith(t, nil, "inspect", file, "-o", "json").stdout)
	require.Len(t, found.Releases, 2)
	for _, r := range found.Releases {
		assert.Equal(t, digest.FromBytes(content), r.Digest)
		assert.Equal(t, 1, r.Files)
		assert.Equal(t, "out", r.Skipped[0].Name)
		assert.Equal(t, file+":"+r.Tag, r.Artifact.Reference)
		assert.Equal(t, r.Tag == "1.0.0", r.Artifact.Followed)
	}
	text := runWith(t, nil, "inspect", file).stdout
	assert.Contains(t, text, ": an OCI layout, ")
	assert.Contains(t, text, ", 2 releases\n")
	assert.Contains(t, text, "\nnightly: tar+gzip, ")
	assert.Contains(t, text, `not served: "out": symlink to "/x" is absolute`)
	assert.NotContains(t, text, "selectors", "an import does not ask them")

	limited := runWith(t, nil, "inspect", file, "--store.maxFiles=2")
	assert.Contains(t, limited.stderr, "with it there are more than 2 files", "the limits hold for the layout as a whole, too")
}

// A layout is read here and there, which a stream cannot be.
func TestInspectALayoutThatCannotBeReadInPlace(t *testing.T) {
	content := testenv.TarFolder(t, layoutOf(t, map[string][]byte{"1.0.0": testenv.TGZ(t, map[string]string{"a": "1"})}))
	want := " is an OCI layout, whose releases can be judged in a plain tar on disk only\n  put it into a file"
	piped := runReading(t, bytes.NewReader(content), nil, "inspect", "-")
	assert.Equal(t, 1, piped.status)
	assert.True(t, strings.HasPrefix(piped.stderr, "specman: standard input"+want), piped.stderr)
	file := writeArchive(t, "layout.tgz", testenv.Gzip(t, content))
	compressed := runWith(t, nil, "inspect", file)
	assert.Equal(t, 1, compressed.status)
	assert.True(t, strings.HasPrefix(compressed.stderr, "specman: "+file+want), compressed.stderr)
}
