package config

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzFile: whatever the file holds, Load ends, and in an Error or in a
// configuration that can be printed and read again.
func FuzzFile(f *testing.F) {
	for _, seed := range []string{
		"", "source: {repository: a/b, select: [versions]}", "sources: [&a {name: a, repository: b}, {<<: *a, name: c}]",
		"source: &s {<<: [*s, *s]}", "a: [", "? [a]\n: b", "log: {level: !!str info}", "source: {interval: 60, archive: 4.10}", "\xef\xbb\xbf---\r\n",
		"http: {tls: {hosts: [\"a\\u0085b\"]}}",
	} {
		f.Add([]byte(seed))
	}
	path := filepath.Join(f.TempDir(), "config.yaml")
	load := func(t *testing.T, data []byte) (*Loaded, error) {
		require.NoError(t, os.WriteFile(path, data, 0o600))
		return Load(LoadOptions{DefaultFile: path})
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		first, err := load(t, data)
		if err != nil {
			var wrong *Error
			require.ErrorAs(t, err, &wrong)
			require.NotEmpty(t, wrong.Mistakes)
			return
		}
		var text bytes.Buffer
		require.NoError(t, first.Print(&text, "text"))
		_, err = load(t, text.Bytes())
		require.NoError(t, err, "%s", text.String())
	})
}
