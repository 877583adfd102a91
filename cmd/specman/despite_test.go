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

// Whoever names another service, or errs in how he does it, does not mean this one.
func TestNoOtherServiceIsAskedThanTheOneThatIsMeant(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(file, []byte("sauce: {}\n"), 0o644))
	env := []string{"SPECMAN_STORE_DIR=" + dir}
	startService(t, "--store.dir="+dir)
	for name, row := range map[string]struct {
		args []string
		says string
	}{
		"a wrong flag":                  {[]string{"status", "--source.interval=5"}, "--source.interval"},
		"a wrong flag and a wrong file": {[]string{"status", "--source.interval=5", "--config=" + file}, "--source.interval"},
		"another folder":                {[]string{"status", "--store.dir=" + t.TempDir(), "--config=" + file}, "sauce"},
		"a change of another folder's":  {[]string{"pin", "--store.dir=" + t.TempDir(), "--source.interval=5"}, "--source.interval"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errs bytes.Buffer
			assert.Equal(t, 2, run(t.Context(), row.args, env, strings.NewReader(""), &out, &errs))
			assert.Empty(t, out.String())
			assert.Contains(t, errs.String(), row.says)
		})
	}

	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"status", "--store.dir=" + dir, "--config=" + file}, nil, strings.NewReader(""), &out, &errs)
	assert.Equal(t, 0, code, "the command line says where it is: %s", errs.String())
}
