package config

import (
	"path/filepath"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/viper"
)

// value is one effective value, for printing.
type value struct {
	key     Key
	name    string // as the user would write it: sources[0].interval
	content any
	origin  Origin
}

// assemble lays the layers over each other, the last one on top, checks what must
// fit together and fills the struct. Where mistakes were found it is not complete.
func (l *loader) assemble(layers ...layer) *Loaded {
	var all []settings
	var list *sourceList
	for _, each := range layers {
		all = append(all, each.values)
		// An empty list is how charts write "none".
		if each.sources != nil && len(each.sources.entries) > 0 {
			list = each.sources
		}
	}
	merged := overlay(l.keys, all...)
	if !merged.given("control.socket") {
		merged["control.socket"] = setting{filepath.Join(merged.text("store.dir"), "control.sock"), fromDefault}
	}

	root := decode(merged)
	loaded := &Loaded{Config: root.Config, Origins: map[string]Origin{}}
	if list == nil {
		root.Source.Name = "default"
		loaded.Config.Sources = []Source{root.Source}
		loaded.Warnings = l.checkSource(merged, root.Source, "source", merged["source.repository"].origin)
		loaded.record(l.keys, merged, Key.inSource, "source")
	} else {
		l.refuseBoth(merged)
		l.checkNames(list)
		for _, entry := range list.entries {
			loaded.add(l, entry)
		}
	}
	l.checkServer(merged)
	loaded.record(l.keys, merged, func(k Key) bool { return !k.inSource() }, "")
	return loaded
}

// add appends one entry of `sources`.
func (loaded *Loaded) add(l *loader, entry sourceEntry) {
	shown := entry.shown
	merged := overlay(l.keys, entry.values)
	source := decode(merged).Source
	source.Name, _ = entry.name.value.(string)
	loaded.Config.Sources = append(loaded.Config.Sources, source)
	loaded.Warnings = append(loaded.Warnings, l.checkSource(merged, source, shown, entry.origin)...)
	if !merged.given("source.repository") {
		l.report(shown+".repository", entry.origin, "is missing; every entry of `sources` needs one")
	}
	loaded.put(value{key: sourceName, name: shown + ".name", content: source.Name, origin: entry.name.origin})
	loaded.record(l.keys, merged, Key.inSource, shown)
}

// record keeps the effective values and their origins for the keys that belong;
// in a source they are called shown instead of `source`.
func (loaded *Loaded) record(keys []Key, merged settings, belongs func(Key) bool, shown string) {
	for _, k := range keys {
		if !belongs(k) {
			continue
		}
		name := k.Name
		if k.inSource() {
			name = shown + "." + name[len(sourcePrefix):]
		}
		set := merged[k.Name]
		loaded.put(value{key: k, name: name, content: set.value, origin: set.origin})
	}
}

func (loaded *Loaded) put(v value) {
	loaded.values = append(loaded.values, v)
	loaded.Origins[v.name] = v.origin
}

// decode fills the structs from values of the right types; names of keys and of
// fields are matched without regard to capitals.
func decode(merged settings) (out struct {
	Source Source
	Config `mapstructure:",squash"`
}) {
	v := viper.New()
	for name, set := range merged {
		if set.value != nil {
			v.Set(name, set.value)
		}
	}
	err := v.Unmarshal(&out, func(c *mapstructure.DecoderConfig) {
		c.ErrorUnused = true
		c.WeaklyTypedInput = false
		c.DecodeHook = nil
	})
	if err != nil {
		panic("config: the table and the struct do not agree: " + err.Error())
	}
	return out
}
