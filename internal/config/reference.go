package config

import (
	"fmt"
	"io"
	"strings"
)

// WriteReference writes the table of all keys as Markdown, for the documentation.
func WriteReference(w io.Writer) error {
	var b strings.Builder
	b.WriteString("| key | type | default | meaning |\n|---|---|---|---|\n")
	for _, k := range Keys() {
		help := k.Help
		if allowed := k.constraint(); allowed != "" {
			help += " Allowed: " + allowed + "."
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.Name, k.Kind, code(k.shownDefault()), strings.ReplaceAll(help, "|", `\|`))
	}
	fmt.Fprintf(&b, "| `%s` | list | | Several sources: a list of the keys of `source`, each entry with a unique `name` (a DNS label). Earlier ones lie on top. Set either it or `source`. |\n", sourcesKey)
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteKeys writes all keys for a terminal: flag, variable, default and help.
func WriteKeys(w io.Writer) error {
	var b strings.Builder
	for _, k := range Keys() {
		fmt.Fprintf(&b, "  --%s %s", k.Flag(), k.Kind)
		if d := k.shownDefault(); d != "" {
			fmt.Fprintf(&b, " (default %s)", d)
		}
		fmt.Fprintf(&b, "\n      %s\n", k.Env())
		help := k.Help
		if allowed := k.constraint(); allowed != "" {
			help += " Allowed: " + allowed + "."
		}
		b.WriteString(wrap(help, 6, 96))
	}
	fmt.Fprintf(&b, "  --%s list\n      %s\n%s", sourcesKey, sourcesEnv,
		wrap("Several sources instead of one: in the file a list of the keys of `source`, each entry with a unique name; in flag and variable the same as a JSON array. Earlier sources lie on top.", 6, 96))
	_, err := io.WriteString(w, b.String())
	return err
}

// constraint is Allowed where it says more than the type.
func (k Key) constraint() string {
	switch {
	case k.Kind == Bool, k.Kind == List, k.Kind == Text && len(k.OneOf) == 0:
		return ""
	}
	return k.Allowed()
}

func (k Key) shownDefault() string {
	if k.computed != "" {
		return k.computed
	}
	return k.Default
}

func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}

// wrap breaks text into indented lines of at most width letters.
func wrap(text string, indent, width int) string {
	var b strings.Builder
	margin := strings.Repeat(" ", indent)
	line := margin
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > width && line != margin {
			b.WriteString(line + "\n")
			line = margin
		}
		if line != margin {
			line += " "
		}
		line += word
	}
	b.WriteString(line + "\n")
	return b.String()
}
