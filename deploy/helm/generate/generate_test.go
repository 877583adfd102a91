package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

func TestGeneratedFilesAreCurrent(t *testing.T) {
	chart := filepath.Join("..", "specman")
	files, err := generate(chart)
	require.NoError(t, err)
	require.Len(t, files, 2)
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(chart, name))
		require.NoError(t, err)
		assert.Equal(t, string(want), string(got), "%s is out of date: run `go generate ./deploy/helm/generate`", name)
	}
}

func TestCommentsBecomeSchema(t *testing.T) {
	values := parse(t, `
# A note for the file's reader.

# -- How many.
# @minimum 1
count: 2
# -- @enum "" A B
letter: ""
# -- Anything.
open: {a: 1}
# Not described itself.
# @open
section:
  # -- A share, or
  # a number.
  # @type integer string
  share: 1
`)
	got, err := propertiesOf(values)
	require.NoError(t, err)
	assert.Equal(t, object{
		"count":  object{"type": "integer", "minimum": 1, "description": "How many."},
		"letter": object{"type": "string", "enum": []string{"", "A", "B"}},
		"open":   object{"type": "object", "description": "Anything."},
		"section": object{"type": "object", "additionalProperties": true, "properties": object{
			"share": object{"type": []string{"integer", "string"}, "description": "A share, or a number."},
		}},
	}, got)
	assert.Equal(t, "| value | default | meaning |\n|---|---|---|\n"+
		"| `count` | `2` | How many. |\n"+
		"| `letter` |  | One of empty, `A`, `B`. |\n"+
		"| `open` | see values.yaml | Anything. |\n"+
		"| `section.share` | `1` | A share, or a number. |\n", string(table(values)))
}

func TestEveryValueIsDescribed(t *testing.T) {
	var document yaml.Node
	require.NoError(t, yaml.Unmarshal([]byte("# Only a remark.\nbare: 1\n"), &document))
	_, err := valuesIn(document.Content[0], "")
	require.ErrorContains(t, err, "line 2: bare has no comment")
}

func parse(t *testing.T, text string) []*value {
	t.Helper()
	var document yaml.Node
	require.NoError(t, yaml.Unmarshal([]byte(text), &document))
	values, err := valuesIn(document.Content[0], "")
	require.NoError(t, err)
	return values
}
