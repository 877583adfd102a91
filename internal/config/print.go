package config

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Print writes the effective configuration, secrets redacted.
//
// As "text" it is a configuration file again, with the origin of each value as a
// comment. As "json" it is one object, whose fields stay: `file` (path or empty)
// and `values`, which holds by key an object with `value` (written as in the file)
// and `origin` (`from`: default, file, environment or flag; `name`; `line`).
func (loaded *Loaded) Print(w io.Writer, format string) error {
	if format == "json" {
		return loaded.printJSON(w)
	}
	return loaded.printYAML(w)
}

func (loaded *Loaded) printJSON(w io.Writer) error {
	type entry struct {
		Value  any    `json:"value"`
		Origin Origin `json:"origin"`
	}
	out := struct {
		File   string           `json:"file"`
		Values map[string]entry `json:"values"`
	}{loaded.File, map[string]entry{}}
	for _, v := range loaded.values {
		out.Values[v.name] = entry{v.shown(), v.origin}
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(out)
}

func (loaded *Loaded) printYAML(w io.Writer) error {
	root := &yaml.Node{Kind: yaml.MappingNode}
	for _, v := range loaded.values {
		node, err := v.node()
		if err != nil {
			return fmt.Errorf("print %s: %w", v.name, err)
		}
		put(root, strings.Split(v.name, "."), node)
	}
	encoder := yaml.NewEncoder(w)
	encoder.SetIndent(2)
	if err := encoder.Encode(root); err != nil {
		return fmt.Errorf("print the configuration: %w", err)
	}
	return encoder.Close()
}

// put hangs a value into the tree under its path; `sources[0]` is an item of a list.
func put(parent *yaml.Node, path []string, leaf *yaml.Node) {
	name, index, isItem := strings.Cut(path[0], "[")
	if len(path) == 1 {
		parent.Content = append(parent.Content, textNode(name), leaf)
		return
	}
	kind := yaml.MappingNode
	if isItem {
		kind = yaml.SequenceNode
	}
	child := childOf(parent, name, kind)
	if isItem {
		var i int
		_, _ = fmt.Sscanf(index, "%d]", &i) // a name of our own making
		for len(child.Content) <= i {
			child.Content = append(child.Content, &yaml.Node{Kind: yaml.MappingNode})
		}
		child = child.Content[i]
	}
	put(child, path[1:], leaf)
}

func childOf(parent *yaml.Node, name string, kind yaml.Kind) *yaml.Node {
	for i := 0; i < len(parent.Content); i += 2 {
		if parent.Content[i].Value == name {
			return parent.Content[i+1]
		}
	}
	child := &yaml.Node{Kind: kind}
	parent.Content = append(parent.Content, textNode(name), child)
	return child
}

func textNode(text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
}

// node is the value as YAML, on one line, with its origin behind it.
func (v value) node() (*yaml.Node, error) {
	node := &yaml.Node{}
	if err := node.Encode(v.shown()); err != nil {
		return nil, err
	}
	if node.Style = 0; node.Kind == yaml.SequenceNode {
		node.Style = yaml.FlowStyle
	}
	for _, each := range append([]*yaml.Node{node}, node.Content...) {
		if strings.ContainsAny(each.Value, "\r\n") {
			each.Style = yaml.DoubleQuotedStyle
		}
	}
	node.LineComment = "# from " + strings.Map(printable, v.origin.String())
	return node, nil
}

// printable keeps a path with a line break in it from ending its comment.
func printable(r rune) rune {
	if r < ' ' {
		return '?'
	}
	return r
}

// shown is the value as one would write it, and what may be seen of it.
func (v value) shown() any {
	switch content := v.content.(type) {
	case string:
		switch {
		case v.key.Secret:
			return Secret(content).String()
		case v.key.Name == "webhook.url":
			return hostOnly(content)
		}
		return content
	case time.Duration:
		return formatDuration(int64(content))
	case int64:
		return formatSize(content)
	default:
		return content
	}
}

// hostOnly hides all of a URL but where it leads: the rest is often a credential.
func hostOnly(text string) string {
	u, err := url.Parse(text)
	if err != nil || text == "" {
		return ""
	}
	shown := u.Scheme + "://" + u.Host
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil || u.Fragment != "" {
		shown += "/" + redacted
	}
	return shown
}
