package config

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDefaultsAreThoseOfTheContract(t *testing.T) {
	loaded, err := Load(LoadOptions{})
	require.NoError(t, err)
	assert.Equal(t, Config{
		Sources: []Source{{
			Name:         "default",
			Select:       []string{"versions"},
			MaxReleases:  32,
			Exclude:      []string{},
			Archive:      "manifests.tgz",
			Interval:     time.Minute,
			Timeout:      10 * time.Minute,
			StallTimeout: time.Minute,
			MaxBackoff:   5 * time.Minute,
			Auth:         Auth{Provider: "auto"},
			Verify:       Verify{Cosign: Cosign{Keys: []string{}}},
		}},
		Store: Store{
			Dir:           "/var/lib/specman",
			Keep:          3,
			MaxTreeBytes:  8 << 30,
			MaxFiles:      1_000_000,
			MaxFileBytes:  4 << 30,
			MinFree:       256 << 20,
			Grace:         5 * time.Minute,
			ScrubInterval: 7 * 24 * time.Hour,
		},
		Gate: Gate{RequirePaths: []string{}, Command: []string{}, Timeout: time.Minute},
		HTTP: HTTP{
			Listen: ":8443",
			TLS: ServerTLS{Hosts: []string{
				"specman-service.hubble-system.svc.cluster.local", "specman-service.hubble-system.svc",
				"specman-service.hubble-system", "specman-service", "localhost", "127.0.0.1",
			}},
			Listing:        true,
			CacheBytes:     64 << 20,
			Compress:       true,
			MaxConnections: 10000,
		},
		Ops:     Ops{Listen: ":8080"},
		Control: Control{Socket: "/var/lib/specman/control.sock"},
		Log:     Log{Level: "info", Format: "text"},
	}, loaded.Config)
	assert.Empty(t, loaded.Warnings)
	for name, origin := range loaded.Origins {
		assert.Equal(t, Origin{From: "default"}, origin, name)
	}
}

// Every field of the struct has a key: one that had none could never be set.
func TestEveryFieldHasAKeyOfItsType(t *testing.T) {
	kinds := map[reflect.Type]Kind{
		reflect.TypeFor[string]():        Text,
		reflect.TypeFor[Secret]():        Text,
		reflect.TypeFor[bool]():          Bool,
		reflect.TypeFor[int]():           Int,
		reflect.TypeFor[int64]():         Size,
		reflect.TypeFor[time.Duration](): Duration,
		reflect.TypeFor[[]string]():      List,
	}
	fields := map[string]reflect.Type{}
	var walk func(path string, of reflect.Type)
	walk = func(path string, of reflect.Type) {
		for field := range of.Fields() {
			name := strings.ToLower(join(path, field.Name))
			if field.Type.Kind() == reflect.Struct {
				walk(name, field.Type)
				continue
			}
			fields[name] = field.Type
		}
	}
	walk("source", reflect.TypeFor[Source]())
	walk("", reflect.TypeFor[Config]())
	delete(fields, "source.name")
	delete(fields, "sources")

	for _, k := range Keys() {
		field, ok := fields[strings.ToLower(k.Name)]
		if assert.True(t, ok, "%s has no field", k.Name) {
			assert.Equal(t, k.Kind, kinds[field], k.Name)
			assert.Equal(t, k.Secret, field == reflect.TypeFor[Secret](), k.Name)
			delete(fields, strings.ToLower(k.Name))
		}
	}
	assert.Empty(t, fields, "fields without a key")
}

func TestEveryKeyIsWhole(t *testing.T) {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	AddFlags(flags)
	variables := map[string]string{configEnv: "--config", sourcesEnv: "sources"}
	for _, k := range Keys() {
		t.Run(k.Name, func(t *testing.T) {
			assert.Empty(t, variables[k.Env()], "two keys share %s", k.Env())
			assert.False(t, madeByKubernetes(k.Env()), "Kubernetes makes %s", k.Env())
			variables[k.Env()] = k.Name

			flag := flags.Lookup(k.Name)
			require.NotNil(t, flag)
			assert.Equal(t, k.Kind == Bool, flag.NoOptDefVal == "true")

			assert.NotPanics(t, func() { k.defaultValue() })
			assert.True(t, strings.HasSuffix(k.Help, "."), "help is sentences")
			assert.Less(t, len(k.Summary()), 130, "the first sentence is the flag's usage")
			assert.NotEmpty(t, k.Allowed())
		})
	}
}

func TestEverySecretHasAFileTwin(t *testing.T) {
	names := map[string]Key{}
	for _, k := range Keys() {
		names[k.Name] = k
	}
	for _, name := range []string{
		"source.auth.username", "source.auth.password", "source.auth.token", "source.auth.ecr.accessKey", "source.auth.ecr.secretKey",
	} {
		assert.True(t, names[name].Twin, name)
	}
	for name, k := range names {
		if k.Secret || k.Twin {
			assert.Contains(t, names, name+"File")
		}
	}
}

func TestReferenceHasEveryKeyOnALine(t *testing.T) {
	var markdown, help strings.Builder
	require.NoError(t, WriteReference(&markdown))
	require.NoError(t, WriteKeys(&help))
	for _, k := range Keys() {
		assert.Contains(t, markdown.String(), "\n| `"+k.Name+"` | "+string(k.Kind)+" |")
		assert.Contains(t, help.String(), "  --"+k.Name+" "+string(k.Kind))
		assert.Contains(t, help.String(), "      "+k.Env()+"\n")
	}
	for line := range strings.Lines(markdown.String()) {
		assert.Equal(t, 5, strings.Count(line, "|")-strings.Count(line, `\|`), "five bars make four columns: %s", line)
	}
	assert.Contains(t, markdown.String(), "| `control.socket` | text | `<store.dir>/control.sock` |")
}
