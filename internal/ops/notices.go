package ops

import (
	"fmt"
	"slices"

	"github.com/specman/specman/internal/store"
)

// Notice is something that a person should know while it stands.
type Notice struct {
	Source string `json:"source,omitempty"` // empty: it is of no single source
	What   string `json:"what"`
	Cure   string `json:"cure"`
}

// damageNotices are of what is wrong with the store itself.
func damageNotices(p *store.Snapshot) (notices []Notice) {
	add := func(cure, format string, args ...any) {
		notices = append(notices, Notice{What: fmt.Sprintf(format, args...), Cure: cure})
	}
	const repair = "the next sync repairs it; `specman verify --repair` does it now"
	if p.Damage != nil {
		add("the next sync that succeeds completes it, and what the trees hold is not fetched again; `specman import` what was imported", "the store's state is damaged: %v", p.Damage)
	}
	switch {
	case p.Expected == nil:
	case p.View == nil:
		add(repair, "no held view is whole: nothing can be served")
	case p.View.ID() != p.Expected.ID:
		add(repair, "view %s is damaged on disk; view %s is in its place", p.Expected.ID, p.View.ID())
	}
	if p.View != nil {
		for n, r := range p.View.Releases() {
			repair := repair
			switch {
			case r.Source == store.ImportSource: // no registry is asked for it
				repair = "import it again with `specman import`"
			case !releaseOf(p, &r).Followed: // nor for what only a pin holds
				repair = "`specman verify --repair` repairs it, from another tree or the registry"
			}
			if damaged := p.View.DamagedFiles(n); damaged > 0 {
				add(repair, "%d files of %s (%s) are damaged on disk and not served from there", damaged, r.Tag, r.Manifest)
			}
			if p.View.FolderDamaged(n) {
				add(repair, "the folder of %s (%s) is damaged on disk: a restart could not serve it", r.Tag, r.Manifest)
			}
		}
	}
	return notices
}

// pinNotice tells of a pin.
func pinNotice(p *store.Snapshot) []Notice {
	if p.Pin == nil {
		return nil
	}
	return []Notice{{
		What: p.Pin.Notice(),
		Cure: "`specman unpin` goes back to following",
	}}
}

// distinct joins lists of notices. What several tell is told once, in the first
// one's place, and is of no single source.
func distinct(lists ...[]Notice) []Notice {
	out := []Notice{}
	for _, n := range slices.Concat(lists...) {
		known := slices.IndexFunc(out, func(o Notice) bool { return o.What == n.What })
		switch {
		case known < 0:
			out = append(out, n)
		case out[known].Source != n.Source:
			out[known].Source = ""
		}
	}
	return out
}
