package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

const (
	envPrefix  = "SPECMAN_"
	configEnv  = "SPECMAN_CONFIG"
	sourcesEnv = "SPECMAN_SOURCES"
)

// variables are the SPECMAN_* variables that are set, which an empty one is not.
type variables map[string]string

// newVariables reads NAME=VALUE strings; of one name the last counts. Line breaks
// around a value are dropped: what makes variables of files leaves them there, and
// no value of ours ends in one.
func newVariables(env []string) variables {
	vars := variables{}
	for _, assignment := range env {
		name, value, ok := strings.Cut(assignment, "=")
		if !ok || !strings.HasPrefix(name, envPrefix) {
			continue
		}
		delete(vars, name)
		if value = strings.Trim(value, "\r\n"); value != "" {
			vars[name] = value
		}
	}
	return vars
}

func fromEnv(name string) Origin { return Origin{From: "environment", Name: name} }

// unknown gives one warning for each variable that no key has.
func (v variables) unknown(keys []Key) []string {
	known := []string{configEnv, sourcesEnv}
	for _, k := range keys {
		known = append(known, k.Env())
	}
	var warnings []string
	for _, name := range slices.Sorted(maps.Keys(v)) {
		if slices.Contains(known, name) || madeByKubernetes(name) {
			continue
		}
		warning := fmt.Sprintf("environment variable %s is not known and has no effect", quoteKey(name))
		if best := nearest(name, known); best != "" {
			warning += "; did you mean " + best + "?"
		}
		warnings = append(warnings, warning)
	}
	return warnings
}

// madeByKubernetes knows the variables with which the kubelet describes Services
// named specman and specman-service to every pod of their namespace.
func madeByKubernetes(name string) bool {
	return strings.HasPrefix(name, "SPECMAN_SERVICE_") || name == "SPECMAN_PORT" || strings.HasPrefix(name, "SPECMAN_PORT_")
}
