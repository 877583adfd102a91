package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const hush = "Hunter2"

func TestNoErrorHoldsASecret(t *testing.T) {
	for name, g := range map[string]given{
		"secret and file":      {file: "source: {auth: {password: " + hush + ", passwordFile: /x}}"},
		"two documents":        {file: "source: {auth: {password: " + hush + "}}\n---\n"},
		"like an alias":        {file: "source: {auth: {password: *" + hush + "}}"},
		"like a tag":           {file: "source: {auth: {password: !" + hush + " x}}"},
		"tagged":               {file: "source: {auth: {password: !x " + hush + "}}"},
		"like a section":       {file: "source: {auth: {password: {" + hush + ": x}}}"},
		"like a list":          {file: "source: {auth: {password: [" + hush + "]}}"},
		"unclosed":             {file: "source: {auth: {password: \"" + hush + "}}"},
		"in a repository":      {file: "source: {repository: 'https://u:" + hush + "@example.com/a'}"},
		"in a web hook":        {file: "webhook: {url: 'ftp://example.com/" + hush + "'}"},
		"beside a wrong flag":  {flags: []string{"--source.auth.password=" + hush, "--store.keep=x"}},
		"beside a wrong value": {env: []string{"SPECMAN_SOURCE_AUTH_TOKEN=" + hush, "SPECMAN_STORE_KEEP=x"}},
		"in sources":           {env: []string{`SPECMAN_SOURCES=[{"auth":{"password":["` + hush + `"]}}]`}},
		"in no JSON":           {env: []string{`SPECMAN_SOURCES=[{"auth":{"password":"` + hush}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := g.load(t)
			require.Error(t, err)
			assert.NotContains(t, err.Error(), hush)
		})
	}
	t.Run("what is printed in its place", func(t *testing.T) {
		assert.Equal(t, []string{"source.auth.password @ FILE:1: is ***, which is printed in place of a secret; give the secret itself, or its file"},
			given{file: "source: {auth: {password: '***'}}"}.mistakes(t))
	})
	t.Run("a number", func(t *testing.T) {
		assert.Equal(t, []string{"source.auth.password @ FILE:1: is a number where text is due; put it in quotes"},
			given{file: "source: {auth: {password: 12345}}"}.mistakes(t))
	})
}

func TestNoOutputHoldsASecret(t *testing.T) {
	loaded := given{file: `
source:
  auth: {username: seen, password: ` + hush + `, token: ` + hush + `, ecr: {accessKey: ` + hush + `, secretKey: ` + hush + `}}
webhook: {url: "https://u:` + hush + `@hooks.example.com/services/` + hush + `?t=` + hush + `#` + hush + `"}
`, env: []string{"SPECMAN_UNKNOWN_THING=" + hush}}.mustLoad(t)
	auth := loaded.Config.Sources[0].Auth
	assert.Equal(t, hush, string(auth.Password), "it is there")

	var out bytes.Buffer
	require.NoError(t, loaded.Print(&out, "text"))
	require.NoError(t, loaded.Print(&out, "json"))
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		fmt.Fprintf(&out, format, auth)
	}
	require.NoError(t, json.NewEncoder(&out).Encode(auth))
	slog.New(slog.NewTextHandler(&out, nil)).Info("", "password", auth.Password, "auth", auth)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("", "password", auth.Password, "auth", auth)
	fmt.Fprint(&out, loaded.Warnings)

	assert.NotContains(t, out.String(), hush)
	assert.Contains(t, out.String(), "password: '***'")
	assert.Contains(t, out.String(), "https://hooks.example.com/***")
	assert.Contains(t, out.String(), "username: seen")
	assert.NotContains(t, strings.Split(out.String(), "sources")[0], "token: '***' # from default", "an unset secret is shown as unset")
}
