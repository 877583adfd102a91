package main

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/specman/specman/internal/config"
	"github.com/specman/specman/internal/sync/oci"
	"github.com/specman/specman/internal/sync/selector"
)

const layoutScheme = "oci-layout:"

// reference is what REF on a command line names: host/repo:tag, host/repo@digest,
// oci-layout:DIR:TAG or oci-layout:DIR@digest.
type reference struct {
	repository string // as source.repository has it
	tag        string // or a digest
}

func (r reference) isLayout() bool { return strings.HasPrefix(r.repository, layoutScheme) }

// layoutDir is the folder of a layout.
func (r reference) layoutDir() string { return strings.TrimPrefix(r.repository, layoutScheme) }

func (r reference) isDigest() bool { return strings.Contains(r.tag, ":") }

const refShape = "a REF is host/repository:tag or oci-layout:DIR:TAG"

// parseReference reads a REF. That the repository can be one is for oci.Open to say.
func parseReference(text string) (reference, error) {
	repository, name := text, ""
	if before, after, ok := strings.Cut(text, "@"); ok && digest.Digest(after).Validate() == nil {
		repository, name = before, after
	} else {
		// The last colon is the tag's, unless it is the scheme's or a port's.
		n := strings.LastIndexByte(text, ':')
		if n > strings.LastIndexByte(text, '/') && text[:n+1] != layoutScheme {
			repository, name = text[:n], text[n+1:]
		}
	}
	switch {
	case strings.TrimPrefix(repository, layoutScheme) == "":
		return reference{}, usageError{withCure(fmt.Errorf("%q is no REF", text), refShape)}
	case name == "":
		return reference{}, usageError{withCure(fmt.Errorf("REF %q names no tag", text), refShape+", as in "+text+":0.0.0")}
	}
	return reference{repository, name}, nil
}

// openReference connects to where ref lies, as a source is connected to. Of several
// sources the settings are those of the one that has the repository, else of one at
// the same host, else of the first.
func (a *app) openReference(cfg *config.Config, ref reference, log *slog.Logger) (*oci.Repository, *config.Source, error) {
	source := *sourceFor(cfg.Sources, ref.repository)
	source.Repository = ref.repository
	repository, err := oci.Open(connection(&source, nil, log))
	if err != nil {
		return nil, nil, usageError{fmt.Errorf("connect to %s: %w", ref.repository, err)}
	}
	return repository, &source, nil
}

func sourceFor(sources []config.Source, repository string) *config.Source {
	clean := func(repository string) string {
		if _, rest, ok := strings.Cut(repository, "://"); ok {
			repository = rest
		}
		return strings.Trim(repository, "/")
	}
	host := func(repository string) string {
		host, _, _ := strings.Cut(clean(repository), "/")
		return host
	}
	for n := range sources {
		if clean(sources[n].Repository) == clean(repository) {
			return &sources[n]
		}
	}
	for n := range sources {
		if host(sources[n].Repository) == host(repository) {
			return &sources[n]
		}
	}
	return &sources[0]
}

// followed says how a source's selectors see a tag or digest: whether they follow
// it, and whether only because a pattern matches.
func followed(s *config.Source, tag string) (follows, byPattern bool, err error) {
	selectors, err := selector.ParseAll(s.Select)
	if err != nil {
		return false, false, err
	}
	var listed []string
	if digest.Digest(tag).Validate() != nil {
		listed = []string{tag}
	}
	for _, f := range selector.Choose(listed, selectors, s.Exclude, 0).Followed {
		if f.Reference == tag {
			return true, f.ByPattern && !f.Named, nil
		}
	}
	return false, false, nil
}

// errNeedsTag is what a digest gets where something is to be given a name.
var errNeedsTag = errors.New("a push needs a tag, not a digest")
