// Package helm_test checks the chart without a cluster: helm's own linter, what it
// renders for the main sets of values, and Kubernetes' schemas. What only a cluster
// can tell is in test/kube.
package helm_test

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/specman/specman/internal/config"
	"github.com/specman/specman/internal/sync/selector"
	"github.com/specman/specman/internal/testenv/tools"
)

const chart = "specman"

var update = flag.Bool("update", false, "rewrite the golden files")

// Both ends of what the chart admits; helm reads "kubeVersion" with it.
var minors = map[string]tools.Module{
	"oldest": tools.KubernetesOldest,
	"newest": tools.KubernetesNewest,
}

func TestLint(t *testing.T) {
	for _, set := range valueSets(t) {
		for name, kubernetes := range minors {
			t.Run(set+" on the "+name, func(t *testing.T) {
				out, err := helm(t, "lint", "--strict", "--namespace", "hubble-system", "--kube-version", kubernetes.Version, "--values", valuesFile(set), chart)
				require.NoError(t, err, out)
			})
		}
	}
}

// The golden files are what a reviewer of the chart reads: `go test ./deploy/helm
// -update` writes them anew.
func TestGolden(t *testing.T) {
	for _, set := range valueSets(t) {
		t.Run(set, func(t *testing.T) {
			out, err := render(t, set)
			require.NoError(t, err, out)
			got := withoutChance(out)
			golden := filepath.Join("testdata", set+".golden.yaml")
			if *update {
				require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			assert.Equal(t, string(want), got, "if the change is meant: go test ./deploy/helm -update")
		})
	}
}

// What the chart makes of the values is what Specman takes: the strict reader of the
// real program has no fault to find.
func TestConfigIsSpecmans(t *testing.T) {
	for _, set := range valueSets(t) {
		t.Run(set, func(t *testing.T) {
			out, err := render(t, set)
			require.NoError(t, err, out)
			text := find(t, out, "ConfigMap", "-config").Data["config.yaml"]
			require.NotEmpty(t, text)
			file := filepath.Join(t.TempDir(), "config.yaml")
			require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
			loaded, err := config.Load(config.LoadOptions{DefaultFile: file, ValidateSelector: func(text string) error {
				_, err := selector.Parse(text)
				return err
			}})
			require.NoError(t, err, text)
			require.Equal(t, file, loaded.File)
			assert.Empty(t, loaded.Warnings)
		})
	}
}

// Only what the service reads at its start may restart the pods.
func TestPodsRestartOnlyForWhatNeedsIt(t *testing.T) {
	template := func(t *testing.T, args ...string) string {
		out, err := render(t, "harbor", args...)
		require.NoError(t, err, out)
		content, err := yaml.Marshal(find(t, out, "StatefulSet", "specman").Spec["template"])
		require.NoError(t, err)
		return string(content)
	}
	before := template(t)
	for _, c := range []struct {
		name, set string
		restarts  bool
	}{
		{"a source's interval", "config.source.interval=5m", false},
		{"another repository", "ociPackRegistry.endpoint=other.example.com", false},
		{"another password", "ociPackRegistry.password=b3RoZXI=", false},
		{"a CA more", "ociPackRegistry.caCert=b3RoZXI=", false},
		{"a second registry with its keys", "ociPackEcrRegistry.endpoint=ecr.example.com,ociPackEcrRegistry.accessKey=QQ==", false},
		{"the log's level", "config.log.level=debug", false},
		{"the log's format", "config.log.format=json", true},
		{"the listener", "config.http.cacheBytes=128Mi", true},
		{"a login for the tree", "secrets.htpasswd.value=x", true},
		{"the image", "image.tag=2.0.0", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			assert.Equal(t, c.restarts, before != template(t, "--set", c.set))
		})
	}
}

func TestMistakesAreNamedBeforeAnythingIsInstalled(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		says []string
	}{
		{"a key that is none", []string{"--set", "replicaCount=2"}, []string{"replicaCount"}},
		{"a key of Specman's that is none", []string{"--set", "config.source.intervall=5m"}, []string{"intervall"}},
		{"a number where a duration is due", []string{"--set", "config.source.interval=5"}, []string{"interval"}},
		{"a tag that YAML takes for a number", []string{"--set", "image.tag=12"}, []string{"image", "tag"}},
		{"a password that is not base64", []string{"--set", "ociPackRegistry.endpoint=a,ociPackRegistry.password=plain!"},
			[]string{"ociPackRegistry.password is not base64", "base64 -w0"}},
		{"a password in the ConfigMap", []string{"--set", "config.source.auth.password=x"}, []string{"ConfigMap", "secrets.registry.existingSecret"}},
		{"sources beside a block", []string{"--set", "ociPackRegistry.endpoint=a", "--set-json", `config.sources=[{"name":"b","repository":"c/d"}]`},
			[]string{"config.sources cannot stand beside"}},
		{"cert-manager without an issuer", []string{"--set", "tls.certManager.enabled=true"}, []string{"issuerRef.name"}},
		{"pods that are killed before they can end", []string{"--set", "drainSeconds=60"}, []string{"terminationGracePeriodSeconds is 45", "give it 80 or more"}},
		{"a Kubernetes that is too old", []string{"--kube-version", "1.29.6"}, []string{">=1.30.0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := render(t, "default", c.args...)
			require.Error(t, err, out)
			for _, words := range c.says {
				assert.Contains(t, out, words)
			}
		})
	}
}

