package config

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Each row is a file and every mistake in it.
func TestMistakesInTheFile(t *testing.T) {
	for _, row := range []struct {
		name, file string
		want       []string
	}{
		{"empty", "", nil},
		{"comments only", "# nothing yet\n", nil},
		{"an end of document", "log: {level: warn}\n...\n", nil},
		{"byte order mark and CRLF", "\xef\xbb\xbfsource:\r\n  interval: 5m\r\nlog:\r\n  level: warn\r\n", nil},
		{"anchor, alias and merge", "source: {tls: &t {caFile: /a}, verify: {notation: {trustStore: &p /b, trustPolicy: *p}}}\n", nil},

		{"unknown key, near one", "source:\n  intervall: 5m\n",
			[]string{"source.intervall @ FILE:2: unknown key; did you mean source.interval?"}},
		{"unknown key with null", "source:\n  max_releases:\n",
			[]string{"source.max_releases @ FILE:2: unknown key; did you mean source.maxReleases?"}},
		{"unknown key in other capitals", "Source: {}\n",
			[]string{"Source @ FILE:1: unknown key; did you mean source?"}},
		{"right key in the wrong section", "interval: 5m\n",
			[]string{"interval @ FILE:1: unknown key; did you mean source.interval?"}},
		{"unknown key, near none", "kubernetes: {}\n",
			[]string{"kubernetes @ FILE:1: unknown key; `specman config --help` lists the known ones"}},
		{"dotted key", "source.interval: 5m\n",
			[]string{"source.interval @ FILE:1: unknown key; in a file each part of a name stands on a line of its own, indented below the one before"}},
		{"name of a single source", "source: {name: a}\n",
			[]string{"source.name @ FILE:1: unknown key; `specman config --help` lists the known ones"}},
		{"key that is no line of text", "\"a\\nb\": 1\n",
			[]string{`"a\nb" @ FILE:1: unknown key; ` + "`specman config --help` lists the known ones"}},
		{"key that is a list", "[a]: 1\n",
			[]string{" @ FILE:1: has a list for a key; allowed is text"}},

		{"double key", "source:\n  interval: 5m\n  interval: 6m\n",
			[]string{"source.interval @ FILE:3: stands here a second time, after line 2; keep one of the two"}},
		{"double section", "log: {level: info}\nstore: {}\nlog: {format: text}\n",
			[]string{"log @ FILE:3: stands here a second time, after line 1; keep one of the two"}},
		{"null value", "source:\n  repository:\n",
			[]string{"source.repository @ FILE:2: has no value; give it one or leave the key out"}},
		{"null section", "source:\n",
			[]string{"source @ FILE:1: is empty; allowed are the keys repository, select, maxReleases, exclude, archive, interval, timeout, stallTimeout, maxBackoff, plainHTTP, tls, auth, verify below it"}},
		{"text for a section", "log: debug\n",
			[]string{"log @ FILE:1: is text; allowed are the keys level, format, access below it"}},
		{"section for a value", "store:\n  dir: {a: b}\n",
			[]string{"store.dir @ FILE:2: is a section; allowed is text"}},
		{"list for a value", "store: {dir: [a]}\n",
			[]string{"store.dir @ FILE:1: is a list; allowed is text"}},
		{"section for a list", "source: {select: {a: b}}\n",
			[]string{"source.select @ FILE:1: is a section; allowed is a list of at least one text"}},
		{"no mapping", "- source\n",
			[]string{" @ FILE:1: is a list and no configuration; write keys such as `source:` with values below them"}},
		{"several documents", "log: {level: info}\n---\nlog: {level: warn}\n",
			[]string{" @ FILE:2: holds several YAML documents; allowed is one"}},
		{"no YAML", "log:\n  level: [info\nstore: x\n",
			[]string{" @ FILE:1: is no YAML: did not find expected ',' or ']'"}},
		{"merge of no section", "source: {<<: 3}\n",
			[]string{"source @ FILE:1: merges (<<) a number; allowed is an alias of a section"}},
		{"merge of itself", "source: &s\n  <<: *s\n",
			[]string{"source @ FILE:1: merges (<<) too much, or itself"}},

		{"bare number for a duration", "source: {interval: 60}\n",
			[]string{"source.interval @ FILE:1: 60 is a bare number where a duration is due; write 60s (seconds) or another unit"}},
		{"quoted number for a duration", "source: {interval: '1.5'}\n",
			[]string{"source.interval @ FILE:1: 1.5 is a bare number where a duration is due; write 1.5s (seconds) or another unit"}},
		{"unquoted version for a text", "source: {archive: 4.10}\n",
			[]string{`source.archive @ FILE:1: 4.10 is a number where text is due; quote it: "4.10"`}},
		{"unquoted bool for a text", "source: {archive: true}\n",
			[]string{`source.archive @ FILE:1: true is a boolean where text is due; quote it: "true"`}},
		{"unquoted date for a text", "source: {archive: 2024-12-06}\n",
			[]string{`source.archive @ FILE:1: 2024-12-06 is a date where text is due; quote it: "2024-12-06"`}},
		{"unquoted version in a list", "source:\n  select: [versions, 4.10]\n",
			[]string{`source.select @ FILE:2: item 2: 4.10 is a number where text is due; quote it: "4.10"`}},
		{"unquoted version for a list", "source: {exclude: 4.10}\n",
			[]string{`source.exclude @ FILE:1: item 1: 4.10 is a number where text is due; quote it: "4.10"`}},
		{"null in a list", "source: {exclude: [a, ~]}\n",
			[]string{"source.exclude @ FILE:1: item 2 is empty; allowed is a list of texts"}},
		{"quoted number for a number", "store: {keep: '3'}\n",
			[]string{`store.keep @ FILE:1: "3" is text; write it without quotes`}},
		{"quoted bool for a bool", "http: {listing: 'true'}\n",
			[]string{`http.listing @ FILE:1: "true" is text; write it without quotes`}},
		{"yes for a bool", "http: {listing: yes}\n",
			[]string{`http.listing @ FILE:1: "yes" is not allowed; allowed is true or false`}},
		{"True for a bool", "http: {listing: True}\n",
			[]string{`http.listing @ FILE:1: "True" is not allowed; allowed is true or false`}},
		{"number for a bool", "source: {plainHTTP: 7}\n",
			[]string{`source.plainHTTP @ FILE:1: "7" is a number; allowed is true or false`}},
		{"fraction for a number", "store: {keep: 1.5}\n",
			[]string{`store.keep @ FILE:1: "1.5" is a number; allowed is a whole number from 0`}},
		{"octal for a number", "store: {keep: 0o17}\n",
			[]string{`store.keep @ FILE:1: "0o17" is not allowed; allowed is a whole number from 0`}},
		{"type of its own", "store: {dir: !x y}\n",
			[]string{"store.dir @ FILE:1: y is of a type of its own (it begins with !) where text is due; quote it: \"y\""}},
	} {
		t.Run(row.name, func(t *testing.T) {
			assert.Equal(t, row.want, given{file: row.file}.mistakes(t))
		})
	}
}

