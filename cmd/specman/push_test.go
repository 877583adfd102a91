package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/testenv"
)

// What push makes is what oras makes of the same file, and oras takes it.
func TestPushAsOrasDoes(t *testing.T) {
	for _, row := range []struct {
		name    string
		options func(t *testing.T) testenv.Options
		start   func(testing.TB, testenv.Options) *testenv.Registry
	}{
		{"zot, plain HTTP", func(*testing.T) testenv.Options { return testenv.Options{} }, testenv.Zot},
		{"zot, TLS and a login", func(t *testing.T) testenv.Options {
			return testenv.Options{CA: testenv.NewCA(t), Username: "ada", Password: "pass$word"}
		}, testenv.Zot},
		{"distribution, TLS", func(t *testing.T) testenv.Options { return testenv.Options{CA: testenv.NewCA(t)} }, testenv.Distribution},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			r := row.start(t, row.options(t))
			temporary := t.TempDir()
			env := []string{"TMPDIR=" + temporary}
			settings := connectionFlags(t, r)
			file := filepath.Join(t.TempDir(), "manifests.tgz")
			dir := exampleTree(t)
			require.Equal(t, 0, runWith(t, nil, "pack", dir, "-f", file).status)

			got := runWith(t, env, append(settings, "push", dir, r.Repo("a/folder")+":0.0.0")...)
			require.Equal(t, 0, got.status, got.stderr)
			assert.Contains(t, got.stdout, "packed "+dir+": tar+gzip, ")
			pushed := printedDigest(t, got.stdout[strings.Index(got.stdout, "pushed "+r.Repo("a/folder")+":0.0.0\n"):])
			assert.Contains(t, got.stderr, "`specman sync`")
			assert.Empty(t, namesIn(t, temporary), "no temporary file is left")

			raw := r.Oras(t.TempDir(), "manifest", "fetch", r.Repo("a/folder")+":0.0.0")
			assert.Equal(t, pushed, digest.FromString(raw).String())
			out := t.TempDir()
			r.Oras(out, "pull", r.Repo("a/folder")+":0.0.0")
			assert.Equal(t, readFile(t, file), readFile(t, filepath.Join(out, "manifests.tgz")), "what pack makes")

			got = runWith(t, env, append(settings, "push", file, r.Repo("a/file")+":0.0.0")...)
			require.Equal(t, 0, got.status, got.stderr)
			r.Oras(filepath.Dir(file), "push", r.Repo("a/oras")+":0.0.0", "manifests.tgz")
			ours := manifestOf(t, r.Oras(t.TempDir(), "manifest", "fetch", r.Repo("a/file")+":0.0.0"))
			theirs := manifestOf(t, r.Oras(t.TempDir(), "manifest", "fetch", r.Repo("a/oras")+":0.0.0"))
			require.Contains(t, ours.Annotations, ocispec.AnnotationCreated)
			ours.Annotations[ocispec.AnnotationCreated] = theirs.Annotations[ocispec.AnnotationCreated]
			assert.Equal(t, theirs, ours)
		})
	}
}

// connectionFlags are the settings with which Specman reaches a registry.
func connectionFlags(t *testing.T, r *testenv.Registry) []string {
	t.Helper()
	flags := []string{"--source.plainHTTP"}
	if r.CAFile != "" {
		flags = []string{"--source.tls.caFile=" + r.CAFile}
	}
	if r.Username != "" {
		password := filepath.Join(t.TempDir(), "password")
		require.NoError(t, os.WriteFile(password, []byte(r.Password+"\n"), 0o600))
		flags = append(flags, "--source.auth.username="+r.Username, "--source.auth.passwordFile="+password)
	}
	return flags
}

func manifestOf(t *testing.T, raw string) ocispec.Manifest {
	t.Helper()
	var m ocispec.Manifest
	require.NoError(t, json.Unmarshal([]byte(raw), &m))
	return m
}

// printedDigest is the digest that output has on a line of its own.
func printedDigest(t *testing.T, output string) string {
	t.Helper()
	_, rest, ok := strings.Cut(output, "\ndigest: ")
	require.True(t, ok, output)
	dgst, _, _ := strings.Cut(rest, "\n")
	return dgst
}

