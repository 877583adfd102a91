package poller

import (
	"fmt"

	"github.com/opencontainers/go-digest"
)

// maxNotices is how many lines of the log a poll spends on what stands.
const maxNotices = 5

// RefusedCure is what to do about a release that is refused.
const RefusedCure = "mend and push it again; `specman sync --force` fetches it again and lets pass what only the gate refused"

// LostCure is what to do about a followed release whose tree is lost.
const LostCure = "the next sync that can fetches it anew; `specman verify --repair` asks now, and `specman import` brings it without a registry"

// LostNotice tells of such a release.
func LostNotice(reference string, manifest digest.Digest) string {
	return fmt.Sprintf("%s (%s) is followed and cannot be served: its tree is damaged or missing", reference, manifest)
}

// notices lists what a person should know of this sync while it stands, the gravest
// first.
func (s *pass) notices() []Notice {
	var out []Notice
	var about string
	add := func(logged bool, cure, format string, args ...any) {
		out = append(out, Notice{What: fmt.Sprintf(format, args...), Cure: cure, logged: logged, about: about})
	}
	for _, f := range s.follows {
		about = f.Reference
		logged := f.failure != nil
		switch f.state() {
		case Refused:
			add(logged, RefusedCure,
				"%s (%s) is refused at stage %s: %s", f.Reference, f.registry, f.refusal.Stage, f.refusal.Reason)
		case Missing:
			switch {
			case f.lost != nil && f.failure == nil: // whatever else has failed says nothing of it
				out = append(out, Notice{What: LostNotice(f.Reference, f.lost.Manifest), Cure: LostCure, about: about})
			case f.registry == "" && f.failure == nil: // the failure of the sync says it
			default:
				add(logged, "see the failure; it is tried again at each sync", "%s is followed but not held", f.Reference)
			}
		case Forgotten:
			out = append(out, forgottenNotice(f.Reference, f.registry))
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
	about = ""
	for _, f := range s.failures {
		if f.Tag == "" && !f.quiet {
			add(true, f.Cure, "the last sync failed at stage %s: %s", f.Stage, f.Reason)
		}
	}
	return out
}

func forgottenNotice(reference string, manifest digest.Digest) Notice {
	return Notice{
		What: fmt.Sprintf("%s (%s) was taken out by `specman forget`", reference, manifest),
		Cure: "`specman sync --force` takes it back", about: reference,
	}
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
