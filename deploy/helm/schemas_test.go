package helm_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/testenv/tools"
)

// Kinds that are no part of Kubernetes; test/kube holds them against their CRDs.
const foreignKinds = "Certificate,ServiceMonitor"

func TestKubernetesTakesEveryManifest(t *testing.T) {
	for name, kubernetes := range minors {
		t.Run(name, func(t *testing.T) {
			schemas := writeSchemas(t, kubernetes)
			for _, set := range valueSets(t) {
				out, err := render(t, set, "--kube-version", kubernetes.Version)
				require.NoError(t, err, out)
				said, err := kubeconform(t, schemas, out)
				assert.NoError(t, err, "%s: %s", set, said)
			}
		})
	}
}

// That the schemas refuse anything at all: each of these passes where they are lax.
func TestSchemasAreStrict(t *testing.T) {
	schemas := writeSchemas(t, tools.KubernetesOldest)
	out, err := render(t, "default", "--kube-version", tools.KubernetesOldest.Version)
	require.NoError(t, err, out)
	for _, c := range []struct{ name, old, new string }{
		{"a field that is none", "enableServiceLinks: false", "enableServiceLink: false"},
		{"a text for a number", "replicas: 1", "replicas: one"},
		{"a field of a newer API", "serviceName:", "serviceNames:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Contains(t, out, c.old)
			said, err := kubeconform(t, schemas, strings.Replace(out, c.old, c.new, 1))
			require.Error(t, err, said)
		})
	}
}

func kubeconform(t *testing.T, schemas, manifests string) (string, error) {
	t.Helper()
	program, err := tools.Build(t.Context(), "kubeconform")
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), program, "-strict", "-summary", "-skip", foreignKinds,
		"-schema-location", filepath.Join(schemas, "{{.ResourceKind}}{{.KindSuffix}}.json"))
	cmd.Stdin = strings.NewReader(manifests)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// writeSchemas makes strict JSON schemas of the OpenAPI description that Kubernetes
// itself publishes, one file for each kind, and returns their folder.
func writeSchemas(t *testing.T, kubernetes tools.Module) string {
	t.Helper()
	source, err := kubernetes.Download(t.Context())
	require.NoError(t, err)
	content, err := os.ReadFile(filepath.Join(source, "api", "openapi-spec", "swagger.json"))
	require.NoError(t, err)
	var api struct {
		Definitions map[string]map[string]any
	}
	require.NoError(t, json.Unmarshal(content, &api))
	for name, definition := range api.Definitions {
		tighten(definition)
		if strings.HasSuffix(name, ".IntOrString") {
			definition["type"] = []string{"integer", "string"}
		}
	}

	dir := t.TempDir()
	written := 0
	for name, definition := range api.Definitions {
		kinds, _ := definition["x-kubernetes-group-version-kind"].([]any)
		for _, k := range kinds {
			kind := k.(map[string]any)
			// An options type is of every group; no manifest is of one.
			if len(kinds) > 1 {
				continue
			}
			group, _, _ := strings.Cut(kind["group"].(string), ".")
			file := strings.ToLower(fmt.Sprintf("%s-%s-%s.json", kind["kind"], group, kind["version"]))
			if group == "" {
				file = strings.ToLower(fmt.Sprintf("%s-%s.json", kind["kind"], kind["version"]))
			}
			needed := map[string]any{}
			collect(api.Definitions, name, needed)
			schema := maps.Clone(definition)
			schema["definitions"] = needed
			out, err := json.Marshal(schema)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(dir, file), out, 0o600))
			written++
		}
	}
	require.Greater(t, written, 50, "kinds in %s %s", kubernetes.Path, kubernetes.Version)
	return dir
}

// tighten makes a schema refuse fields that it does not name.
func tighten(schema map[string]any) {
	properties, ok := schema["properties"].(map[string]any)
	if !ok {
		return
	}
	if _, ok := schema["additionalProperties"]; !ok {
		schema["additionalProperties"] = false
	}
	for _, property := range properties {
		tighten(property.(map[string]any))
	}
}

// collect adds the definitions that the named one leads to.
func collect(definitions map[string]map[string]any, name string, into map[string]any) {
	if _, ok := into[name]; ok {
		return
	}
	into[name] = definitions[name]
	var walk func(any)
	walk = func(node any) {
		switch node := node.(type) {
		case map[string]any:
			if ref, ok := node["$ref"].(string); ok {
				collect(definitions, strings.TrimPrefix(ref, "#/definitions/"), into)
			}
			for _, child := range node {
				walk(child)
			}
		case []any:
			for _, child := range node {
				walk(child)
			}
		}
	}
	walk(definitions[name])
}
