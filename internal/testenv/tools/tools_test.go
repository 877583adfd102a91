package tools

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestUnknownToolIsNamedWithTheKnownOnes(t *testing.T) {
	_, err := Build(t.Context(), "skopeo")
	require.ErrorContains(t, err, `"skopeo"; there are helm, kube, kubeconform, oras, registry, staticcheck, zot`)
}

// The smallest of the tools, in an empty cache: the compiler's own cache makes it
// quick on every run but the first.
func TestManyCallersGetOneBuild(t *testing.T) {
	cache := t.TempDir()
	t.Setenv(dirVariable, cache)
	paths := make([]string, 4)
	var callers sync.WaitGroup
	for i := range paths {
		callers.Go(func() {
			path, err := Build(t.Context(), "staticcheck")
			if assert.NoError(t, err) {
				paths[i] = path
			}
		})
	}
	callers.Wait()

	info, err := os.Stat(paths[0])
	require.NoError(t, err)
	assert.NotZero(t, info.Mode()&0o111, "can be run")
	for _, path := range paths {
		assert.Equal(t, paths[0], path)
	}
	left, err := filepath.Glob(filepath.Join(cache, "*", "*"))
	require.NoError(t, err)
	assert.Equal(t, paths[:1], left, "nothing but the program itself is left")
}

func TestKeyFollowsTheModule(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	write("go.mod", "module a")
	write("go.sum", "one")
	first, err := all["oras"].key(dir)
	require.NoError(t, err)

	write("go.sum", "two")
	second, err := all["oras"].key(dir)
	require.NoError(t, err)
	assert.NotEqual(t, first, second, "another dependency, another program")

	require.NoError(t, os.Remove(filepath.Join(dir, "go.sum")))
	_, err = all["oras"].key(dir)
	require.Error(t, err)
}