// A PEM block pasted as it is means the same as its base64.
func TestCAIsTakenAsPEMToo(t *testing.T) {
	out, err := render(t, "default", "--set", "ociPackRegistry.endpoint=a", "--set-string", "ociPackRegistry.caCert=-----BEGIN CERTIFICATE-----")
	require.NoError(t, err, out)
	assert.Equal(t, "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t", find(t, out, "Secret", "specman-secrets").Data["registry-ca.crt"])
}

// Base64 is often pasted with its line breaks.
func TestBase64IsTakenOverLines(t *testing.T) {
	out, err := render(t, "default", "--set", "ociPackRegistry.endpoint=a", "--set-string", "ociPackRegistry.password=c2Vj\ncmV0\n")
	require.NoError(t, err, out)
	assert.Equal(t, "c2VjcmV0", find(t, out, "Secret", "specman-secrets").Data["registry-password"])
}

// What `helm test` reaches is what the service reaches.
func TestThePolicyIsOfTheTestPodToo(t *testing.T) {
	out, err := render(t, "default")
	require.NoError(t, err, out)
	labels := find(t, out, "Pod", "-doctor").Metadata.Labels
	for label, want := range find(t, out, "NetworkPolicy", "specman").Spec["podSelector"].(map[string]any)["matchLabels"].(map[string]any) {
		assert.Equal(t, want, labels[label], label)
	}
}

// The role of a pod comes from the node, whichever of its names the registry is called by.
func TestThePolicyLetsTheRoleIn(t *testing.T) {
	for host, want := range map[string]bool{
		"123456789012.dkr.ecr.eu-central-1.amazonaws.com": true,
		"123456789012.dkr-ecr.eu-central-1.on.aws":        true,
		"harbor.example.com":                              false,
	} {
		out, err := render(t, "default", "--set", "config.source.repository="+host+"/a")
		require.NoError(t, err, out)
		egress, err := yaml.Marshal(find(t, out, "NetworkPolicy", "specman").Spec["egress"])
		require.NoError(t, err)
		assert.Equal(t, want, strings.Contains(string(egress), "169.254.170.23/32"), host)
	}
}

func TestPackage(t *testing.T) {
	dir := t.TempDir()
	out, err := helm(t, "package", chart, "--destination", dir)
	require.NoError(t, err, out)
	found, err := filepath.Glob(filepath.Join(dir, "specman-*.tgz"))
	require.NoError(t, err)
	assert.Len(t, found, 1)
}

// An object is what a test looks at in a manifest.
type object struct {
	Kind     string
	Metadata struct {
		Name   string
		Labels map[string]string
	}
	Data map[string]string
	Spec map[string]any
}

// find returns the first object of that kind whose name ends so.
func find(t *testing.T, manifests, kind, suffix string) object {
	t.Helper()
	decoder := yaml.NewDecoder(strings.NewReader(manifests))
	for {
		var o object
		require.NoError(t, decoder.Decode(&o), "there is no %s of name …%s", kind, suffix)
		if o.Kind == kind && strings.HasSuffix(o.Metadata.Name, suffix) {
			return o
		}
	}
}

func valueSets(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "*.values.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for i, file := range files {
		files[i] = strings.TrimSuffix(filepath.Base(file), ".values.yaml")
	}
	return files
}

func valuesFile(set string) string { return filepath.Join("testdata", set+".values.yaml") }

// render is `helm template` of a set, under a release name that is not the chart's.
func render(t *testing.T, set string, args ...string) (string, error) {
	t.Helper()
	all := append([]string{"template", "any", chart, "--namespace", "hubble-system", "--kube-version", tools.KubernetesNewest.Version,
		"--values", valuesFile(set)}, args...)
	return helm(t, all...)
}

// helm returns what it printed, on an error with what it said.
func helm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	program, err := tools.Build(t.Context(), "helm")
	require.NoError(t, err)
	home := t.TempDir()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String() + stderr.String(), err
	}
	return stdout.String(), nil
}

var (
	madePair = regexp.MustCompile(`(?m)^  ((tls|ca)\.(crt|key)): [A-Za-z0-9+/=]+$`)
	madeTime = regexp.MustCompile(`specman/until: "\d+"`)
)

// withoutChance puts names in place of the self-signed pair and its end.
func withoutChance(manifests string) string {
	manifests = madePair.ReplaceAllString(manifests, "  $1: MADE")
	return madeTime.ReplaceAllString(manifests, `specman/until: "MADE"`)
}