// Each row is wrong wherever it stands; here it is given by flag.
func TestImpossibleValues(t *testing.T) {
	for _, row := range []struct{ key, text, problem string }{
		{"source.interval", "99ms", `"99ms" is not allowed; allowed is a duration from 100ms, as 30s, 5m or 12h`},
		{"source.interval", "-1m", `"-1m" is not allowed; allowed is a duration from 100ms, as 30s, 5m or 12h`},
		{"source.interval", "0", `"0" is not allowed; allowed is a duration from 100ms, as 30s, 5m or 12h`},
		{"source.interval", "1 minute", `"1 minute" is not allowed; allowed is a duration from 100ms, as 30s, 5m or 12h`},
		{"source.interval", "", `"" is not allowed; allowed is a duration from 100ms, as 30s, 5m or 12h`},
		{"source.interval", "-60", "-60 is a bare number where a duration is due; write -60s (seconds) or another unit"},
		{"source.timeout", "0s", `"0s" is not allowed; allowed is a duration from 1ms, as 30s, 5m or 12h`},
		{"store.grace", "-1s", `"-1s" is not allowed; allowed is a duration from 0, as 30s, 5m or 12h`},
		{"source.maxReleases", "0", `"0" is not allowed; allowed is a whole number from 1`},
		{"source.maxReleases", "many", `"many" is not allowed; allowed is a whole number from 1`},
		{"store.keep", "-1", `"-1" is not allowed; allowed is a whole number from 0`},
		{"store.keep", "99999999999999999999", `"99999999999999999999" is not allowed; allowed is a whole number from 0`},
		{"gate.maxVanishedPercent", "101", `"101" is not allowed; allowed is a whole number from 0 to 100`},
		{"gate.maxVanishedPercent", "-1", `"-1" is not allowed; allowed is a whole number from 0 to 100`},
		{"gate.maxVanishedPercent", "50%", `"50%" is not allowed; allowed is a whole number from 0 to 100`},
		{"store.minFree", "-1", `"-1" is not allowed; allowed is a size from 0, as 512Mi, 8Gi or plain bytes`},
		{"store.minFree", "8GB", `"8GB" is not allowed; allowed is a size from 0, as 512Mi, 8Gi or plain bytes`},
		{"store.minFree", "1.5Gi", `"1.5Gi" is not allowed; allowed is a size from 0, as 512Mi, 8Gi or plain bytes`},
		{"store.maxFileBytes", "9000000Ti", `"9000000Ti" is not allowed; allowed is a size from 1, as 512Mi, 8Gi or plain bytes`},
		{"http.compress", "on", `"on" is not allowed; allowed is true or false`},
		{"http.compress", "TRUE", `"TRUE" is not allowed; allowed is true or false`},
		{"http.listen", "8443", `"8443" is no address to listen at; write :PORT or HOST:PORT (an IPv6 host in brackets)`},
		{"http.listen", "::1:8443", `"::1:8443" is no address to listen at; write :PORT or HOST:PORT (an IPv6 host in brackets)`},
		{"http.listen", ":65536", `port "65536" is not allowed; allowed is a number from 0 to 65535`},
		{"http.listen", ":https", `port "https" is not allowed; allowed is a number from 0 to 65535`},
		{"ops.listen", "", `"" is no address to listen at; write :PORT or HOST:PORT (an IPv6 host in brackets)`},
		{"store.dir", "", "must not be empty"},
		{"source.select", "", "must not be empty; allowed is a list of at least one text"},
		{"source.select", "a,,b", "item 2 is empty"},
		{"source.select", "wrong:x", "no selector; allowed is another"},
		{"source.select", "wrong:x,,wrong:y", "no selector; allowed is another; item 2 is empty; no selector; allowed is another"},
		{"source.select", `["a"`, `begins with [ but is no JSON array; write ["a","b"], or a,b`},
		{"source.select", `[4.10]`, `item 1: 4.10 is a number where text is due; quote it: "4.10"`},
		{"source.exclude", "1.0.0,1.*", "no tag"},
		{"gate.requirePaths", "/", `"/" is the path of no file or folder; allowed are paths as /roar/nickfury/versions.yaml, without empty, . and .. parts`},
		{"gate.requirePaths", "/roar/,/roar//x", `"/roar//x" is the path of no file or folder; allowed are paths as /roar/nickfury/versions.yaml, without empty, . and .. parts`},
		{"gate.requirePaths", "../x", `"../x" is the path of no file or folder; allowed are paths as /roar/nickfury/versions.yaml, without empty, . and .. parts`},
		{"source.auth.provider", "gcr", `"gcr" is not allowed; allowed is one of auto, anonymous, basic, docker, ecr`},
		{"source.repository", "u:p@a.example.com/b", "holds an @; write host[:port]/path, give user and password in source.auth.*, and a digest in source.select"},
		{"webhook.url", "example.com/x", "is no URL; allowed is http://… or https://…"},
		{"webhook.url", "https://example.com/wrong", "nobody is there"},
		{"webhook.url", "ftp://example.com/x", "is no URL; allowed is http://… or https://…"},
		{"log.level", "", `"" is not allowed; allowed is one of debug, info, warn, error`},
		{"source.auth.provider", "", `"" is not allowed; allowed is one of auto, anonymous, basic, docker, ecr`},
		{"log.level", "warning", `"warning" is not allowed; allowed is one of debug, info, warn, error`},
		{"log.format", strings.Repeat("x", 100), `"` + strings.Repeat("x", 80) + `…" is not allowed; allowed is one of text, json`},
		{"log.format", "a\nb", `"a\nb" is not allowed; allowed is one of text, json`},
	} {
		t.Run(row.key+"="+row.text, func(t *testing.T) {
			got := given{flags: []string{"--" + row.key + "=" + row.text}}.mistakes(t)
			assert.Equal(t, []string{row.key + " @ --" + row.key + ": " + row.problem}, got)
		})
	}
}

