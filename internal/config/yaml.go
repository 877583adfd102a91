package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
)

// yamlReader decodes one YAML document against the table. It reports through
// report and goes on, so that one pass finds every mistake.
type yamlReader struct {
	keys   []Key
	place  func(line int) Origin
	report func(key string, at Origin, problem string)
	merges int // `<<` followed so far
}

// document reads a configuration file.
func (r *yamlReader) document(data []byte) layer {
	out := layer{values: settings{}}
	root := r.parse(data)
	if root == nil {
		return out
	}
	if root.Kind != yaml.MappingNode {
		r.report("", r.place(root.Line), "is "+describe(root)+" and no configuration; write keys such as `source:` with values below them")
		return out
	}
	var pairs []pair
	for _, p := range r.pairs(root, "") {
		if p.key.Value == sourcesKey {
			out.sources = r.sources(resolve(p.value), p.key.Line)
			continue
		}
		pairs = append(pairs, p)
	}
	r.section(pairs, "", "", out.values)
	return out
}

// parse gives the root of the only document, or nil where there is none.
func (r *yamlReader) parse(data []byte) *yaml.Node {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var first, second yaml.Node
	if err := decoder.Decode(&first); err != nil {
		if !errors.Is(err, io.EOF) {
			r.syntaxError(err)
		}
		return nil
	}
	switch err := decoder.Decode(&second); {
	case err == nil:
		r.report("", r.place(second.Line), "holds several YAML documents; allowed is one")
	case !errors.Is(err, io.EOF):
		r.syntaxError(err)
	}
	return resolve(first.Content[0])
}

var yamlError = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)`) })

// syntaxError reports a fault of the YAML. The message of the library is passed on
// but for the one that quotes a value: that may be a secret which begins with *.
func (r *yamlReader) syntaxError(err error) {
	line, problem := 0, err.Error()
	if m := yamlError().FindStringSubmatch(problem); m != nil {
		line, _ = strconv.Atoi(m[1])
		problem = m[2]
	}
	if strings.Contains(problem, "anchor") {
		problem = "a value begins with * but no & of that name comes before it; put the value in quotes"
	}
	r.report("", r.place(line), "is no YAML: "+problem)
}

// sources reads the list of that name; shown is what it is called in messages.
func (r *yamlReader) sources(node *yaml.Node, line int) *sourceList {
	list := &sourceList{origin: r.place(line)}
	if node.Kind != yaml.SequenceNode {
		r.report(sourcesKey, r.place(line), "is "+describe(node)+"; allowed is a list of sources, each with a name")
		return list
	}
	for i, item := range node.Content {
		shown := fmt.Sprintf("%s[%d]", sourcesKey, i)
		item = resolve(item)
		entry := sourceEntry{shown: shown, origin: r.place(item.Line), values: settings{}}
		if item.Kind != yaml.MappingNode {
			r.report(shown, r.place(item.Line), "is "+describe(item)+"; allowed are the keys of `source` and a name")
			continue
		}
		var rest []pair
		for _, p := range r.pairs(item, shown) {
			if p.key.Value == "name" {
				entry.name, entry.named = r.value(sourceName, p, shown+".name"), true
				continue
			}
			rest = append(rest, p)
		}
		r.section(rest, strings.TrimSuffix(sourcePrefix, "."), shown, entry.values)
		list.entries = append(list.entries, entry)
	}
	return list
}

var sourceName = Key{Name: "name", Kind: Text, Required: true, check: checkSourceName}

// section reads the pairs of one mapping. path names it as the table does, shown
// as the user wrote it.
func (r *yamlReader) section(pairs []pair, path, shown string, into settings) {
	for _, p := range pairs {
		name, shownName := join(path, p.key.Value), join(shown, p.key.Value)
		if strings.Contains(p.key.Value, ".") {
			// It would be taken for the nested key, and so escape the check for double ones.
			r.report(quoteKey(shownName), r.place(p.key.Line), "unknown key; in a file each part of a name stands on a line of its own, indented below the one before")
			continue
		}
		if i := slices.IndexFunc(r.keys, func(k Key) bool { return k.Name == name }); i >= 0 {
			into[name] = r.value(r.keys[i], p, shownName)
			continue
		}
		if below := r.below(name); len(below) > 0 {
			if node := resolve(p.value); node.Kind == yaml.MappingNode {
				r.section(r.pairs(node, shownName), name, shownName, into)
			} else {
				r.report(shownName, r.place(p.key.Line), "is "+describe(node)+"; allowed are the keys "+strings.Join(below, ", ")+" below it")
			}
			continue
		}
		r.report(quoteKey(shownName), r.place(p.key.Line), "unknown key"+r.didYouMean(name, path, shown))
	}
}

// below lists the keys and sections directly under a section.
func (r *yamlReader) below(section string) []string {
	var names []string
	for _, k := range r.keys {
		if rest, ok := strings.CutPrefix(k.Name, section+"."); ok {
			rest, _, _ = strings.Cut(rest, ".")
			if !slices.Contains(names, rest) {
				names = append(names, rest)
			}
		}
	}
	return names
}

// didYouMean is the end of the message for an unknown key. In an entry of `sources`
// only the keys of a source are offered.
func (r *yamlReader) didYouMean(name, path, shown string) string {
	candidates := []string{"source", sourcesKey, "store", "gate", "http", "ops", "control", "webhook", "log"}
	for _, k := range r.keys {
		if path == "" || shown == path || k.inSource() {
			candidates = append(candidates, k.Name)
		}
	}
	best := nearest(name, candidates)
	if best == "" {
		return "; `specman config --help` lists the known ones"
	}
	if rest, ok := strings.CutPrefix(best, path+"."); ok {
		best = join(shown, rest)
	}
	return "; did you mean " + best + "?"
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

var plainKey = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[-\w.\[\]]{1,100}$`) })

// quoteKey leaves names alone and makes anything else fit for one line.
func quoteKey(name string) string {
	if plainKey().MatchString(name) {
		return name
	}
	return quote(name)
}
