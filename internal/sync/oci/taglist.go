package oci

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

const (
	// maxTagPages ends a list that has no end: 10,000 tags in pages of 20.
	maxTagPages = 500
	// maxTagPageBytes lets a registry send all tags at once, as some do.
	maxTagPageBytes = 16 << 20
)

// tags lists them page by page (distribution specification, "Listing Tags").
func (r *remoteRepository) tags(ctx context.Context) ([]string, error) {
	s, err := r.sessions.get()
	if err != nil {
		return nil, explain(err, opTags, r.target(""))
	}
	list := tagList{seen: make(map[string]bool)}
	next := r.url("tags/list")
	for page := 0; next != ""; page++ {
		var names []string
		if page == maxTagPages {
			err = malformed("it has more than %d pages", maxTagPages)
		} else if names, next, err = r.tagPage(ctx, s, next); err == nil {
			err = list.add(names)
		}
		if err != nil {
			return nil, explain(err, opTags, r.target(""))
		}
	}
	return list.tags, nil
}

// tagPage returns the tags of one page, and the URL of the next one or "".
func (r *remoteRepository) tagPage(ctx context.Context, s *session, page string) (tags []string, next string, err error) {
	resp, err := r.requestURL(ctx, s, http.MethodGet, page, nil)
	if err != nil {
		return nil, "", err
	}
	defer discard(resp)
	raw, err := readBounded(resp.Body, maxTagPageBytes)
	if err != nil {
		return nil, "", err
	}
	var body struct {
		Tags []string `json:"tags"`
	}
	if err := json.Unmarshal(raw, &body); err != nil {
		return nil, "", malformed("the answer is no list of tags: %w", err)
	}
	next, err = nextPage(resp)
	return body.Tags, next, err
}

// nextPage finds the URL of the next page in the Link header (RFC 8288), or "". A link
// without a relation is taken for it. It may not lead to another origin: a registry
// could have any address asked in its stead.
func nextPage(resp *http.Response) (string, error) {
	for _, header := range resp.Header.Values("Link") {
		before, links, found := strings.Cut(header, "<")
		if strings.Trim(before, ", \t") != "" {
			return "", malformed("the Link header %q cannot be read", header)
		}
		if !found {
			continue
		}
		for link := range strings.SplitSeq(links, "<") {
			target, params, closed := strings.Cut(link, ">")
			if !closed {
				return "", malformed("the Link header %q cannot be read", header)
			}
			if isNext(params) {
				return sameOrigin(resp.Request.URL, target)
			}
		}
	}
	return "", nil
}

// isNext looks for the relation "next" in a link's parameters.
func isNext(params string) bool {
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(param, "=")
		if strings.EqualFold(strings.TrimSpace(name), "rel") {
			relations := strings.Fields(strings.Trim(value, "\", \t"))
			return slices.ContainsFunc(relations, func(r string) bool { return strings.EqualFold(r, "next") })
		}
	}
	return true
}

// sameOrigin resolves a link of a page (RFC 6454 for the origin).
func sameOrigin(page *url.URL, link string) (string, error) {
	next, err := page.Parse(link)
	if err != nil {
		return "", malformed("the next page's URL: %w", err)
	}
	if !strings.EqualFold(next.Scheme, page.Scheme) || !strings.EqualFold(HostPort(next), HostPort(page)) {
		e := malformed("the next page lies at %s, which is not the same origin as %s", next.Host, page.Host)
		e.Cure = "the registry's own external URL is set wrong, so that the next page of tags lies at another host: correct it there (Artifactory: custom base URL; Nexus and proxies: X-Forwarded-Proto and -Host)"
		return "", e
	}
	return next.String(), nil
}

// tagList collects pages of tags, and ends a list that goes in a circle. One
// page without a new tag is no circle: some registries begin a page with the
// last tag of the page before.
type tagList struct {
	tags  []string
	seen  map[string]bool
	stale int // pages in a row without a new tag
}

func (l *tagList) add(page []string) error {
	before := len(l.tags)
	for _, tag := range page {
		if !l.seen[tag] {
			l.seen[tag] = true
			l.tags = append(l.tags, tag)
		}
	}
	if len(l.tags) > before {
		l.stale = 0
	} else if l.stale++; l.stale > 2 {
		e := malformed("its pages of tags go in a circle")
		e.Cure = "the registry, or a proxy before it, drops the query of the next page's URL"
		return e
	}
	return nil
}
