package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/specman/specman/internal/config"
)

// A change of the configuration is applied, or a restart is asked for: never neither.
func TestEveryKeyIsAppliedOrReadAtTheStart(t *testing.T) {
	below := func(key, part string) bool { return key == part || strings.HasPrefix(key, part+".") }
	applied := []string{"source", "gate", "log.level", "store.keep", "store.grace", "store.minFree", "store.scrubInterval",
		"store.maxTreeBytes", "store.maxFiles", "store.maxFileBytes"}
	for _, key := range config.Keys() {
		if below(key.Name, "webhook") {
			continue // refused
		}
		times := 0
		for part := range readAtStart(&config.Config{}) {
			if below(key.Name, part) {
				times++
			}
		}
		for _, part := range applied {
			if below(key.Name, part) {
				times++
			}
		}
		assert.Equal(t, 1, times, key.Name)
	}
}
