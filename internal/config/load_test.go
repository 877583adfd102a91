package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// given is what a user gave: a file, variables and flags.
type given struct {
	file  string
	env   []string
	flags []string

	validate func(Source) error
}

func (g given) load(t *testing.T) (*Loaded, error) {
	t.Helper()
	set := pflag.NewFlagSet("specman", pflag.ContinueOnError)
	opts := LoadOptions{
		Flags: AddFlags(set),
		Env:   g.env,

		ValidateSource: g.validate,
		ValidateSelector: func(s string) error {
			if strings.HasPrefix(s, "wrong:") {
				return errors.New("no selector; allowed is another")
			}
			return nil
		},
		ValidateExcluded: func(s string) error {
			if strings.HasSuffix(s, "*") {
				return errors.New("no tag")
			}
			return nil
		},
		ValidateWebhook: func(url string) error {
			if strings.HasSuffix(url, "/wrong") {
				return errors.New("nobody is there")
			}
			return nil
		},
	}
	require.NoError(t, set.Parse(g.flags))
	if g.file != "" {
		opts.DefaultFile = filepath.Join(t.TempDir(), "config.yaml")
		require.NoError(t, os.WriteFile(opts.DefaultFile, []byte(g.file), 0o600))
	}
	return Load(opts)
}

func (g given) mustLoad(t *testing.T) *Loaded {
	t.Helper()
	loaded, err := g.load(t)
	require.NoError(t, err)
	return loaded
}

// mistakes gives each mistake as "key @ place: problem", the file called FILE.
func (g given) mistakes(t *testing.T) []string {
	t.Helper()
	_, err := g.load(t)
	if err == nil {
		return nil
	}
	var wrong *Error
	require.ErrorAs(t, err, &wrong)
	var out []string
	for _, m := range wrong.Mistakes {
		if m.Origin.From == "file" {
			m.Origin.Name = "FILE"
		}
		out = append(out, m.Key+" @ "+m.Origin.String()+": "+m.Problem)
		assert.NotContains(t, m.String(), "\n", "one mistake is one line")
	}
	return out
}

func TestPrecedence(t *testing.T) {
	const file = "source:\n  archive: of-file\n"
	const env = "SPECMAN_SOURCE_ARCHIVE=of-env"
	const flag = "--source.archive=of-flag"
	for _, row := range []struct {
		name   string
		given  given
		want   string
		origin string
	}{
		{"nobody: the default", given{}, "manifests.tgz", "default"},
		{"file over default", given{file: file}, "of-file", "FILE:2"},
		{"environment over file", given{file: file, env: []string{env}}, "of-env", "SPECMAN_SOURCE_ARCHIVE"},
		{"flag over environment and file", given{file: file, env: []string{env}, flags: []string{flag}}, "of-flag", "--source.archive"},
		{"flag over default", given{flags: []string{flag}}, "of-flag", "--source.archive"},
		{"an empty variable is not set", given{file: file, env: []string{"SPECMAN_SOURCE_ARCHIVE="}}, "of-file", "FILE:2"},
		{"a variable of line breaks is not set", given{file: file, env: []string{"SPECMAN_SOURCE_ARCHIVE=\n"}}, "of-file", "FILE:2"},
		{"of one variable twice the last", given{env: []string{env, "SPECMAN_SOURCE_ARCHIVE=last"}}, "last", "SPECMAN_SOURCE_ARCHIVE"},
		{"of one flag twice the last", given{flags: []string{flag, "--source.archive=last"}}, "last", "--source.archive"},
	} {
		t.Run(row.name, func(t *testing.T) {
			loaded := row.given.mustLoad(t)
			assert.Equal(t, row.want, loaded.Config.Sources[0].Archive)
			origin := loaded.Origins["source.archive"]
			if origin.From == "file" {
				assert.Equal(t, loaded.File, origin.Name)
				origin.Name = "FILE"
			}
			assert.Equal(t, row.origin, origin.String())
		})
	}
}

func TestPrecedenceIsKeyByKey(t *testing.T) {
	config := given{
		file:  "http: {listen: ':1', tls: {hosts: [a]}}\nlog: {level: warn}\n",
		env:   []string{"SPECMAN_HTTP_TLS_HOSTS=b,c", "SPECMAN_LOG_FORMAT=json"},
		flags: []string{"--http.cacheBytes=1Ki", "--log.access"},
	}.mustLoad(t).Config
	assert.Equal(t, ":1", config.HTTP.Listen)
	assert.Equal(t, []string{"b", "c"}, config.HTTP.TLS.Hosts, "a list is replaced, not appended to")
	assert.Equal(t, int64(1024), config.HTTP.CacheBytes)
	assert.Equal(t, Log{Level: "warn", Format: "json", Access: true}, config.Log)
}

