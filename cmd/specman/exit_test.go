package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/config"
	"github.com/specman/specman/internal/sync/oci"
)

func TestReport(t *testing.T) {
	boom := errors.New("boom")
	for _, row := range []struct {
		name   string
		err    error
		status int
		stderr string
	}{
		{"done", nil, 0, ""},
		{"failed", boom, 1, "specman: boom\n"},
		{"failed, with a cure", withCure(boom, "duck"), 1, "specman: boom\n  duck\n"},
		{"failed, with a cure below", fmt.Errorf("sync: %w", withCure(boom, "duck")), 1, "specman: sync: boom\n  duck\n"},
		{"the registry, with a hint", fmt.Errorf("push: %w", &oci.Error{Operation: "head", Target: "a/b", Kind: oci.Network, Err: boom, Cure: "duck"}), 1, "specman: push: resolve a/b: boom\n  duck\n"},
		{"an empty cure is none", withCure(boom, ""), 1, "specman: boom\n"},
		{"no error has no cure", withCure(nil, "duck"), 0, ""},
		{"wrong usage", usageError{boom}, 2, "specman: boom\n"},
		{"wrong usage below", fmt.Errorf("push: %w", usageError{boom}), 2, "specman: push: boom\n"},
		{"wrong configuration", &config.Error{Mistakes: []config.Mistake{{Key: "a", Problem: "is wrong"}}}, 2, "specman: wrong configuration: a: is wrong ()\n"},
		{"the output says why", errReported, 1, ""},
		{"interrupted", fmt.Errorf("sync: %w", context.Canceled), 1, "specman: interrupted\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var stderr bytes.Buffer
			assert.Equal(t, row.status, report(&stderr, row.err))
			assert.Equal(t, row.stderr, stderr.String())
		})
	}
}

func TestAppLoadsOnceAndLogsItsWarnings(t *testing.T) {
	var stderr bytes.Buffer
	app := &app{env: []string{"SPECMAN_LOG_LEVEL=warn", "SPECMAN_SOURCE_PLAINHTTP=true", "SPECMAN_SOURCE_AUTH_USERNAME=u"}, stderr: &stderr}
	newRootCommand(app)

	logger, err := app.logger()
	require.NoError(t, err)
	again, err := app.logger()
	require.NoError(t, err)
	assert.Same(t, logger, again)
	logger.Info("not seen")
	assert.Regexp(t, `^time="[^"]+Z" level=warn msg="source.plainHTTP is true: credentials cross the network in the clear"\n$`, stderr.String())

	first, err := app.config()
	require.NoError(t, err)
	fresh, err := app.loadConfig()
	require.NoError(t, err)
	second, err := app.config()
	require.NoError(t, err)
	assert.Same(t, first, second)
	assert.NotSame(t, first, fresh)
}

func TestLoggerOfAWrongConfiguration(t *testing.T) {
	app := &app{env: []string{"SPECMAN_LOG_LEVEL=loud"}}
	newRootCommand(app)
	_, err := app.logger()
	var wrong *config.Error
	assert.ErrorAs(t, err, &wrong)
}
