// Package examples holds what a reader can try out, and checks that it is whole.
package examples

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var rootAbsolutePath = regexp.MustCompile(`"(/roar/[^"]+)"`)

// The files of a SCAR tree name each other by paths from the web server's root.
func TestEveryNamedPathIsThere(t *testing.T) {
	named := map[string]bool{}
	err := fs.WalkDir(os.DirFS("www"), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(filepath.Join("www", path))
		for _, match := range rootAbsolutePath.FindAllSubmatch(content, -1) {
			named[string(match[1])] = true
		}
		return err
	})
	require.NoError(t, err)

	assert.Contains(t, named, "/roar/nickfury/4.5/4.5.13/version.yaml")
	for path := range named {
		_, err := os.Stat(filepath.Join("www", filepath.FromSlash(path)))
		assert.NoError(t, err)
	}
}

func TestTreeHoldsALinkToAFolder(t *testing.T) {
	target, err := os.Readlink("www/roar/nickfury/latest")
	require.NoError(t, err)
	assert.False(t, filepath.IsAbs(target))
	assert.DirExists(t, filepath.Join("www/roar/nickfury", target))
}
