package e2e

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const module = "github.com/specman/specman/"

// What each package imports of ours, beside what holds no state; ARCHITECTURE.md says
// why. A package that is new wants a line here.
func TestLayers(t *testing.T) {
	t.Parallel()
	stateless := []string{"internal/atomicfile", "internal/block", "internal/filestate", "internal/human", "internal/sync/archive/inflate"}
	imports := map[string][]string{
		"internal/config":            {},
		"internal/logging":           {},
		"internal/sync/archive":      {},
		"internal/sync/oci":          {},
		"internal/sync/oci/ocitest":  {},
		"internal/sync/selector":     {},
		"internal/store":             {},
		"internal/variant":           {},
		"internal/sync/unpack":       {"internal/store", "internal/sync/archive"},
		"internal/sync/gate":         {"internal/store"},
		"internal/sync/poller":       {"internal/store", "internal/sync/archive", "internal/sync/gate", "internal/sync/oci", "internal/sync/selector", "internal/sync/unpack"},
		"internal/sync/importer":     {"internal/store", "internal/sync/archive", "internal/sync/gate", "internal/sync/oci", "internal/sync/selector", "internal/sync/unpack"},
		"internal/doctor":            {"internal/store", "internal/sync/oci", "internal/sync/selector"},
		"internal/httpserve":         {"internal/store", "internal/variant"},
		"internal/ops":               {"internal/store", "internal/sync/poller", "internal/sync/importer", "internal/sync/archive", "internal/sync/gate"},
		"internal/testenv":           {"internal/testenv/tools"},
		"internal/testenv/image":     {"internal/testenv/tools"},
		"internal/testenv/kube":      {},
		"internal/testenv/tools":     {},
		"internal/testenv/cmd/tools": {"internal/testenv/tools"},
	}
	for _, pkg := range stateless {
		imports[pkg] = []string{}
	}
	have := goList(t, `{{.ImportPath}}{{"\n"}}{{join .Imports "\n"}}{{"\n\n"}}`)
	delete(have, "cmd/specman") // which knows them all
	for pkg, deps := range have {
		deps = slices.DeleteFunc(deps, func(dep string) bool { return slices.Contains(stateless, dep) })
		if want, known := imports[pkg]; assert.True(t, known, "%s has no line in this test", pkg) {
			assert.ElementsMatch(t, want, deps, "of %s", pkg)
		}
		delete(imports, pkg)
	}
	assert.Empty(t, imports, "packages that are not there")
}

// Nothing that is shipped knows the tests' own packages.
func TestProgramHoldsNoTestCode(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("go", "list", "-deps", "./cmd/specman")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	require.NoError(t, err)
	for _, dep := range strings.Fields(string(out)) {
		assert.NotContains(t, dep, "testenv")
		assert.NotContains(t, dep, "ocitest")
		assert.NotContains(t, dep, "testify")
	}
}

// goList returns, of each package of ours that is no test's alone, what it
// depends on of ours.
func goList(t *testing.T, format string) map[string][]string {
	t.Helper()
	cmd := exec.Command("go", "list", "-f", format, "./cmd/...", "./internal/...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	require.NoError(t, err)
	deps := map[string][]string{}
	for block := range strings.SplitSeq(string(out), "\n\n") {
		lines := strings.Fields(block)
		if len(lines) == 0 {
			continue
		}
		pkg := strings.TrimPrefix(lines[0], module)
		deps[pkg] = []string{}
		for _, dep := range lines[1:] {
			if ours, ok := strings.CutPrefix(dep, module); ok {
				deps[pkg] = append(deps[pkg], ours)
			}
		}
	}
	require.Greater(t, len(deps), 10, "what go list prints is understood")
	return deps
}
