package selector

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// theIndex is the one whose shape is public.
const theIndex = `versions:
  - version: "4.0"
    filepath: "/roar/nickfury/4.0/version.yaml"
    patchVersionsFilepath: "/roar/nickfury/4.0/versions.yaml"
`

func tree(files map[string]string) func(string) (io.ReadCloser, error) {
	content := make(fstest.MapFS)
	for name, text := range files {
		content[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return func(name string) (io.ReadCloser, error) { return content.Open(name) }
}

func TestHighestIndexVersion(t *testing.T) {
	for name, row := range map[string]struct {
		index, patches string // the latter at roar/nickfury/4.0/versions.yaml
		want           string
	}{
		"as published":             {theIndex, "versions:\n  - version: \"4.0.9\"\n  - version: \"4.0.10\"\n    filepath: /x\n", "4.0.10"},
		"patch index of bare list": {theIndex, "- 4.0.1\n- v4.0.12\n- 4.0.3", "4.0.12"},
		"patch index of names":     {theIndex, "patchVersions: [{name: 4.0.7}, {name: 4.0.11}]", "4.0.11"},
		"patch index of keys":      {theIndex, "versions:\n  4.0.7: {filepath: /x}\n  4.0.8:", "4.0.8"},
		"patch index of nothing":   {theIndex, "", "4.0"},
		"patch index of others":    {theIndex, "kubernetes:\n  versions: [1.29.0]\nversion: 7.7.7\n", "4.0"},
		"highest, not last":        {"versions: [{version: '4.10'}, {version: '4.9'}]", "", "4.10"},
		"unquoted numbers":         {"versions:\n- version: 4.9\n- version: 4.10\n", "", "4.10"},
		"bare numbers":             {"versions: [4.10, 4.9]", "", "4.10"},
		"JSON":                     {`{"versions": [{"version": "4.5.13"}]}`, "", "4.5.13"},
		"leading v and build":      {"versions: [v4.5.13+fips]", "", "4.5.13"},
		"pre-release":              {"versions: [4.6.0-rc.1, 4.5.13]", "", "4.6.0-rc.1"},
		"patches in place":         {"versions:\n- version: '4.5'\n  patchVersions:\n  - version: 4.5.2\n  - 4.5.13\n", "", "4.5.13"},
		"keys with lists":          {"'4.0': [4.0.1, 4.0.2]\n4.1:\n  patchVersions: [4.1.3]\n", "", "4.1.3"},
		"keys with a file":         {"versions:\n  4.0:\n    patchVersionsFilepath: /roar/nickfury/4.0/versions.yaml", "[4.0.5]", "4.0.5"},
		"version before name":      {"versions: [{name: 9.9.9, version: '4.0'}]", "", "4.0"},
		"relative path":            {"versions: [{version: '4.0', patchVersionsFilepath: 4.0/versions.yaml}]", "[4.0.6]", "4.0.6"},
		"odd but clean path":       {"versions: [{version: '4.0', patchVersionsFilepath: //roar/./nickfury/4.1/../4.0/versions.yaml}]", "[4.0.6]", "4.0.6"},
		"second document":          {"versions: [4.5.13]\n---\nversions: [9.9.9]", "", "4.5.13"},
		"the file's own version":   {"version: 9.9.9\napiVersion: 8.8.8\nversions: [4.5.13]", "", "4.5.13"},
		"values that are mappings": {"versions: [{version: {a: 9.9.9}}, [8.8.8], 4.5.13]", "", "8.8.8"},
		"strange among known":      {"versions: [~, '', latest, 5, 04.5.0, 4.5.6.7, !x 4.5.12, 4.5.13, [[]], {}]", "", "4.5.13"},
		"aliases are not followed": {"versions: [&a 4.5.13, *a, {version: *a}]\nx: {versions: *a}", "", "4.5.13"},
	} {
		t.Run(name, func(t *testing.T) {
			version, warnings := HighestIndexVersion(tree(map[string]string{
				"roar/nickfury/versions.yaml":     row.index,
				"roar/nickfury/4.0/versions.yaml": row.patches,
			}))
			assert.Equal(t, row.want, version)
			assert.Empty(t, warnings)
		})
	}
}

func TestHighestIndexVersionWarns(t *testing.T) {
	broken := errors.New("input/output error")
	open := func(name string) (io.ReadCloser, error) {
		switch name {
		case "roar/nickfury/versions.yaml":
			return io.NopCloser(strings.NewReader(theIndex)), nil
		case "roar/nickfury/4.0/versions.yaml":
			return io.NopCloser(iotest.ErrReader(broken)), nil
		}
		return nil, fs.ErrNotExist
	}
	version, warnings := HighestIndexVersion(open)
	assert.Equal(t, "4.0", version)
	assert.Equal(t, []string{`patch index: reading "roar/nickfury/4.0/versions.yaml": input/output error`}, warnings)

	for name, row := range map[string]struct {
		index, want, warning string
	}{
		"no YAML":                     {"versions: [4.5.13", "", `reading "roar/nickfury/versions.yaml": yaml: `},
		"nothing in it":               {"", "", "lists no version that is understood"},
		"nothing known in it":         {"releases: [4.5.13]", "", "lists no version that is understood"},
		"too large":                   {"versions: [4.5.13]\n#" + strings.Repeat("x", maxIndexBytes), "", "larger than 262144 bytes"},
		"too deep for YAML":           {strings.Repeat("[", 200_000), "", "exceeded max depth"},
		"a version longer than a tag": {"[4.5." + strings.Repeat("1", 128) + "]", "", "lists no version that is understood"},
		"too deep for us":             {strings.Repeat("[", 20) + "4.5.13" + strings.Repeat("]", 20), "", "lists no version that is understood"},
		"a patch index gone":          {theIndex, "4.0", `patch index: opening "roar/nickfury/4.0/versions.yaml"`},
		"a path upwards":              {"[{version: '4.0', patchVersionsFilepath: ../../../etc/passwd}]", "4.0", "lead out of the tree or are too long: 1"},
		"an absolute one":             {"[{version: '4.0', patchVersionsFilepath: /../etc/passwd}]", "4.0", "lead out of the tree or are too long: 1"},
		"the root":                    {"[{version: '4.0', patchVersionsFilepath: /}]", "4.0", "lead out of the tree or are too long: 1"},
		"a long path":                 {"[{version: '4.0', patchVersionsFilepath: /" + strings.Repeat("x", 5000) + "}]", "4.0", "or are too long: 1"},
		"a line break in it":          {"[{version: '4.0', patchVersionsFilepath: \"/a\\nlevel=info\"}]", "4.0", `opening "a\nlevel=info"`},
	} {
		t.Run(name, func(t *testing.T) {
			version, warnings := HighestIndexVersion(tree(map[string]string{"roar/nickfury/versions.yaml": row.index}))
			assert.Equal(t, row.want, version)
			require.Len(t, warnings, 1)
			assert.Contains(t, warnings[0], row.warning)
		})
	}
}

func TestHighestIndexVersionOfTreeWithoutIndex(t *testing.T) {
	version, warnings := HighestIndexVersion(tree(nil))
	assert.Empty(t, version)
	assert.Empty(t, warnings)
}

// TestPatchIndexesAreBounded: an index may name any number of files; those of the
// highest versions are read, each once, and never the index itself again.
func TestPatchIndexesAreBounded(t *testing.T) {
	var index strings.Builder
	index.WriteString("- {version: 0.1, patchVersionsFilepath: versions.yaml}\n")
	for i := range 200 {
		for range 2 {
			fmt.Fprintf(&index, "- {version: 4.%d, patchVersionsFilepath: /p/%d}\n", i, i)
		}
	}
	var opened []string
	version, warnings := HighestIndexVersion(func(name string) (io.ReadCloser, error) {
		opened = append(opened, name)
		if name == IndexPath {
			return io.NopCloser(strings.NewReader(index.String())), nil
		}
		return io.NopCloser(strings.NewReader("[4.199.8]")), nil
	})
	assert.Equal(t, "4.199.8", version)
	assert.Equal(t, []string{"roar/nickfury/versions.yaml: more than 64 patch indexes are named; not read, of the lowest versions: 136"}, warnings)
	require.Len(t, opened, 65)
	assert.Equal(t, []string{IndexPath, "p/199", "p/198"}, opened[:3])
	assert.Equal(t, "p/136", opened[64])
}

// TestAliasBomb: a billion aliases, had they been followed.
func TestAliasBomb(t *testing.T) {
	bomb := "a: &a [4.5.13]\n"
	for c := 'b'; c <= 'z'; c++ {
		bomb += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c,", c-1), 50), ","))
	}
	version, _ := HighestIndexVersion(tree(map[string]string{IndexPath: bomb + "versions: [*z, 4.0.1]"}))
	assert.Equal(t, "4.0.1", version)
}

// FuzzHighestIndexVersion: hostile content opens only clean paths, few of them,
// and what comes out is a version, the same each time.
func FuzzHighestIndexVersion(f *testing.F) {
	f.Add([]byte(theIndex), []byte("versions: [{version: 4.0.10}]"))
	f.Add([]byte("versions: {4.0: {patchVersionsFilepath: ../x}}"), []byte("- 4.0.1\n- v4.0.2"))
	f.Add([]byte("x: &a [*a]\nversions: *a"), []byte("patchVersions: [{name: 4.0.1}]"))
	f.Add([]byte("- {version: 4.0, patchVersionsFilepath: /versions.yaml}\n- 4.10"), []byte("{4.0: [4.0.3]}"))
	f.Add([]byte("? [a]\n: b\n---\n...\n"), []byte("\xff\xfe4\x00"))
	f.Add([]byte("!!binary aGk=\n"), []byte("<<: *x"))
	f.Add([]byte("versions: [4.6.0-rc.1+build, |\n 4.5\n"), []byte(""))
	f.Fuzz(func(t *testing.T, index, patches []byte) {
		opened := 0
		open := func(name string) (io.ReadCloser, error) {
			opened++
			require.True(t, fs.ValidPath(name) && name != ".", "%q", name)
			if name == IndexPath {
				require.Equal(t, 1, opened)
				return io.NopCloser(strings.NewReader(string(index))), nil
			}
			return io.NopCloser(strings.NewReader(string(patches))), nil
		}
		version, warnings := HighestIndexVersion(open)
		require.LessOrEqual(t, opened, 1+maxPatchIndexes)
		require.LessOrEqual(t, len(warnings), opened+3)
		if version == "" {
			require.NotEmpty(t, warnings)
		} else {
			require.False(t, strings.HasPrefix(version, "v"))
			_, ok := parseIndexVersion(version)
			require.True(t, ok, "%q", version)
		}
		opened = 0
		again, _ := HighestIndexVersion(open)
		require.Equal(t, version, again)
	})
}