// A value and its File twin are two ways to say one thing: what stands higher counts,
// however it is said.
func TestPrecedenceOfAValueAndItsFile(t *testing.T) {
	const value, file = "source.auth.token", "source.auth.tokenFile"
	for name, row := range map[string]struct {
		given       given
		value, file string
		from        string
	}{
		"value over file": {given{file: "source: {auth: {tokenFile: /low}}", env: []string{"SPECMAN_SOURCE_AUTH_TOKEN=top"}}, "top", "", "environment"},
		"file over value": {given{file: "source: {auth: {token: low}}", env: []string{"SPECMAN_SOURCE_AUTH_TOKENFILE=/top"}}, "", "/top", "environment"},
		"over two layers": {given{file: "source: {auth: {token: low}}", env: []string{"SPECMAN_SOURCE_AUTH_TOKENFILE=/mid"}, flags: []string{"--" + value + "=top"}}, "top", "", "flag"},
		"file over both":  {given{file: "source: {auth: {token: low}}", env: []string{"SPECMAN_SOURCE_AUTH_TOKEN=mid"}, flags: []string{"--" + file + "=/top"}}, "", "/top", "flag"},
		"empty over file": {given{file: "source: {auth: {tokenFile: /low}}", flags: []string{"--" + value + "="}}, "", "/low", "file"},
	} {
		t.Run(name, func(t *testing.T) {
			loaded := row.given.mustLoad(t)
			auth := loaded.Config.Sources[0].Auth
			assert.Equal(t, row.value, string(auth.Token))
			assert.Equal(t, row.file, auth.TokenFile)
			set, unset := value, file
			if row.file != "" {
				set, unset = file, value
			}
			assert.Equal(t, row.from, loaded.Origins[set].From)
			if row.from != "file" {
				assert.Equal(t, "default", loaded.Origins[unset].From)
			}
		})
	}
}

func TestWhichFileIsRead(t *testing.T) {
	dir := t.TempDir()
	write := func(name string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte("log: {level: debug}\nsource: {archive: "+name+"}\n"), 0o600))
		return path
	}
	ofFlag, ofEnv, ofDefault := write("flag"), write("env"), write("default")
	missing := filepath.Join(dir, "missing")

	for _, row := range []struct {
		name                string
		flag, env, fallback string
		want, mistake       string
	}{
		{"flag over variable over default", ofFlag, ofEnv, ofDefault, "flag", ""},
		{"variable over default", "", ofEnv, ofDefault, "env", ""},
		{"default", "", "", ofDefault, "default", ""},
		{"default not there", "", "", missing, "manifests.tgz", ""},
		{"named by flag and not there", missing, "", ofDefault, "", missing + ": cannot be read: no such file or directory"},
		{"named by variable and not there", "", missing, ofDefault, "", missing + ": cannot be read: no such file or directory"},
		{"a folder", dir, "", ofDefault, "", dir + ": cannot be read: is a directory"},
		{"default is a folder", "", "", dir, "", dir + ": cannot be read: is a directory"},
	} {
		t.Run(row.name, func(t *testing.T) {
			set := pflag.NewFlagSet("specman", pflag.ContinueOnError)
			opts := LoadOptions{Flags: AddFlags(set), Env: []string{"SPECMAN_CONFIG=" + row.env}, DefaultFile: row.fallback}
			if row.flag != "" {
				require.NoError(t, set.Parse([]string{"--config", row.flag}))
			}
			loaded, err := Load(opts)
			if row.mistake != "" {
				require.EqualError(t, err, "wrong configuration: "+row.mistake)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, row.want, loaded.Config.Sources[0].Archive)
		})
	}
	t.Run("flag without a path", func(t *testing.T) {
		assert.Equal(t, []string{"config @ --config: names no file; give it a path or leave it out"},
			given{flags: []string{"--config="}}.mistakes(t))
	})
}

func TestFileOverALimitIsRefused(t *testing.T) {
	found := given{file: strings.Repeat("#", maxFileSize+1)}.mistakes(t)
	assert.Equal(t, []string{" @ FILE: cannot be read: it is larger than 1Mi"}, found)
}

// A ConfigMap is mounted as a symlink to a symlinked folder.
func TestFileBehindSymlinks(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "..2024"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "..2024", "config.yaml"), []byte("log: {level: warn}\n"), 0o600))
	require.NoError(t, os.Symlink("..2024", filepath.Join(dir, "..data")))
	require.NoError(t, os.Symlink("..data/config.yaml", filepath.Join(dir, "config.yaml")))
	loaded, err := Load(LoadOptions{DefaultFile: filepath.Join(dir, "config.yaml")})
	require.NoError(t, err)
	assert.Equal(t, "warn", loaded.Config.Log.Level)
}

