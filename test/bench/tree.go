package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
)

// treeSpec says what a tree is made of. The same spec makes the same bytes, on
// any machine: text in YAML and JSON, as manifests are, which gzip makes about
// five times smaller.
type treeSpec struct {
	seed  uint64
	files int
	bytes int64 // of all files, about
	// changed is a second version of the tree, in which every hundredth file is
	// another of the same size.
	changed bool
}

// write makes the tree and returns the paths of its files, relative to dir, and
// the bytes of those that differ between the two versions.
func (t treeSpec) write(dir string) (paths []string, differing int64, err error) {
	sizes := rand.New(rand.NewPCG(t.seed, 1))
	mean := float64(t.bytes) / float64(t.files)
	var text []byte
	for n := range t.files {
		// A quarter of the mean at least, and few that are much larger.
		size := int(mean/4 + sizes.ExpFloat64()*mean*3/4)
		version := uint64(0)
		if n%100 == 0 {
			differing += int64(size)
			if t.changed {
				version = 1
			}
		}
		words := rand.New(rand.NewPCG(t.seed+uint64(n)<<1|version<<40, 2))
		path := fmt.Sprintf("pack-%03d/1.%d.0/manifest-%05d", n/100, n/20%5, n)
		if n%4 == 3 {
			path += ".json"
			text = appendJSON(text[:0], words, size)
		} else {
			path += ".yaml"
			text = appendYAML(text[:0], words, size)
		}
		path, full := path, filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			return nil, 0, err
		}
		if err := os.WriteFile(full, text, 0o644); err != nil {
			return nil, 0, err
		}
		paths = append(paths, path)
	}
	return paths, differing, nil
}

var keys = []string{
	"apiVersion", "kind", "metadata", "name", "namespace", "labels", "annotations", "spec", "replicas", "selector",
	"matchLabels", "template", "containers", "image", "imagePullPolicy", "ports", "containerPort", "protocol", "env",
	"value", "valueFrom", "secretKeyRef", "resources", "requests", "limits", "memory", "cpu", "volumeMounts", "mountPath",
	"readOnly", "volumes", "configMap", "defaultMode", "serviceAccountName", "tolerations", "nodeSelector", "affinity",
}

var values = []string{
	"v1", "apps/v1", "Deployment", "ConfigMap", "IfNotPresent", "TCP", "true", "false", "128Mi", "500m", "/etc/config",
	"kube-system", "hubble-system", "cluster-admin", "rbac.authorization.k8s.io", "NoSchedule", "gcr.io/spectro-images/release",
}

// appendValue adds a word, a number or, so that it does not compress too well, a
// few digits of a digest.
func appendValue(text []byte, words *rand.Rand) []byte {
	switch words.IntN(8) {
	case 0:
		return strconv.AppendUint(text, words.Uint64N(10000), 10)
	case 1, 2:
		return strconv.AppendUint(append(text, 'x'), words.Uint64()>>16, 16)
	default:
		return append(text, values[words.IntN(len(values))]...)
	}
}

func appendYAML(text []byte, words *rand.Rand, size int) []byte {
	const indents = "          "
	for len(text) < size {
		text = append(text, indents[:2*words.IntN(6)]...)
		text = append(text, keys[words.IntN(len(keys))]...)
		text = append(text, ": "...)
		text = append(appendValue(text, words), '\n')
	}
	return text
}

func appendJSON(text []byte, words *rand.Rand, size int) []byte {
	text = append(text, "{\n"...)
	for len(text) < size {
		text = append(text, `  "`...)
		text = append(text, keys[words.IntN(len(keys))]...)
		text = append(text, `": "`...)
		text = append(appendValue(text, words), "\",\n"...)
	}
	return append(text, "  \"end\": true\n}\n"...)
}
