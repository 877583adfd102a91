package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ran is what one run of the program came to.
type ran struct {
	status         int
	stdout, stderr string
}

// runWith runs the program with nothing but args and env.
func runWith(t *testing.T, env []string, args ...string) ran {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status := run(t.Context(), args, env, strings.NewReader(""), &stdout, &stderr)
	return ran{status, stdout.String(), stderr.String()}
}

func TestUsage(t *testing.T) {
	for _, row := range []struct {
		name   string
		args   []string
		status int
		stdout string // holds; empty: nothing is printed
		stderr string // is
	}{
		{"alone prints help", nil, 0, "\n  specman [command]\n", ""},
		{"help", []string{"help"}, 0, "\n  specman [command]\n", ""},
		{"help of a command", []string{"help", "version"}, 0, "Usage:\n  specman version [flags]", ""},
		{"help of a command below another", []string{"help", "completion", "bash"}, 0, "Usage:\n  specman completion bash", ""},
		{"--help", []string{"version", "--help"}, 0, "-o, --output format", ""},
		{"completion", []string{"completion", "bash"}, 0, "# bash completion", ""},
		{"a folder of commands prints help", []string{"completion"}, 0, "Available Commands:", ""},

		{"unknown command, near one", []string{"versoin"}, 2, "",
			"specman: unknown command \"versoin\" for \"specman\"\n  did you mean version?\n"},
		{"unknown command, near none", []string{"frobnicate"}, 2, "",
			"specman: unknown command \"frobnicate\" for \"specman\"\n  `specman --help` lists the commands\n"},
		{"help of an unknown command", []string{"help", "confg"}, 2, "",
			"specman: unknown command \"confg\" for \"specman\"\n  did you mean config?\n"},
		{"unknown command below another", []string{"completion", "bsh"}, 2, "",
			"specman: unknown command \"bsh\" for \"specman completion\"\n  did you mean bash or zsh?\n"},
		{"too many arguments", []string{"version", "x"}, 2, "",
			"specman: specman version takes no arguments, but was given \"x\"\n  usage: specman version [flags]; see `specman version --help`\n"},
		{"two versions", []string{"rollback", "a", "b"}, 2, "",
			"specman: specman rollback takes one VERSION, but was given 2\n  usage: specman rollback [VERSION] [flags]; see `specman rollback --help`\n"},
		{"no version", []string{"forget"}, 2, "",
			"specman: specman forget: VERSION is missing\n  usage: specman forget VERSION [flags]; see `specman forget --help`\n"},
		{"alone, and which one is not said", []string{"rollback", "--alone", "--store.dir=/none"}, 2, "",
			"specman: --alone is of a release, and none is named\n  give its tag or manifest digest: specman rollback VERSION --alone\n"},
		{"unknown flag, near one", []string{"config", "--source.intervall=1m"}, 2, "",
			"specman: unknown flag: --source.intervall\n  did you mean --source.interval?\n"},
		{"unknown flag, near none", []string{"config", "--frobnicate-it-all"}, 2, "",
			"specman: unknown flag: --frobnicate-it-all\n  `specman config --help` lists the flags\n"},
		{"flag without its value", []string{"config", "--store.dir"}, 2, "",
			"specman: flag needs an argument: --store.dir\n  `specman config --help` lists the flags\n"},
		{"unknown output", []string{"version", "-o", "yaml"}, 2, "",
			"specman: invalid argument \"yaml\" for \"-o, --output\" flag: allowed are text and json\n  `specman version --help` lists the flags\n"},
		{"wrong configuration", []string{"config", "--store.keep=x"}, 2, "",
			"specman: wrong configuration: store.keep: \"x\" is not allowed; allowed is a whole number from 0 (--store.keep)\n"},
		{"wrong selector", []string{"config", "--source.select=tags:("}, 2, "",
			"specman: wrong configuration: source.select: "},
		{"repository without a path", []string{"config", "--source.repository=harbor.example.com"}, 2, "",
			"specman: wrong configuration: source.repository: \"harbor.example.com\" names no repository"},
		{"user without a password", []string{"config", "--source.repository=a.example.com/b", "--source.auth.username=u"}, 2, "",
			"specman: wrong configuration: source.auth.username: and source.auth.password must be given together (--source.auth.username)\n"},
		{"configuration file that is not there", []string{"config", "--config=/no/such/file"}, 2, "",
			"specman: wrong configuration: /no/such/file: cannot be read: no such file or directory\n"},
		{"a wrong configuration does not trouble version", []string{"version", "--store.keep=x"}, 0, "specman ", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := runWith(t, nil, row.args...)
			assert.Equal(t, row.status, got.status)
			if row.stdout == "" {
				assert.Empty(t, got.stdout)
			}
			assert.Contains(t, got.stdout, row.stdout)
			if strings.HasSuffix(row.stderr, "\n") || row.stderr == "" {
				assert.Equal(t, row.stderr, got.stderr)
			} else {
				assert.True(t, strings.HasPrefix(got.stderr, row.stderr), "%s", got.stderr)
			}
		})
	}
}

// Whoever adds a command finds here what every one of them owes its users.
func TestEveryCommandTeaches(t *testing.T) {
	root := newRootCommand(&app{})
	for _, cmd := range root.Commands() {
		if cmd.Name() == "completion" || cmd.Name() == "help" {
			continue
		}
		t.Run(cmd.Name(), func(t *testing.T) {
			assert.NotEmpty(t, cmd.GroupID, "help lists it under a group")
			assert.NotEmpty(t, cmd.Short)
			assert.NotContains(t, cmd.Short, "\n")
			assert.False(t, strings.HasSuffix(cmd.Short, "."))
			assert.Greater(t, len(cmd.Long), len(cmd.Short), "it says what it does")
			assert.Contains(t, cmd.Example, "specman "+cmd.Name(), "it shows how")
			assert.NotNil(t, cmd.RunE, "its errors reach report")
			for line := range strings.Lines(cmd.Long + "\n" + cmd.Example) {
				assert.LessOrEqual(t, len([]rune(line)), 101, "fits a terminal: %s", line)
			}
		})
	}
}

