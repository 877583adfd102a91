package config

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSourceAloneIsNamedDefault(t *testing.T) {
	sources := given{file: "source: {repository: a.example.com/b}\n"}.mustLoad(t).Config.Sources
	require.Len(t, sources, 1)
	assert.Equal(t, "default", sources[0].Name)
}

func TestSourcesInEveryPlace(t *testing.T) {
	const list = `[{"name":"upper","repository":"a.example.com/b","interval":"5m"},{"name":"lower","repository":"oci-layout:/srv","auth":{"username":"u"}}]`
	for place, g := range map[string]given{
		"file, with an anchor": {file: `
sources:
  - &upper
    name: upper
    repository: a.example.com/b
    interval: 5m
  - <<: *upper
    name: lower
    repository: oci-layout:/srv
    interval: 1m
    auth: {username: u}
`},
		"environment":            {env: []string{"SPECMAN_SOURCES=" + list}},
		"flag":                   {flags: []string{"--sources", list}},
		"beside an empty source": {file: "source: {}\n", env: []string{"SPECMAN_SOURCES=" + list}},
		"over the file":          {file: "sources: [{name: x, repository: y.example.com/z}]\n", env: []string{"SPECMAN_SOURCES=" + list}},
	} {
		t.Run(place, func(t *testing.T) {
			sources := g.mustLoad(t).Config.Sources
			require.Len(t, sources, 2)
			assert.Equal(t, "upper", sources[0].Name)
			assert.Equal(t, "a.example.com/b", sources[0].Repository)
			assert.Equal(t, 5*time.Minute, sources[0].Interval)
			assert.Empty(t, sources[0].Auth.Username)
			assert.Equal(t, "lower", sources[1].Name)
			assert.Equal(t, "oci-layout:/srv", sources[1].Repository)
			assert.Equal(t, time.Minute, sources[1].Interval, "the default, or what stands there itself")
			assert.Equal(t, "u", sources[1].Auth.Username)
			assert.Equal(t, 32, sources[1].MaxReleases, "defaults are each entry's")
		})
	}
}

func TestEmptySourcesAreNone(t *testing.T) {
	sources := given{file: "sources: []\nsource: {repository: a.example.com/b}\n"}.mustLoad(t).Config.Sources
	require.Len(t, sources, 1)
	assert.Equal(t, "a.example.com/b", sources[0].Repository)
}

func TestMistakesInSources(t *testing.T) {
	for _, row := range []struct {
		name  string
		given given
		want  []string
	}{
		{"source beside sources", given{file: "sources: [{name: a, repository: r}]\nsource:\n  interval: 5m\n"},
			[]string{"source.interval @ FILE:3: is set beside `sources`; move it into an entry of `sources`, or use `source` alone"}},
		{"variable of source beside sources", given{file: "sources: [{name: a, repository: r}]\n", env: []string{"SPECMAN_SOURCE_INTERVAL=5m"}},
			[]string{"source.interval @ SPECMAN_SOURCE_INTERVAL: is set beside `sources`; move it into an entry of `sources`, or use `source` alone"}},
		{"no name", given{file: "sources: [{repository: r}]\n"},
			[]string{"sources[0].name @ FILE:1: is missing; every entry of `sources` needs one"}},
		{"no repository", given{file: "sources: [{name: a}]\n"},
			[]string{"sources[0].repository @ FILE:1: is missing; every entry of `sources` needs one"}},
		{"name twice", given{file: "sources:\n- {name: a, repository: r}\n- {name: b, repository: r}\n- {name: a, repository: r}\n"},
			[]string{`sources[2].name @ FILE:4: "a" is sources[0]'s too; names must differ`}},
		{"name that is no label", given{file: "sources: [{name: A_b, repository: r}]\n"},
			[]string{`sources[0].name @ FILE:1: "A_b" is not allowed; allowed are up to 63 small letters, digits and inner dashes`}},
		{"name that is a number", given{file: "sources: [{name: 1, repository: r}]\n"},
			[]string{`sources[0].name @ FILE:1: 1 is a number where text is due; quote it: "1"`}},
		{"unknown key", given{file: "sources: [{name: a, repository: r, tls: {cafile: /x}}]\n"},
			[]string{"sources[0].tls.cafile @ FILE:1: unknown key; did you mean sources[0].tls.caFile?"}},
		{"impossible value in the second", given{file: "sources: [{name: a, repository: r}, {name: b, repository: r, interval: 1ms}]\n"},
			[]string{`sources[1].interval @ FILE:1: "1ms" is not allowed; allowed is a duration from 100ms, as 30s, 5m or 12h`}},
		{"entry that is no section", given{file: "sources: [a.example.com/b, {name: b, intervall: 1m, repository: r}]\n"},
			[]string{"sources[0] @ FILE:1: is text; allowed are the keys of `source` and a name",
				"sources[1].intervall @ FILE:1: unknown key; did you mean sources[1].interval?"}},
		{"sources that are a section", given{file: "sources: {a: {repository: r}}\n"},
			[]string{"sources @ FILE:1: is a section; allowed is a list of sources, each with a name"}},
		{"pairs within one", given{file: "sources: [{name: a, repository: r, tls: {certFile: /x}}]\n"},
			[]string{"sources[0].tls.certFile @ FILE:1: is set without sources[0].tls.keyFile; set both or none"}},
		{"variable that is no list", given{env: []string{"SPECMAN_SOURCES=a,b"}},
			[]string{`sources @ SPECMAN_SOURCES: is no list of sources; write a JSON array of objects, as [{"name":"a","repository":"host/path"}]`}},
		{"variable that is no JSON", given{env: []string{`SPECMAN_SOURCES=[{"name":]`}},
			[]string{" @ SPECMAN_SOURCES: is no YAML: did not find expected node content"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			assert.Equal(t, row.want, row.given.mistakes(t))
		})
	}
}
