package config

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPrintedTextIsAConfigurationThatSaysTheSame(t *testing.T) {
	for name, g := range map[string]given{
		"defaults": {},
		"all kinds of values": {file: `
source:
  repository: "harbor.example.com/a/b"
  select: [versions, "4.10", "semver:>=4.5 <5", "tags:^a{1,2}$", "#x", "*", "a: b", "- c", "true", "~"]
  archive: "4.10"
  interval: 1h1m1s
  plainHTTP: true
  auth: {username: "robot$x"}
  verify: {cosign: {keys: ["-----BEGIN PUBLIC KEY-----\nabc\n-----END PUBLIC KEY-----\n", /k]}}
store: {minFree: 1000, maxTreeBytes: 3Ti, scrubInterval: 0}
gate: {command: [/bin/check, --x, "a,b"]}
`},
		"several sources": {file: "sources:\n- {name: a, repository: r/a, exclude: [x]}\n- {name: b, repository: r/b, tls: {insecureSkipVerify: true}}\n"},
	} {
		t.Run(name, func(t *testing.T) {
			first := g.mustLoad(t)
			var text bytes.Buffer
			require.NoError(t, first.Print(&text, "text"))
			second := given{file: text.String()}.mustLoad(t)
			assert.Equal(t, first.Config, second.Config, "printed:\n%s", text.String())
		})
	}
}

func TestPrintedTextSaysWhereEachValueCameFrom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, []byte("log:\n  level: warn\n"), 0o600))
	loaded, err := Load(LoadOptions{DefaultFile: path, Env: []string{"SPECMAN_LOG_FORMAT=json"}})
	require.NoError(t, err)
	var text bytes.Buffer
	require.NoError(t, loaded.Print(&text, "text"))
	assert.Contains(t, text.String(), "log:\n  level: warn # from "+path+":2\n  format: json # from SPECMAN_LOG_FORMAT\n  access: false # from default\n")
	assert.Contains(t, text.String(), "  interval: 1m # from default\n")
	assert.Contains(t, text.String(), "  scrubInterval: 168h # from default\n")
	assert.Contains(t, text.String(), "  maxTreeBytes: 8Gi # from default\n")
}

// The JSON is an interface: programs read it.
func TestPrintedJSON(t *testing.T) {
	loaded := given{
		file:  "sources: [{name: a, repository: r/a}]\n",
		env:   []string{"SPECMAN_STORE_KEEP=5"},
		flags: []string{"--http.listing=false"},
	}.mustLoad(t)
	var out bytes.Buffer
	require.NoError(t, loaded.Print(&out, "json"))
	var printed struct {
		File   string
		Values map[string]struct {
			Value  any
			Origin map[string]any
		}
	}
	require.NoError(t, json.Unmarshal(out.Bytes(), &printed))
	assert.Equal(t, loaded.File, printed.File)
	for _, row := range []struct {
		key    string
		value  any
		origin map[string]any
	}{
		{"sources[0].name", "a", map[string]any{"from": "file", "name": loaded.File, "line": 1.0}},
		{"sources[0].interval", "1m", map[string]any{"from": "default"}},
		{"sources[0].select", []any{"versions"}, map[string]any{"from": "default"}},
		{"sources[0].exclude", []any{}, map[string]any{"from": "default"}},
		{"store.keep", 5.0, map[string]any{"from": "environment", "name": "SPECMAN_STORE_KEEP"}},
		{"store.minFree", "256Mi", map[string]any{"from": "default"}},
		{"http.listing", false, map[string]any{"from": "flag", "name": "--http.listing"}},
	} {
		assert.Equal(t, row.value, printed.Values[row.key].Value, row.key)
		assert.Equal(t, row.origin, printed.Values[row.key].Origin, row.key)
	}
	assert.NotContains(t, printed.Values, "source.interval", "with `sources` there is no `source`")
}