// Each value is given in the file, in the environment and by flag alike.
func TestValuesThatAreTaken(t *testing.T) {
	for _, row := range []struct {
		key, text, yaml string
		want            any
	}{
		{"source.interval", "90s", "90s", 90 * time.Second},
		{"source.interval", "1h30m", "1h30m", 90 * time.Minute},
		{"source.interval", "100ms", `"100ms"`, 100 * time.Millisecond},
		{"store.scrubInterval", "0", "0", time.Duration(0)},
		{"store.scrubInterval", "0s", "0s", time.Duration(0)},
		{"store.minFree", "0", "0", int64(0)},
		{"store.minFree", "4096", "4096", int64(4096)},
		{"store.minFree", "4096", `"4096"`, int64(4096)},
		{"store.minFree", "3Ki", "3Ki", int64(3 << 10)},
		{"store.minFree", "3Mi", "3Mi", int64(3 << 20)},
		{"store.minFree", "3Gi", "3Gi", int64(3 << 30)},
		{"store.minFree", "3Ti", "3Ti", int64(3 << 40)},
		{"store.keep", "0", "0", 0},
		{"store.keep", "7", "7", 7},
		{"gate.maxVanishedPercent", "100", "100", 100},
		{"http.listing", "false", "false", false},
		{"http.listing", "true", "true", true},
		{"http.listen", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"},
		{"http.listen", "[::1]:8443", `"[::1]:8443"`, "[::1]:8443"},
		{"source.archive", "4.10", `"4.10"`, "4.10"},
		{"source.archive", "0.0.0", "0.0.0", "0.0.0"},
		{"source.archive", "yes", "yes", "yes"},
		{"source.select", "versions, 0.0.0", "[versions, 0.0.0]", []string{"versions", "0.0.0"}},
		{"source.select", "versions", "versions", []string{"versions"}},
		{"source.select", `["tags:a{1,2}"]`, `"tags:a{1,2}"`, []string{"tags:a{1,2}"}},
		{"source.select", ` [ "a" , "b" ] `, "\n    - a\n    - b", []string{"a", "b"}},
		{"source.select", "semver:>=4.5 <5", `"semver:>=4.5 <5"`, []string{"semver:>=4.5 <5"}},
		{"source.exclude", "[]", "[]", []string{}},
		{"source.repository", "https://harbor.example.com/a/b/", "https://harbor.example.com/a/b/", "https://harbor.example.com/a/b/"},
		{"source.repository", "oci-layout:/srv/layout", "oci-layout:/srv/layout", "oci-layout:/srv/layout"},
		{"webhook.url", "https://example.com/x?y=z", "https://example.com/x?y=z", "https://example.com/x?y=z"},
	} {
		section, name, _ := strings.Cut(row.key, ".")
		for place, g := range map[string]given{
			"file":        {file: section + ":\n  " + name + ": " + row.yaml + "\n"},
			"environment": {env: []string{Key{Name: row.key}.Env() + "=" + row.text}},
			"flag":        {flags: []string{"--" + row.key + "=" + row.text}},
		} {
			t.Run(row.key+"="+row.text+" in "+place, func(t *testing.T) {
				loaded := g.mustLoad(t)
				assert.Equal(t, place, loaded.Origins[row.key].From)
				for _, v := range loaded.values {
					if v.name == row.key {
						assert.Equal(t, row.want, v.content)
					}
				}
			})
		}
	}
}

func TestFlagsOfTheirOwnKind(t *testing.T) {
	t.Run("a repeated list flag adds to it", func(t *testing.T) {
		config := given{flags: []string{"--source.select=a,b", "--source.select=c", `--source.select=["d,e"]`}}.mustLoad(t).Config
		assert.Equal(t, []string{"a", "b", "c", "d,e"}, config.Sources[0].Select)
	})
	t.Run("a bool flag without a value is true", func(t *testing.T) {
		assert.True(t, given{flags: []string{"--source.plainHTTP"}}.mustLoad(t).Config.Sources[0].PlainHTTP)
	})
	t.Run("an empty text flag clears what the file says", func(t *testing.T) {
		g := given{file: "source: {repository: a.example.com/b}", flags: []string{"--source.repository="}}
		assert.Empty(t, g.mustLoad(t).Config.Sources[0].Repository)
	})
	t.Run("an empty list flag clears what the file says", func(t *testing.T) {
		g := given{file: "source: {exclude: [a]}", flags: []string{"--source.exclude="}}
		assert.Empty(t, g.mustLoad(t).Config.Sources[0].Exclude)
	})
}

func TestControlSocketFollowsTheStore(t *testing.T) {
	assert.Equal(t, "/data/control.sock", given{file: "store: {dir: /data}"}.mustLoad(t).Config.Control.Socket)
	assert.Equal(t, "/run/s.sock", given{file: "store: {dir: /data}\ncontrol: {socket: /run/s.sock}"}.mustLoad(t).Config.Control.Socket)
	assert.Equal(t, "/data/control.sock", given{file: "store: {dir: /data}\ncontrol: {socket: ''}"}.mustLoad(t).Config.Control.Socket)
}
