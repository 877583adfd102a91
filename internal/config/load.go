package config

import (
	"cmp"
	"slices"
	"strings"
)

// DefaultFile is read if it is there and no other file is named.
const DefaultFile = "/etc/specman/config.yaml"

// LoadOptions is where the configuration comes from.
type LoadOptions struct {
	Flags       *Flags   // nil: none
	Env         []string // NAME=VALUE, as os.Environ gives it
	DefaultFile string   // read if it is there; empty: none

	// ValidateSelector refuses a selector, ValidateExcluded an item of source.exclude,
	// and ValidateSource a source whose values are good each, but not together, or not
	// for the registry's client. Their errors say what is allowed and hold no secret;
	// errors.Join makes several mistakes. ValidateWebhook refuses a URL that is one. nil: not checked.
	ValidateSelector func(string) error
	ValidateExcluded func(string) error
	ValidateSource   func(Source) error
	ValidateWebhook  func(url string) error
}

// Loaded is the configuration and how it came to be.
type Loaded struct {
	Config   Config
	File     string            // the file that was read; empty: none
	Origins  map[string]Origin // by key, as `store.dir` or `sources[0].interval`
	Warnings []string          // one line each, for the log; no secrets in them

	values []value
}

// Load reads all layers. A wrong configuration is an [*Error] with every mistake;
// no other error is returned. It may be called again at any time, with the same
// options too, to see what changed.
func Load(opts LoadOptions) (*Loaded, error) {
	l := &loader{opts: opts, keys: opts.keys(), vars: newVariables(opts.Env)}
	file, path := l.readFile()
	env := l.readEnv()
	flags := l.readFlags()

	loaded := l.assemble(file, env, flags)
	if len(l.mistakes) > 0 {
		return nil, &Error{Mistakes: l.mistakes}
	}
	loaded.Warnings = append(loaded.Warnings, l.vars.unknown(l.keys)...)
	loaded.File = path
	return loaded, nil
}

// keys is the table with the caller's checks in it.
func (o LoadOptions) keys() []Key {
	keys := Keys()
	for i := range keys {
		switch k := &keys[i]; {
		case k.Name == "source.select":
			k.check = o.ValidateSelector
		case k.Name == "source.exclude":
			k.check = o.ValidateExcluded
		case k.Name == "webhook.url" && o.ValidateWebhook != nil:
			isURL := k.check
			k.check = func(url string) error { return cmp.Or(isURL(url), o.ValidateWebhook(url)) }
		}
	}
	return keys
}

// loader is one run of Load.
type loader struct {
	opts     LoadOptions
	keys     []Key
	vars     variables
	mistakes []Mistake
}

// report keeps a mistake, once: an alias shows the same one in several places.
func (l *loader) report(key string, at Origin, problem string) {
	if m := (Mistake{Key: key, Origin: at, Problem: problem}); !slices.Contains(l.mistakes, m) {
		l.mistakes = append(l.mistakes, m)
	}
}

func (l *loader) readEnv() layer {
	out := layer{values: settings{}}
	for _, k := range l.keys {
		text, ok := l.vars[k.Env()]
		if !ok {
			continue
		}
		out.values[k.Name] = l.parsed(k.Name, fromEnv(k.Env()), func() (any, error) { return k.parse(text) })
	}
	if text, ok := l.vars[sourcesEnv]; ok {
		out.sources = l.sourcesFromText(text, fromEnv(sourcesEnv))
	}
	return out
}

func (l *loader) readFlags() layer {
	out := layer{values: settings{}}
	if l.opts.Flags == nil {
		return out
	}
	for _, k := range l.keys {
		flag := l.opts.Flags.keys[k.Flag()]
		if len(flag.texts) == 0 {
			continue
		}
		out.values[k.Name] = l.parsed(k.Name, fromFlag(k.Flag()), func() (any, error) { return flag.parse(k) })
	}
	if flag := l.opts.Flags.keys[sourcesKey]; len(flag.texts) > 0 {
		out.sources = l.sourcesFromText(flag.last(), fromFlag(sourcesKey))
	}
	return out
}

func (l *loader) parsed(name string, at Origin, parse func() (any, error)) setting {
	value, err := parse()
	if err != nil {
		l.report(name, at, err.Error())
		return setting{origin: at}
	}
	return setting{value: value, origin: at}
}

// sourcesFromText reads the list of sources from a variable or flag.
func (l *loader) sourcesFromText(text string, at Origin) *sourceList {
	reader := &yamlReader{keys: l.keys, place: func(int) Origin { return at }, report: l.report}
	if !strings.HasPrefix(strings.TrimSpace(text), "[") {
		l.report(sourcesKey, at, `is no list of sources; write a JSON array of objects, as [{"name":"a","repository":"host/path"}]`)
		return &sourceList{origin: at}
	}
	root := reader.parse([]byte(text))
	if root == nil {
		return &sourceList{origin: at}
	}
	return reader.sources(root, 0)
}