func TestWhatDoesNotFitTogether(t *testing.T) {
	for _, row := range []struct {
		name  string
		given given
		want  []string
	}{
		{"secret and its file", given{file: "source:\n  auth:\n    password: a\n    passwordFile: /b\n    username: u\n"},
			[]string{"source.auth.password @ FILE:3: and source.auth.passwordFile (FILE) are both set; keep one of them"}},
		{"secret and its file in the environment", given{
			file: "source: {auth: {tokenFile: /c}}\n",
			env:  []string{"SPECMAN_SOURCE_AUTH_TOKEN=a", "SPECMAN_SOURCE_AUTH_TOKENFILE=/b"}},
			[]string{"source.auth.token @ SPECMAN_SOURCE_AUTH_TOKEN: and source.auth.tokenFile (SPECMAN_SOURCE_AUTH_TOKENFILE) are both set; keep one of them"}},
		{"an empty secret and its file", given{file: "source: {auth: {token: '', tokenFile: /b}}\n"}, nil},
		{"client certificate without key", given{file: "source: {tls: {certFile: /a}}\n"},
			[]string{"source.tls.certFile @ FILE:1: is set without source.tls.keyFile; set both or none"}},
		{"server key without certificate", given{flags: []string{"--http.tls.keyFile=/k"}},
			[]string{"http.tls.keyFile @ --http.tls.keyFile: is set without http.tls.certFile; set both or none"}},
		{"a key that is wrong counts as set", given{file: "http: {tls: {certFile: /a, keyFile: 3}}\n"},
			[]string{`http.tls.keyFile @ FILE:1: 3 is a number where text is due; quote it: "3"`}},
		{"trust policy without store", given{file: "source: {verify: {notation: {trustPolicy: /a}}}\n"},
			[]string{"source.verify.notation.trustPolicy @ FILE:1: is set without source.verify.notation.trustStore; set both or none"}},
		{"two servers at one address", given{flags: []string{"--http.listen=:8080"}},
			[]string{`ops.listen @ default: ":8080" is http.listen's too; give it a port of its own`}},
		{"two servers at any port", given{flags: []string{"--http.listen=127.0.0.1:0", "--ops.listen=127.0.0.1:0"}}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := row.given.mistakes(t)
			for i := range got {
				// The place of the second key stands inside the problem.
				before, after, found := strings.Cut(got[i], "File (")
				if found && strings.HasPrefix(after, "/") {
					_, after, _ = strings.Cut(after, ")")
					got[i] = before + "File (FILE)" + after
				}
			}
			assert.Equal(t, row.want, got)
		})
	}
}

