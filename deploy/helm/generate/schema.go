package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/specman/specman/internal/config"
)

// An object is one of JSON's.
type object map[string]any

func schemaOf(values []*value) ([]byte, error) {
	properties, err := propertiesOf(values)
	if err != nil {
		return nil, err
	}
	// Palette has its blocks below `config`, and users paste them as they are.
	own := properties["config"].(object)["properties"].(object)
	for _, block := range []string{"ociPackRegistry", "ociPackEcrRegistry"} {
		own[block] = object{"$ref": "#/properties/" + block}
	}
	// Helm writes into global what the parent of a subchart brings.
	properties["global"].(object)["additionalProperties"] = true
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err = encoder.Encode(object{
		"$schema":              "http://json-schema.org/draft-07/schema#",
		"title":                "Values of the Specman chart",
		"type":                 "object",
		"properties":           properties,
		"additionalProperties": false,
	})
	return out.Bytes(), err
}

func propertiesOf(values []*value) (object, error) {
	properties := object{}
	for _, v := range values {
		schema, err := v.schema()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", v.path, err)
		}
		if v.doc != "" {
			schema["description"] = v.doc
		}
		properties[v.path[strings.LastIndex(v.path, ".")+1:]] = schema
	}
	return properties, nil
}

func (v *value) schema() (object, error) {
	if v.children != nil {
		properties, err := propertiesOf(v.children)
		if err != nil {
			return nil, err
		}
		_, open := v.tags["open"]
		return object{"type": "object", "properties": properties, "additionalProperties": open}, nil
	}
	if _, ok := v.tags["config"]; ok {
		return configSchema(), nil
	}
	schema := object{}
	switch v.node.Tag {
	case "!!str":
		schema["type"] = "string"
	case "!!bool":
		schema["type"] = "boolean"
	case "!!int":
		schema["type"] = "integer"
	case "!!seq":
		schema["type"] = "array"
	case "!!map":
		schema["type"] = "object"
	default:
		return nil, fmt.Errorf("a default of type %s says nothing of what is allowed", v.node.Tag)
	}
	if types := v.words("type"); types != nil {
		schema["type"] = types
	}
	if words := v.words("enum"); words != nil {
		schema["enum"] = words
	}
	if least := v.words("minimum"); least != nil {
		n, err := strconv.Atoi(least[0])
		if err != nil {
			return nil, err
		}
		schema["minimum"] = n
	}
	return schema, nil
}

// configSchema is the schema of Specman's own file, so that a wrong key is refused
// by helm and not first by the pod.
func configSchema() object {
	root := newSection()
	for _, key := range config.Keys() {
		section := root
		path := strings.Split(key.Name, ".")
		for _, name := range path[:len(path)-1] {
			properties := section["properties"].(object)
			if properties[name] == nil {
				properties[name] = newSection()
			}
			section = properties[name].(object)
		}
		section["properties"].(object)[path[len(path)-1]] = keySchema(key)
	}
	properties := root["properties"].(object)
	// Each of `sources` is a `source` with a name.
	one := object{"name": object{"type": "string"}}
	for name, schema := range properties["source"].(object)["properties"].(object) {
		one[name] = schema
	}
	properties["sources"] = object{"type": "array", "items": object{
		"type": "object", "properties": one, "additionalProperties": false, "required": []string{"name"},
	}}
	return root
}

func newSection() object {
	return object{"type": "object", "properties": object{}, "additionalProperties": false}
}

func keySchema(key config.Key) object {
	schema := object{"description": key.Summary() + "."}
	switch key.Kind {
	case config.Bool:
		schema["type"] = "boolean"
	case config.Int:
		schema["type"] = "integer"
		schema["minimum"] = key.Min
		if key.Max > 0 {
			schema["maximum"] = key.Max
		}
	case config.Size:
		schema["type"] = []string{"string", "integer"}
	case config.Duration:
		schema["type"] = "string"
		if key.Min == 0 { // 0 needs no unit
			schema["type"] = []string{"string", "integer"}
			schema["maximum"] = 0
		}
	case config.List:
		schema["type"] = []string{"array", "string"}
		schema["items"] = object{"type": "string"}
	default:
		schema["type"] = "string"
		if len(key.OneOf) > 0 {
			schema["enum"] = key.OneOf
		}
	}
	return schema
}

// defaultText is the default of a leaf, as the table shows it.
func (v *value) defaultText() string {
	switch {
	case v.node.Kind == yaml.ScalarNode && v.node.Value == "":
		return ""
	case v.node.Kind == yaml.ScalarNode:
		return "`" + v.node.Value + "`"
	case len(v.node.Content) == 0:
		return ""
	case v.node.Kind == yaml.SequenceNode:
		var items []string
		for _, item := range v.node.Content {
			items = append(items, item.Value)
		}
		return "`[" + strings.Join(items, ", ") + "]`"
	}
	return "see values.yaml"
}
