package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// What stands between these two in the README is generated.
const tableStart, tableEnd = "<!-- made from values.yaml by `go generate ./deploy/helm/generate` -->\n", "<!-- end -->"

func replaceTable(readme, table []byte) ([]byte, error) {
	before, rest, ok := bytes.Cut(readme, []byte(tableStart))
	_, after, ok2 := bytes.Cut(rest, []byte(tableEnd))
	if !ok || !ok2 {
		return nil, errors.New("README.md lacks the comments between which the table stands")
	}
	return bytes.Join([][]byte{before, []byte(tableStart), table, []byte(tableEnd), after}, nil), nil
}

// table lists all leaves of the values.
func table(values []*value) []byte {
	var out bytes.Buffer
	out.WriteString("| value | default | meaning |\n|---|---|---|\n")
	writeRows(&out, values)
	return out.Bytes()
}

func writeRows(out *bytes.Buffer, values []*value) {
	for _, v := range values {
		if v.children != nil {
			writeRows(out, v.children)
			continue
		}
		meaning := v.doc
		if words := v.words("enum"); words != nil {
			meaning = strings.TrimSpace(meaning + " One of " + quoted(words) + ".")
		}
		fmt.Fprintf(out, "| `%s` | %s | %s |\n", v.path, v.defaultText(), strings.ReplaceAll(meaning, "|", `\|`))
	}
}

func quoted(words []string) string {
	var all []string
	for _, word := range words {
		if word == "" {
			all = append(all, "empty")
		} else {
			all = append(all, "`"+word+"`")
		}
	}
	return strings.Join(all, ", ")
}