func TestAllMistakesInOneGo(t *testing.T) {
	g := given{
		file:  "source:\n  interval: 60\n  intervall: 5m\nlogs: {}\n",
		env:   []string{"SPECMAN_STORE_KEEP=x", "SPECMAN_SOURCE_INTERVAL=5m"},
		flags: []string{"--http.listen=x", "--http.tls.certFile=/c"},
	}
	assert.Equal(t, []string{
		"source.interval @ FILE:2: 60 is a bare number where a duration is due; write 60s (seconds) or another unit",
		"source.intervall @ FILE:3: unknown key; did you mean source.interval?",
		"logs @ FILE:4: unknown key; did you mean log?",
		`store.keep @ SPECMAN_STORE_KEEP: "x" is not allowed; allowed is a whole number from 0`,
		`http.listen @ --http.listen: "x" is no address to listen at; write :PORT or HOST:PORT (an IPv6 host in brackets)`,
		"http.tls.certFile @ --http.tls.certFile: is set without http.tls.keyFile; set both or none",
	}, g.mistakes(t), "a wrong value is a mistake even where another one lies over it")

	_, err := g.load(t)
	require.Error(t, err)
	lines := strings.Split(err.Error(), "\n")
	assert.Equal(t, "wrong configuration, 6 mistakes:", lines[0])
	assert.Equal(t, `  store.keep: "x" is not allowed; allowed is a whole number from 0 (SPECMAN_STORE_KEEP)`, lines[4])
}

