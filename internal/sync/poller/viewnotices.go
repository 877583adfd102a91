package poller

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"weak"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/selector"
)

// viewNotices are what the served view itself gives rise to. They are of the moment in
// which somebody asks: a view can change between two syncs, by hand or by another source.
type viewNotices struct {
	mu      sync.Mutex
	view    weak.Pointer[store.View] // of which notices are; the id would not do: of a repaired tree an index can be read again
	notices []Notice
}

// viewNotices returns those of the source's own releases in the view that is served, and
// of the imports in it. The caller must not change them.
func (p *Poller) viewNotices() []Notice {
	v := p.Store.Acquire()
	if v == nil {
		return nil
	}
	defer v.Close()
	c := &p.ofView
	c.mu.Lock()
	defer c.mu.Unlock()
	if view := weak.Make(v); c.view != view {
		c.view, c.notices = view, append(p.coveredNotices(v), p.indexNotices(v)...)
	}
	return c.notices
}

// coveredNotices tell of what should be seen and is not.
func (p *Poller) coveredNotices(v *store.View) []Notice {
	var out []Notice
	releases, coverage := v.Releases(), v.Coverage()
	for low := range releases {
		r := &releases[low]
		if r.Source != p.Name && r.Source != store.ImportSource { // for which nobody else speaks
			continue
		}
		// What is imported lies below by design, whatever its version.
		if top := coveredByLower(releases[:low], r); top != nil && coverage[low].Differs > 0 && r.Source != store.ImportSource {
			cure := "change the order of source.select, or push again what should lie on top"
			if top.Source != r.Source {
				cure = "change the order of sources, or push again what should lie on top"
			}
			out = append(out, Notice{
				What: fmt.Sprintf("%s is covered by other content of %s, which is lower, at %d paths", r.Tag, p.nameOf(top), coverage[low].Differs),
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

// indexNotices tell of the versions that the index of a release in the view lists and
// the served one lacks: Palette does not see them.
func (p *Poller) indexNotices(v *store.View) []Notice {
	e, ok := v.Lookup(selector.IndexPath)
	if !ok {
		return nil
	}
	served, _ := selector.IndexVersions(func(name string) (io.ReadCloser, error) { return openIn(v, name) })
	serving := v.Release(e)
	var out []Notice
	for n := range v.Releases() {
		r := &v.Releases()[n]
		if r.IndexVersion == "" {
			continue
		}
		own, _ := selector.IndexVersions(func(name string) (io.ReadCloser, error) { return opened(v.OpenOwn(n, name)) })
		lacking := slices.DeleteFunc(own, func(version string) bool { return lists(served, version) })
		if len(lacking) == 0 {
			continue
		}
		served = append(served, lacking...) // each is said once
		out = append(out, Notice{
			What: fmt.Sprintf("the index of %s lists %s, which the served index, that of %s, does not", p.nameOf(r), few(lacking), p.nameOf(serving)),
			Cure: "push an archive whose index lists them too, or change source.select",
		})
	}
	return out
}

func lists(versions []string, version string) bool {
	return slices.ContainsFunc(versions, func(v string) bool { return selector.CompareVersions(v, version) == 0 })
}

// maxListed is how many versions a notice spells out.
const maxListed = 5

func few(versions []string) string {
	if more := len(versions) - maxListed; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(versions[:maxListed], ", "), more)
	}
	return strings.Join(versions, ", ")
}

// nameOf names a release in a notice of this source.
func (p *Poller) nameOf(r *store.Release) string {
	if r.Source == p.Name {
		return r.Tag
	}
	return r.Tag + " of source " + r.Source
}

// openIn opens a file of a view by its path.
func openIn(v *store.View, name string) (io.ReadCloser, error) {
	e, ok := v.Lookup(name)
	if !ok || e.Kind != store.File {
		return nil, fmt.Errorf("open %q: %w", name, fs.ErrNotExist)
	}
	return opened(v.Open(e))
}

// opened makes no reader of a file that is nil.
func opened(f *os.File, err error) (io.ReadCloser, error) {
	if err != nil {
		return nil, err
	}
	return f, nil
}
