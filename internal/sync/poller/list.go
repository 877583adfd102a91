package poller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/oci"
	"github.com/specman/specman/internal/sync/selector"
)

// maxLoggedTags bounds the line of the log that lists the tags.
const maxLoggedTags = 100

// list asks for the tags and applies the selectors.
func (s *pass) list(ctx context.Context) (goOn bool) {
	before := s.Store.Following(s.Name)
	tags, err := s.Source.Tags(ctx)
	if err == nil {
		s.logTags(tags)
	}
	if err == nil || oci.KindOf(err) == oci.Absent {
		s.seen.tags = tags
	}
	// What was contributed stays followed, in the list or not, for as long as
	// the selectors ask for it.
	known := slices.Clone(s.seen.tags)
	var held []string
	for _, c := range before {
		known, held = append(known, c.Tag), append(held, c.Tag)
	}
	choice := selector.Choose(known, s.Select, s.Exclude, s.MaxReleases)
	s.leftOut = choice.LeftOut
	s.kept = selector.Choose(held, s.Select, s.Exclude, s.MaxReleases).Followed
	for _, f := range choice.Followed {
		fw := s.follow(f, before)
		fw.listed = slices.Contains(tags, f.Reference)
		s.follows = append(s.follows, fw)
	}
	for _, f := range s.follows {
		s.recall(f)
	}
	switch {
	case err != nil:
		return s.listMayFail(err, before)
	case len(tags) == 0:
		return s.empty(&oci.Error{Operation: "tags", Target: s.Repository, Kind: oci.Absent, Err: errors.New("the repository has no tags")}, before)
	case len(s.follows) == 0:
		f := fail(StageList, "", "", fmt.Errorf("none of the %d tags is selected by source.select", len(tags)))
		f.Cure = "push a tag that it selects, or add the tag to source.select"
		if len(s.Exclude) > 0 {
			f.Cure += "; what source.exclude names is never followed"
		}
		return s.failed(f)
	}
	return true
}

// listMayFail says whether a sync can go on without the list, and reports the
// failure where it cannot.
func (s *pass) listMayFail(err error, before []store.Contribution) bool {
	f := fail(StageList, "", "", err)
	exact := !slices.ContainsFunc(s.Select, selector.Selector.Pattern)
	switch {
	case f.kind() == oci.Forbidden && exact:
		s.log.Warn("The tags may not be listed; going on with those that source.select names", "error", f.Reason, "cure", f.Cure)
		return true
	case f.kind() == oci.Absent:
		return s.empty(err, before)
	}
	s.failed(f)
	return false
}

// empty deals with a repository that has nothing. Before anything was ever had
// from it, that is no fault: somebody is about to push.
func (s *pass) empty(err error, before []store.Contribution) bool {
	for _, f := range s.follows {
		s.gone(f)
	}
	f := fail(StageList, "", "", fmt.Errorf("nothing was pushed yet to %s: %w", s.Repository, err))
	f.Cure = "push an archive: oras push REPOSITORY:0.0.0 manifests.tgz"
	if f.quiet = len(before) == 0; !f.quiet {
		f.Reason = fmt.Sprintf("%s has become empty: %v", s.Repository, err)
		f.Cure = "what is held is still served; push it again (specman export makes the archive), or check source.repository"
	}
	s.failed(f)
	return false
}

func (s *pass) logTags(tags []string) {
	if len(tags) > maxLoggedTags {
		s.log.Info(fmt.Sprintf("tags%v", tags[:maxLoggedTags]), "more", len(tags)-maxLoggedTags)
		return
	}
	s.log.Info("tags[" + strings.Join(tags, " ") + "]")
}
