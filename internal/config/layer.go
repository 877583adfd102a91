package config

import "maps"

// setting is one value of one layer. A nil value was wrong and has been reported;
// that it was set still counts, so that one mistake does not make two.
type setting struct {
	value  any
	origin Origin
}

// settings are values by the names of the table.
type settings map[string]setting

// given says whether somebody set the key to more than an empty text or list.
func (s settings) given(name string) bool {
	set, ok := s[name]
	if !ok || set.origin == fromDefault {
		return false
	}
	switch v := set.value.(type) {
	case string:
		return v != ""
	case []string:
		return len(v) > 0
	}
	return true
}

// text is the value of a Text key, or "" where it is unset or was wrong.
func (s settings) text(name string) string {
	text, _ := s[name].value.(string)
	return text
}

func (s settings) isTrue(name string) bool {
	yes, _ := s[name].value.(bool)
	return yes
}

// layer is what one place (file, environment, flags) says.
type layer struct {
	values settings
	// sources is the list of that name; nil where there is none.
	sources *sourceList
}

type sourceList struct {
	origin  Origin
	entries []sourceEntry
}

// sourceEntry is one item of `sources`; its values are named as those of `source`.
type sourceEntry struct {
	shown  string // sources[0], as messages call it
	origin Origin
	name   setting
	named  bool // a name is there, if perhaps a wrong one
	values settings
}

// overlay lays settings over each other, the last one on top, over the defaults. A value
// and its File twin are two ways to say one thing: the upper layer's takes away the other
// one of those below.
func overlay(keys []Key, layers ...settings) settings {
	merged := make(settings, len(keys))
	for _, k := range keys {
		merged[k.Name] = setting{value: k.defaultValue(), origin: fromDefault}
	}
	for _, l := range layers {
		for _, k := range keys {
			if !k.Twin {
				continue
			}
			file := fileTwin(k)
			if l.given(k.Name) {
				merged[file.Name] = setting{value: file.defaultValue(), origin: fromDefault}
			}
			if l.given(file.Name) {
				merged[k.Name] = setting{value: k.defaultValue(), origin: fromDefault}
			}
		}
		maps.Copy(merged, l)
	}
	return merged
}