func TestHelpShowsCommonFlagsAndWhereTheOthersAre(t *testing.T) {
	help := runWith(t, nil, "version", "--help").stdout
	for _, name := range append([]string{"config"}, commonFlags...) {
		assert.Contains(t, help, "--"+name+" ")
	}
	assert.NotContains(t, help, "--source.auth.password")
	assert.True(t, strings.HasSuffix(help, "\nEvery key of the configuration is a flag; `specman config --help` lists them all.\n"))

	all := runWith(t, nil, "config", "--help").stdout
	assert.Contains(t, all, "  --source.auth.passwordFile text\n      SPECMAN_SOURCE_AUTH_PASSWORDFILE\n")
}

func TestCompletionKnowsKeysAndWords(t *testing.T) {
	// Help, printed before, hides flags; completion must not miss them.
	root := newRootCommand(&app{stdout: new(bytes.Buffer), stderr: new(bytes.Buffer)})
	require.NoError(t, root.Usage())
	root.PersistentFlags().VisitAll(func(f *pflag.Flag) { assert.False(t, f.Hidden, f.Name) })

	assert.Contains(t, runWith(t, nil, "__complete", "config", "--source.auth.passw").stdout, "--source.auth.passwordFile\t")
	assert.True(t, strings.HasPrefix(runWith(t, nil, "__complete", "config", "--log.level", "").stdout, "debug\ninfo\nwarn\nerror\n"))
	assert.True(t, strings.HasPrefix(runWith(t, nil, "__complete", "version", "-o", "").stdout, "text\njson\n"))
	assert.Contains(t, runWith(t, nil, "__complete", "help", "").stdout, "config\t")
}

func TestConfigCommand(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, []byte("source:\n  interval: 5m\n  auth: {username: u, password: Hunter2}\n"), 0o600))
	env := []string{"SPECMAN_CONFIG=" + path, "SPECMAN_STORE_KEEP=7", "SPECMAN_SOURCE_INTERVALL=1m"}

	got := runWith(t, env, "config", "--log.level=debug")
	assert.Equal(t, 0, got.status)
	assert.Contains(t, got.stdout, "  interval: 5m # from "+path+":2\n")
	assert.Contains(t, got.stdout, "  keep: 7 # from SPECMAN_STORE_KEEP\n")
	assert.Contains(t, got.stdout, "  level: debug # from --log.level\n")
	assert.Contains(t, got.stdout, "    password: '***' # from "+path+":3\n")
	assert.Equal(t, "specman: warning: environment variable SPECMAN_SOURCE_INTERVALL is not known and has no effect; did you mean SPECMAN_SOURCE_INTERVAL?\n", got.stderr)
	assert.NotContains(t, got.stdout+got.stderr, "Hunter2")

	var printed struct {
		Values map[string]struct{ Value any }
	}
	require.NoError(t, json.Unmarshal([]byte(runWith(t, env, "config", "-o", "json").stdout), &printed))
	assert.Equal(t, "5m", printed.Values["source.interval"].Value)
	assert.Equal(t, 7.0, printed.Values["store.keep"].Value)

	assert.Contains(t, runWith(t, nil, "config", "--reference").stdout, "| `source.interval` | duration | `1m` |")
}

func TestVersionCommand(t *testing.T) {
	var printed map[string]string
	got := runWith(t, nil, "version", "-o", "json")
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &printed))
	b := build()
	assert.Equal(t, map[string]string{
		"version": b.Version, "revision": b.Revision, "goVersion": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH,
	}, printed)
	assert.Contains(t, runWith(t, nil, "version").stdout, "specman "+b.Version+"\nrevision: "+b.Revision+"\n")
}

func TestBuildInfoIsFilledFromTheProgram(t *testing.T) {
	for _, row := range []struct {
		name              string
		linked            buildInfo
		main, rev, edited string
		want              buildInfo
	}{
		{"what the linker was told wins", buildInfo{Version: "1.2.3", Revision: "abc"}, "v9.9.9", "def", "true", buildInfo{Version: "1.2.3", Revision: "abc"}},
		{"go install of a version", buildInfo{}, "v1.2.3", "", "", buildInfo{Version: "v1.2.3"}},
		{"go build in a checkout", buildInfo{}, "(devel)", "abc", "false", buildInfo{Revision: "abc"}},
		{"go build in a changed checkout", buildInfo{}, "(devel)", "abc", "true", buildInfo{Revision: "abc-modified"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := row.linked
			b.fillFrom(&debug.BuildInfo{Main: debug.Module{Version: row.main}, Settings: []debug.BuildSetting{
				{Key: "vcs.revision", Value: row.rev}, {Key: "vcs.modified", Value: row.edited},
			}})
			assert.Equal(t, row.want, b)
		})
	}
}

// A report that a full disk swallowed must not pass for one that found nothing.
func TestAResultThatCannotBeWrittenIsAFailure(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	require.NoError(t, err)
	defer full.Close()
	for _, args := range [][]string{{"doctor"}, {"doctor", "-o", "json"}, {"config"}, {"version"}, {"releases"}, {"gc"}} {
		var stderr bytes.Buffer
		args = append(args, "--store.dir="+t.TempDir())
		assert.Equal(t, 1, run(t.Context(), args, nil, strings.NewReader(""), full, &stderr), args)
		assert.Contains(t, stderr.String(), "no space left on device", args)
	}
}