func TestPushToALayout(t *testing.T) {
	base := t.TempDir()
	ref := "oci-layout:" + filepath.Join(base, "registry") + ":0.0.0"
	got := runWith(t, nil, "push", exampleTree(t), ref)
	require.Equal(t, 0, got.status, got.stderr)
	assert.Equal(t, []string{"registry"}, namesIn(t, base), "no temporary file is left beside the layout")

	out := t.TempDir()
	testenv.Oras(t, out, "pull", "--oci-layout", filepath.Join(base, "registry")+":0.0.0")
	assert.Equal(t, runWith(t, nil, "pack", exampleTree(t), "-f", "-").stdout, readFile(t, filepath.Join(out, "manifests.tgz")))
	assert.Equal(t, 0, runWith(t, nil, "inspect", ref).status)
}

func TestPushKeepsTheNameOfAFile(t *testing.T) {
	base := t.TempDir()
	file := writeArchive(t, "mine.tgz", testenv.TGZ(t, map[string]string{"a": "1"}))
	require.Equal(t, 0, runWith(t, nil, "push", file, "oci-layout:"+base+":1.0.0").status)
	out := t.TempDir()
	testenv.Oras(t, out, "pull", "--oci-layout", base+":1.0.0")
	assert.Equal(t, []string{"mine.tgz"}, namesIn(t, out))
}

func TestPushRefusesWhatServeWouldRefuse(t *testing.T) {
	base := t.TempDir()
	ref := "oci-layout:" + filepath.Join(base, "registry") + ":0.0.0"
	file := writeArchive(t, "manifests.tgz", testenv.TGZ(t, map[string]string{"../a": "1"}))

	got := runWith(t, nil, "push", file, ref)
	assert.Equal(t, 1, got.status)
	assert.Equal(t, "specman: "+file+": archive refused at entry \"../a\": the name holds \"..\"\n  `specman serve` would refuse it; --force pushes it all the same\n", got.stderr)
	assert.Empty(t, namesIn(t, base), "nothing was pushed")

	got = runWith(t, nil, "push", writeTree(t, nil), ref)
	assert.Equal(t, 1, got.status)
	assert.Contains(t, got.stderr, "there is not one file in it")
	assert.Empty(t, namesIn(t, base))

	got = runWith(t, nil, "push", "--force", file, ref)
	assert.Equal(t, 0, got.status)
	assert.Contains(t, got.stderr, "specman: warning: no Specman is going to serve this: ")
	assert.NotContains(t, got.stderr, "next poll")
	assert.Contains(t, got.stdout, "pushed "+ref+"\ndigest: sha256:")
}

func TestPushSaysWhatIsNext(t *testing.T) {
	layout := "oci-layout:" + t.TempDir()
	dir := exampleTree(t)
	for _, row := range []struct {
		name   string
		args   []string
		stderr string
	}{
		{"a version", []string{layout + ":4.5.13"}, "A service that follows this repository serves it after its next poll; `specman sync` makes it poll now.\n"},
		{"no version", []string{layout + ":latest"}, "The selectors versions do not follow this tag: a service serves it with --source.select=versions,latest.\n"},
		{"excluded", []string{layout + ":4.5.13", "--source.exclude=4.5.13"}, "source.exclude names this tag: no service with this configuration serves it.\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := runWith(t, nil, append([]string{"push", dir}, row.args...)...)
			assert.Equal(t, 0, got.status)
			assert.Equal(t, row.stderr, got.stderr)
		})
	}
}

func TestPushArguments(t *testing.T) {
	dir := exampleTree(t)
	for _, row := range []struct {
		name   string
		args   []string
		status int
		stderr string
	}{
		{"no REF", []string{dir}, 2, "specman push: REF is missing"},
		{"no tag", []string{dir, "example.com/a"}, 2, "REF \"example.com/a\" names no tag"},
		{"a digest", []string{dir, "example.com/a@sha256:" + strings.Repeat("a", 64)}, 2, "a push needs a tag, not a digest"},
		{"no repository", []string{dir, "example.com:0.0.0"}, 2, "\"example.com\" names no repository"},
		{"a tag that is none", []string{dir, "oci-layout:" + t.TempDir() + ":a+b"}, 1, "\"a+b\" is no tag"},
		{"nothing to push", []string{dir + "/none", "oci-layout:x:1"}, 1, "stat " + dir + "/none: no such file or directory"},
		{"nobody there", []string{dir, "127.0.0.1:1/a:0.0.0", "--source.plainHTTP"}, 1, "connection refused\n  nothing listens there"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := runWith(t, []string{"TMPDIR=" + t.TempDir()}, append([]string{"push"}, row.args...)...)
			assert.Equal(t, row.status, got.status)
			assert.Contains(t, got.stderr, row.stderr)
		})
	}
}
