package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheServiceAnswersWhileTheConfigurationIsWrong(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(file, []byte("sauce: {}\n"), 0o644))
	env := []string{"SPECMAN_STORE_DIR=" + dir, "SPECMAN_CONFIG=" + file}
	status := func() (code int, stdout, stderr string) {
		var out, errs bytes.Buffer
		code = run(t.Context(), []string{"status"}, env, strings.NewReader(""), &out, &errs)
		return code, out.String(), errs.String()
	}
	code, _, stderr := status()
	assert.Equal(t, 2, code, "without a service the mistake is all there is to tell")
	assert.Contains(t, stderr, "sauce")

	startService(t, "--store.dir="+dir)
	code, stdout, stderr := status()
	assert.Equal(t, 0, code, stderr)
	assert.Contains(t, stdout, "store "+dir)
	assert.Contains(t, stderr, "warning: wrong configuration")
	assert.Contains(t, stderr, "sauce")
}