func TestWarnings(t *testing.T) {
	for _, row := range []struct {
		name  string
		given given
		want  []string
	}{
		{"known and foreign variables", given{env: []string{"SPECMAN_LOG_LEVEL=info", "HOME=/", "SPECMAN_CONFIG=", "specman_log=x", "junk"}}, nil},
		{"what Kubernetes makes for Services specman and specman-service", given{env: []string{
			"SPECMAN_SERVICE_HOST=10.0.0.1", "SPECMAN_SERVICE_PORT=8443", "SPECMAN_SERVICE_SERVICE_HOST=10.0.0.1", "SPECMAN_SERVICE_PORT_8443_TCP_ADDR=10.0.0.1",
			"SPECMAN_PORT=tcp://10.0.0.1:8443", "SPECMAN_PORT_8443_TCP=tcp://10.0.0.1:8443", "SPECMAN_PORT_8443_TCP_PROTO=tcp"}}, nil},
		{"unknown variable, near a key", given{env: []string{"SPECMAN_SOURCE_MAX_RELEASES=3"}},
			[]string{"environment variable SPECMAN_SOURCE_MAX_RELEASES is not known and has no effect; did you mean SPECMAN_SOURCE_MAXRELEASES?"}},
		{"unknown variable, near none", given{env: []string{"SPECMAN_FROBNICATE_ALL_THE_THINGS=3"}},
			[]string{"environment variable SPECMAN_FROBNICATE_ALL_THE_THINGS is not known and has no effect"}},
		{"unknown and empty", given{env: []string{"SPECMAN_FROBNICATE="}}, nil},
		{"skip-verify and a CA", given{flags: []string{"--source.tls.insecureSkipVerify", "--source.tls.caFile=/ca"}},
			[]string{"source.tls.caFile has no effect while source.tls.insecureSkipVerify is true"}},
		{"credentials over plain HTTP", given{flags: []string{"--source.auth.username=x", "--source.plainHTTP"}},
			[]string{"source.plainHTTP is true: credentials cross the network in the clear"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			assert.Equal(t, row.want, row.given.mustLoad(t).Warnings)
		})
	}
}

// What the registry's client thinks of a source as a whole is asked last.
func TestValidateSource(t *testing.T) {
	validate := func(s Source) error {
		if s.Repository != "bad" {
			return nil
		}
		return errors.Join(
			errors.New("source.repository: it names no host"),
			errors.Join(errors.New("source.auth.username and source.auth.password must be given together"), errors.New("no luck")))
	}
	for _, row := range []struct {
		name, file string
		want       []string
	}{
		{"good", "source: {repository: good}\n", nil},
		{"mistakes of keys and of the whole", "source:\n  repository: bad\n  auth:\n    username: u\n", []string{
			"source.repository @ FILE:2: it names no host",
			"source.auth.username @ FILE:4: and source.auth.password must be given together",
			"source @ FILE:2: no luck"}},
		{"in a list", "sources:\n- {name: a, repository: good}\n- {name: b, repository: bad}\n", []string{
			"sources[1].repository @ FILE:3: it names no host",
			"sources[1].auth.username @ default: and source.auth.password must be given together",
			"sources[1] @ FILE:3: no luck"}},
		{"not asked of a source that lacks a text", "source: {repository: bad, auth: {password: 3}}\n", []string{
			"source.auth.password @ FILE:1: is a number where text is due; put it in quotes"}},
		{"asked beside a wrong duration", "source: {repository: bad, interval: 3}\n", []string{
			"source.interval @ FILE:1: 3 is a bare number where a duration is due; write 3s (seconds) or another unit",
			"source.repository @ FILE:1: it names no host",
			"source.auth.username @ default: and source.auth.password must be given together",
			"source @ FILE:1: no luck"}},
		{"asked beside a mistake elsewhere", "source: {repository: bad}\nstore: {keep: x}\n", []string{
			`store.keep @ FILE:2: "x" is not allowed; allowed is a whole number from 0`,
			"source.repository @ FILE:1: it names no host",
			"source.auth.username @ default: and source.auth.password must be given together",
			"source @ FILE:1: no luck"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			assert.Equal(t, row.want, given{file: row.file, validate: validate}.mistakes(t))
		})
	}
}
