// Command generate writes the two files of the chart that follow from values.yaml
// and from Specman's own table of configuration keys: the table in the chart's
// README.md, and values.schema.json. It is run by
//
//	go generate ./deploy/helm/generate
//
// and a test holds that both are current.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

//go:generate go run .

func main() {
	if err := run(filepath.Join("..", "specman")); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(chart string) error {
	files, err := generate(chart)
	if err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(chart, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// generate returns what the generated files of the chart have to hold.
func generate(chart string) (map[string][]byte, error) {
	values, err := readValues(filepath.Join(chart, "values.yaml"))
	if err != nil {
		return nil, err
	}
	schema, err := schemaOf(values)
	if err != nil {
		return nil, err
	}
	readme, err := os.ReadFile(filepath.Join(chart, "README.md"))
	if err != nil {
		return nil, err
	}
	readme, err = replaceTable(readme, table(values))
	if err != nil {
		return nil, err
	}
	return map[string][]byte{"values.schema.json": schema, "README.md": readme}, nil
}
