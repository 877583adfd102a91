package config

import (
	"errors"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
)

// value reads the value of one key of the table, and reports what is wrong with it.
func (r *yamlReader) value(k Key, p pair, shown string) setting {
	set := setting{origin: r.place(p.key.Line)}
	value, err := k.fromYAML(resolve(p.value))
	if err != nil {
		r.report(shown, set.origin, err.Error())
		return set
	}
	set.value = value
	return set
}

// fromYAML reads a node strictly: nothing is converted, because what YAML made of
// an unquoted value is not what was written (4.10 is 4.1, yes may be true).
func (k Key) fromYAML(node *yaml.Node) (any, error) {
	if node.ShortTag() == "!!null" {
		return nil, errors.New("has no value; give it one or leave the key out")
	}
	if k.Kind == List {
		return k.listFromYAML(node)
	}
	if node.Kind != yaml.ScalarNode {
		return nil, fmt.Errorf("is %s; allowed is %s", describe(node), k.Allowed())
	}
	tag := node.ShortTag()
	if slices.Contains(k.yamlTags(), tag) {
		return k.parse(node.Value)
	}
	if tag != "!!str" {
		return nil, k.notText(node)
	}
	if _, err := k.parse(node.Value); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("%s is text; write it without quotes", k.show(node.Value))
}

// yamlTags are the types of YAML scalars in which a value of this kind may stand.
func (k Key) yamlTags() []string {
	switch k.Kind {
	case Bool:
		return []string{"!!bool"}
	case Int:
		return []string{"!!int"}
	case Duration, Size:
		// Numbers get through to parse, which knows the cure for them.
		return []string{"!!str", "!!int", "!!float"}
	}
	return []string{"!!str"}
}

// notText says what a scalar is that is neither of its kind nor text.
func (k Key) notText(node *yaml.Node) error {
	if k.Kind != Text && k.Kind != List {
		return fmt.Errorf("%s is %s; allowed is %s", k.show(node.Value), describe(node), k.Allowed())
	}
	if k.Secret {
		return fmt.Errorf("is %s where text is due; put it in quotes", describe(node))
	}
	return fmt.Errorf("%s is %s where text is due; quote it: %q", node.Value, describe(node), node.Value)
}

func (k Key) listFromYAML(node *yaml.Node) (any, error) {
	items := []*yaml.Node{node}
	switch node.Kind {
	case yaml.SequenceNode:
		items = node.Content
	case yaml.MappingNode:
		return nil, fmt.Errorf("is %s; allowed is %s", describe(node), k.Allowed())
	}
	texts := make([]string, 0, len(items))
	for i, item := range items {
		item = resolve(item)
		switch {
		case item.Kind != yaml.ScalarNode || item.ShortTag() == "!!null":
			return nil, fmt.Errorf("item %d is %s; allowed is %s", i+1, describe(item), k.Allowed())
		case item.ShortTag() != "!!str":
			return nil, fmt.Errorf("item %d: %w", i+1, k.notText(item))
		}
		texts = append(texts, item.Value)
	}
	return k.list(texts)
}

// parseJSONList reads a JSON array of texts.
func parseJSONList(text string) ([]string, error) {
	var node yaml.Node
	// JSON is YAML, and read as such its items obey the rules of the file.
	if err := yaml.Unmarshal([]byte(text), &node); err != nil || node.Content[0].Kind != yaml.SequenceNode {
		return nil, errors.New(`begins with [ but is no JSON array; write ["a","b"], or a,b`)
	}
	list, err := Key{Kind: List}.listFromYAML(node.Content[0])
	if err != nil {
		return nil, err
	}
	return list.([]string), nil
}

// describe says what a node is, without its value.
func describe(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "a section"
	case yaml.SequenceNode:
		return "a list"
	}
	switch node.ShortTag() {
	case "!!str":
		return "text"
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "a boolean"
	case "!!timestamp":
		return "a date"
	case "!!null":
		return "empty"
	default:
		// The tag is not quoted: an unquoted password may begin with an exclamation mark.
		return "of a type of its own (it begins with !)"
	}
}
