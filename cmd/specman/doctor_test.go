package main

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/doctor"
	"github.com/specman/specman/internal/testenv"
)

func TestDoctorGoesTheWayOfASync(t *testing.T) {
	r := testenv.Zot(t, testenv.Options{CA: testenv.NewCA(t), Username: "ada", Password: "pass$word"})
	settings := append(connectionFlags(t, r), "--source.repository="+r.Repo("a/b"), "--store.dir="+filepath.Join(t.TempDir(), "store"))
	dir := exampleTree(t)
	require.Equal(t, 0, runWith(t, nil, append(settings, "push", dir, r.Repo("a/b")+":4.5.13")...).status)

	got := runWith(t, nil, append(settings, "doctor")...)
	assert.Equal(t, 0, got.status)
	assert.Empty(t, got.stderr)
	line := regexp.MustCompile(`^(ok|warn|fail|skip) {1,3} (config|store|default) +[a-z]+ +\S.*$`)
	for text := range strings.Lines(got.stdout) {
		assert.Regexp(t, line, strings.TrimSuffix(text, "\n"))
	}
	assert.Contains(t, got.stdout, "ok    config   settings    no file, environment and flags are right\n")
	assert.Contains(t, got.stdout, "ok    default  tags        1: 4.5.13\n")

	require.Equal(t, 0, runWith(t, nil, append(settings, "sync")...).status)
	got = runWith(t, nil, append(settings, "doctor", "-o", "json")...)
	assert.Equal(t, 0, got.status)
	result := diagnosed(t, got.stdout)
	assert.True(t, result.OK)
	last := result.Checks[len(result.Checks)-1]
	assert.Equal(t, doctor.Check{Status: doctor.OK, Where: "default", What: "room", Detail: "all followed layers are held"}, last)
}

func diagnosed(t *testing.T, output string) doctorResult {
	t.Helper()
	var result doctorResult
	decoder := json.NewDecoder(strings.NewReader(output))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&result), output)
	return result
}

func TestDoctorFindsWhatIsWrong(t *testing.T) {
	store := "--store.dir=" + filepath.Join(t.TempDir(), "store")
	args := []string{"doctor", store, "--source.repository=127.0.0.1:1/a/b", "--source.auth.username=ada", "--source.auth.password=Hunter2"}
	got := runWith(t, []string{"SPECMAN_SOURCE_INTERVALL=1m"}, args...)
	assert.Equal(t, 1, got.status)
	assert.Empty(t, got.stderr, "the output says it all")
	assert.Contains(t, got.stdout, "warn  config   settings    environment variable SPECMAN_SOURCE_INTERVALL is not known")
	assert.Regexp(t, `(?m)^fail  default  tcp         dial tcp 127.0.0.1:1: connect: connection refused; cure: check host and port`, got.stdout)
	assert.Contains(t, got.stdout, "skip  default  layer       tcp failed\n")
	assert.NotContains(t, got.stdout, "Hunter2")

	got = runWith(t, nil, append(args, "-o", "json")...)
	assert.Equal(t, 1, got.status)
	assert.False(t, diagnosed(t, got.stdout).OK)

	got = runWith(t, nil, "doctor", "--store.keep=x", "--source.interval=1")
	assert.Equal(t, 2, got.status, "a wrong configuration is one for every command")
	assert.Contains(t, got.stderr, "store.keep")
	assert.Contains(t, got.stderr, "source.interval")
}

func TestDoctorBesideARunningService(t *testing.T) {
	folder := "--store.dir=" + filepath.Join(t.TempDir(), "store")
	startService(t, folder)
	got := runWith(t, nil, "doctor", folder)
	assert.Equal(t, 0, got.status)
	assert.Contains(t, got.stdout, "ok    store    service     it runs, and answers on its control socket\n")
	assert.Contains(t, got.stdout, "warn  store    content     it holds nothing to serve; cure: ")
	assert.Contains(t, got.stdout, "ok    default  repository  none is configured: what is held or imported is served\n")
}
