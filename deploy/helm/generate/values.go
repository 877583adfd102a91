package main

import (
	"fmt"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A value is one key of values.yaml with what its comment says.
//
// The comment above a key may begin with "--": its text then describes the key, and
// the key is a leaf, whatever lies below it. Words that begin with @ are for the
// schema and end the line: @enum A B, @type A B, @minimum N, @open (more keys are
// allowed), @config (Specman's own keys are allowed).
type value struct {
	path     string // "image.tag"
	node     *yaml.Node
	doc      string
	tags     map[string][]string
	children []*value // none for a leaf
}

func readValues(path string) ([]*value, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var document yaml.Node
	if err := yaml.Unmarshal(content, &document); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return valuesIn(document.Content[0], "")
}

func valuesIn(mapping *yaml.Node, prefix string) ([]*value, error) {
	var all []*value
	for i := 0; i < len(mapping.Content); i += 2 {
		key, node := mapping.Content[i], mapping.Content[i+1]
		v := &value{path: prefix + key.Value, node: node}
		v.readComment(key.HeadComment)
		if node.Kind == yaml.MappingNode && v.doc == "" && len(node.Content) > 0 {
			var err error
			if v.children, err = valuesIn(node, v.path+"."); err != nil {
				return nil, err
			}
		} else if v.doc == "" && v.tags["enum"] == nil {
			return nil, fmt.Errorf("line %d: %s has no comment that begins with --", key.Line, v.path)
		}
		all = append(all, v)
	}
	return all, nil
}

// readComment takes the last block of a comment: what stands above it, over an empty
// line, is for the file's reader.
func (v *value) readComment(comment string) {
	blocks := strings.Split(comment, "\n\n")
	v.tags = map[string][]string{}
	var text []string
	described := false
	for line := range strings.Lines(blocks[len(blocks)-1]) {
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "#"))
		if rest, ok := strings.CutPrefix(line, "--"); ok {
			described, line = true, strings.TrimSpace(rest)
		}
		if rest, ok := strings.CutPrefix(line, "@"); ok {
			words := strings.Fields(rest)
			v.tags[words[0]] = words[1:]
			continue
		}
		if described {
			text = append(text, line)
		}
	}
	v.doc = strings.TrimSpace(strings.Join(text, " "))
}

// words are those of a tag; "" written as two quotes is the empty text.
func (v *value) words(tag string) []string {
	var words []string
	for _, word := range v.tags[tag] {
		words = append(words, strings.Trim(word, `"`))
	}
	return words
}
