package main

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/config"
)

func TestTheConfigurationIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/configuration.md")
	require.NoError(t, err)
	var table strings.Builder
	require.NoError(t, config.WriteReference(&table))
	_, have, _ := strings.Cut(string(page), "make docs`.\n\n")
	assert.Equal(t, table.String(), have, "run `make docs`")
}
