package config

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// maxMerges bounds what `<<` can ask for: merges may nest, and name themselves.
const maxMerges = 1000

// pair is one `key: value` of a mapping, merges resolved.
type pair struct {
	key, value *yaml.Node
}

// pairs lists a mapping's keys and values, with what `<<` merges in behind those
// that stand there themselves.
func (r *yamlReader) pairs(mapping *yaml.Node, shown string) []pair {
	var found, merged []pair
	lines := map[string]int{}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		key, value := resolve(mapping.Content[i]), mapping.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode:
			r.report(shown, r.place(key.Line), "has "+describe(key)+" for a key; allowed is text")
		case key.ShortTag() == "!!merge":
			merged = append(merged, r.merged(resolve(value), shown)...)
		case lines[key.Value] > 0:
			r.report(quoteKey(join(shown, key.Value)), r.place(key.Line),
				fmt.Sprintf("stands here a second time, after line %d; keep one of the two", lines[key.Value]))
		default:
			lines[key.Value] = key.Line
			found = append(found, pair{key, value})
		}
	}
	for _, p := range merged {
		if lines[p.key.Value] == 0 {
			lines[p.key.Value] = p.key.Line
			found = append(found, p)
		}
	}
	return found
}

func (r *yamlReader) merged(node *yaml.Node, shown string) []pair {
	if r.merges++; r.merges > maxMerges {
		if r.merges == maxMerges+1 {
			r.report(shown, r.place(node.Line), "merges (<<) too much, or itself")
		}
		return nil
	}
	switch node.Kind {
	case yaml.MappingNode:
		return r.pairs(node, shown)
	case yaml.SequenceNode:
		var all []pair
		for _, item := range node.Content {
			all = append(all, r.merged(resolve(item), shown)...)
		}
		return all
	}
	r.report(shown, r.place(node.Line), "merges (<<) "+describe(node)+"; allowed is an alias of a section")
	return nil
}

// resolve follows an alias to what it stands for.
func resolve(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}
