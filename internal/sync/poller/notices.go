package poller

import (
	"fmt"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/selector"
)

// maxNotices is how many lines of the log a poll spends on what stands.
const maxNotices = 5

// notices lists what a person should know while it stands, the gravest first.
func (s *pass) notices() []Notice {
	var out []Notice
	add := func(logged bool, cure, format string, args ...any) {
		out = append(out, Notice{What: fmt.Sprintf(format, args...), Cure: cure, logged: logged})
	}
	for _, f := range s.follows {
		logged := f.failure != nil
		switch f.state() {
		case Refused:
			add(logged, "mend and push it again; `specman sync --force` fetches it again and lets pass what only the gate refused",
				"%s (%s) is refused at stage %s: %s", f.Reference, f.registry, f.refusal.Stage, f.refusal.Reason)
		case Missing:
			switch {
			case f.registry == "" && f.failure == nil: // the failure of the sync says it
			default:
				add(logged, "see the failure; it is tried again at each sync", "%s is followed but not held", f.Reference)
			}
		case Forgotten:
			add(false, "`specman sync --force` takes it back", "%s (%s) was taken out by `specman forget`", f.Reference, f.registry)
		case Behind:
			if f.passedOver {
				add(false, "push an archive under the tag again, or `specman forget` what is served", "%s holds no archive any more, and its last content is served: %s", f.Reference, f.refusal.Reason)
				continue
			}
			add(logged, "see the failure; it is tried again at each sync", "%s is served at an older digest than the registry's", f.Reference)
		case Unknown:
			if f.failure != nil {
				add(true, f.failure.Cure, "the registry cannot be asked for %s: %s", f.Reference, f.failure.Reason)
			}
		case Vanished:
			add(logged, "push it again, or `specman forget` it", "%s has vanished from the registry; its last content is served", f.Reference)
		}
	}
	for _, f := range s.failures {
		if f.Tag == "" && !f.quiet {
			add(true, f.Cure, "the last sync failed at stage %s: %s", f.Stage, f.Reason)
		}
	}
	return append(out, s.viewNotices()...)
}

// pinNotice is for the log alone: whoever asks for the status hears of the pin as it is
// then.
func (s *pass) pinNotice() []Notice {
	pin := s.Store.Pinned()
	if pin == nil {
		return nil
	}
	return []Notice{{What: pin.Notice(), Cure: "`specman unpin` goes back to following"}}
}

// viewNotices are those that the served view itself gives rise to.
func (s *pass) viewNotices() []Notice {
	v := s.Store.Acquire()
	if v == nil {
		return nil
	}
	defer v.Close()
	var out []Notice
	releases, coverage := v.Releases(), v.Coverage()
	for low := range releases {
		r := &releases[low]
		if r.Source != s.Name && r.Source != store.ImportSource { // for which nobody else speaks
			continue
		}
		if top := coveredByLower(releases[:low], r); top != nil && coverage[low].Differs > 0 {
			cure := "change the order of source.select, or push again what should lie on top"
			if top.Source != r.Source {
				cure = "change the order of sources, or push again what should lie on top"
			}
			out = append(out, Notice{
				What: fmt.Sprintf("%s is covered by other content of %s, which is lower, at %d paths", r.Tag, top.Tag, coverage[low].Differs),
				Cure: cure,
			})
		}
		if named, total := v.Skipped(low); total > 0 && len(named) > 0 {
			out = append(out, Notice{
				What: fmt.Sprintf("%d entries of the archive of %s are not served, %q the first: %s", total, r.Tag, named[0].Name, named[0].Reason),
				Cure: "`specman inspect` lists them; links must stay inside the tree",
			})
		}
	}
	if n := indexLack(v); n != nil {
		out = append(out, *n)
	}
	return out
}

// coveredByLower returns the first release above r whose version is lower. What
// has no version, as 0.0.0 without an index, is neither lower nor higher.
func coveredByLower(above []store.Release, r *store.Release) *store.Release {
	for n := range above {
		a, b := version(&above[n]), version(r)
		if a != "" && b != "" && selector.CompareVersions(a, b) < 0 {
			return &above[n]
		}
	}
	return nil
}

// version is what a release counts as: its tag if that is a version other than
// 0.0.0, else the highest that its own index lists, "" if it has none.
func version(r *store.Release) string {
	if selector.IsVersion(r.Tag) && selector.CompareVersions(r.Tag, "0.0.0") > 0 {
		return r.Tag
	}
	return r.IndexVersion
}

// indexLack tells of a version that the index of a release in the view lists
// and the served index does not reach.
func indexLack(v *store.View) *Notice {
	e, ok := v.Lookup(selector.IndexPath)
	if !ok {
		return nil
	}
	serving := v.Release(e)
	for _, r := range v.Releases() {
		if r.IndexVersion != "" && selector.CompareVersions(serving.IndexVersion, r.IndexVersion) < 0 {
			return &Notice{
				What: fmt.Sprintf("the index of %s lists %s, the served index of %s ends at %s", r.Tag, r.IndexVersion, serving.Tag, serving.IndexVersion),
				Cure: "push an archive whose index lists both, or change source.select",
			}
		}
	}
	return nil
}

// logNotices logs what stands, but for what this sync has logged as a failure.
func (p *Poller) logNotices(notices []Notice) {
	logged, left := 0, 0
	for _, n := range notices {
		switch {
		case n.logged:
		case logged == maxNotices-1 && len(notices) > maxNotices:
			left++
		default:
			p.log.Warn(n.What, "cure", n.Cure)
			logged++
		}
	}
	if left > 0 {
		p.log.Warn(fmt.Sprintf("%d more things should be known", left), "cure", "`specman status` lists them")
	}
}
