package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/specman/specman/internal/config"
)

func TestParseReference(t *testing.T) {
	sum := "sha256:" + strings.Repeat("a", 64)
	for _, row := range []struct{ text, repository, tag string }{
		{"example.com/a/b:0.0.0", "example.com/a/b", "0.0.0"},
		{"example.com:5000/a:1", "example.com:5000/a", "1"},
		{"[::1]:5000/a:1", "[::1]:5000/a", "1"},
		{"https://example.com/a:1", "https://example.com/a", "1"},
		{"example.com/a@" + sum, "example.com/a", sum},
		{"oci-layout:reg:1", "oci-layout:reg", "1"},
		{"oci-layout:/srv/a:b/reg:1", "oci-layout:/srv/a:b/reg", "1"},
		{"oci-layout:./reg@" + sum, "oci-layout:./reg", sum},
		{"oci-layout:/home/me@work/reg:1", "oci-layout:/home/me@work/reg", "1"},
	} {
		ref, err := parseReference(row.text)
		assert.NoError(t, err, row.text)
		assert.Equal(t, reference{row.repository, row.tag}, ref, row.text)
	}
	for _, row := range []struct{ text, problem string }{
		{"", `"" is no REF`},
		{"oci-layout:", `"oci-layout:" is no REF`},
		{"example.com/a", "names no tag"},
		{"example.com:5000/a", "names no tag"},
		{"example.com/a:", "names no tag"},
		{"oci-layout:reg", "names no tag"},
		{"oci-layout:/srv/reg", "names no tag"},
	} {
		_, err := parseReference(row.text)
		assert.ErrorContains(t, err, row.problem, row.text)
		assert.ErrorAs(t, err, new(usageError), row.text)
	}
}

func TestSettingsOfTheSourceThatIsMeant(t *testing.T) {
	sources := []config.Source{
		{Name: "first", Repository: "a.example.com/x"},
		{Name: "host", Repository: "https://b.example.com/x/"},
		{Name: "exact", Repository: "oci://b.example.com/y"},
		{Name: "layout", Repository: "oci-layout:/srv/reg"},
	}
	for repository, want := range map[string]string{
		"b.example.com/y":         "exact",
		"https://b.example.com/y": "exact",
		"b.example.com/z":         "host",
		"c.example.com/x":         "first",
		"oci-layout:/srv/reg":     "layout",
	} {
		assert.Equal(t, want, sourceFor(sources, repository).Name, repository)
	}
}

func TestFollowed(t *testing.T) {
	sum := "sha256:" + strings.Repeat("a", 64)
	for _, row := range []struct {
		selectors          string
		tag                string
		follows, byPattern bool
	}{
		{"versions", "4.5.13", true, true},
		{"versions", "latest", false, false},
		{"versions,latest", "latest", true, false},
		{"versions,4.5.13", "4.5.13", true, false},
		{"versions", sum, false, false},
		{sum, sum, true, false},
		{"versions", "9.9.9", false, false}, // excluded
	} {
		s := &config.Source{Select: strings.Split(row.selectors, ","), Exclude: []string{"9.9.9"}}
		follows, byPattern, err := followed(s, row.tag)
		assert.NoError(t, err)
		assert.Equal(t, row.follows, follows, row)
		assert.Equal(t, row.byPattern, byPattern, row)
	}
}
