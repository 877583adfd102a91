package config

import (
	"strings"

	"github.com/spf13/pflag"
)

// FlagAnnotation marks the flags of the table, so that help can leave them to
// `specman config --help`.
const FlagAnnotation = "specman_key"

// Flags is what the command line says, as text; [Load] reads it, so that a wrong
// flag is reported together with every other mistake.
type Flags struct {
	file flagValue
	keys map[string]*flagValue // by name, `sources` among them
}

// AddFlags makes one flag for --config, each key of the table and `sources`.
func AddFlags(set *pflag.FlagSet) *Flags {
	flags := &Flags{file: flagValue{kind: "file"}, keys: map[string]*flagValue{}}
	set.Var(&flags.file, "config", "configuration file (default /etc/specman/config.yaml if it is there)")
	add := func(name string, kind Kind, usage string) *pflag.Flag {
		value := &flagValue{kind: string(kind)}
		flags.keys[name] = value
		flag := set.VarPF(value, name, "", usage)
		flag.Annotations = map[string][]string{FlagAnnotation: {"true"}}
		return flag
	}
	for _, k := range Keys() {
		flag := add(k.Flag(), k.Kind, k.Summary())
		flag.DefValue = k.Default
		if k.Kind == Bool {
			flag.NoOptDefVal = "true"
		}
	}
	add(sourcesKey, List, "Several sources instead of one, as a JSON array of objects")
	return flags
}

// WithoutFile are the same flags, but for --config.
func (f *Flags) WithoutFile() *Flags { return &Flags{keys: f.keys} }

// flagValue keeps every text that a flag was given. Set never fails: pflag would
// print the value, which may be a secret.
type flagValue struct {
	kind  string
	texts []string
}

func (v *flagValue) Set(text string) error {
	v.texts = append(v.texts, text)
	return nil
}

func (v *flagValue) String() string { return "" }

func (v *flagValue) Type() string { return v.kind }

// last is what a flag says that takes one value.
func (v *flagValue) last() string { return v.texts[len(v.texts)-1] }

// parse reads the flag's value; a list is all that its repetitions say.
func (v *flagValue) parse(k Key) (any, error) {
	if k.Kind != List {
		return k.parse(v.last())
	}
	all := []string{} // not nil: it prints as an empty list
	for _, text := range v.texts {
		items, err := splitList(text)
		if err != nil {
			return nil, err
		}
		all = append(all, items...)
	}
	return k.list(all)
}

func fromFlag(name string) Origin {
	return Origin{From: "flag", Name: "--" + strings.TrimPrefix(name, "--")}
}
