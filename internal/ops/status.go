package ops

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/poller"
)

// maxStatusHistory is how many of the views that were served a status lists.
const maxStatusHistory = 20

// Status is how the service is doing. Its JSON is public: docs/api.md.
type Status struct {
	Notices []Notice `json:"notices"` // what a person should know, the gravest first
	Running bool     `json:"running"` // false: read from the store of a service that does not run
	Ready   bool     `json:"ready"`
	Reason  string   `json:"reason,omitempty"` // why it is not ready

	Replica  string    `json:"replica"`
	Version  string    `json:"version"`
	Revision string    `json:"revision"`
	Started  time.Time `json:"started,omitzero"` // of the process

	Served  *Served         `json:"served"` // null: nothing; of a stopped service, what it would serve
	Pinned  *store.Pin      `json:"pinned"` // null: the selectors are followed
	Sources []poller.Status `json:"sources"`
	Store   StoreStatus     `json:"store"`
	History []PastView      `json:"history"` // newest first, the served view included
}

// Served is the served view.
type Served struct {
	View       string    `json:"view"` // its id
	Since      time.Time `json:"since,omitzero"`
	Files      int       `json:"files"`
	Bytes      int64     `json:"bytes"`
	Incomplete bool      `json:"incomplete"` // something is followed that is not held
	Releases   []Release `json:"releases"`   // top first
}

// StoreStatus is what is on disk.
type StoreStatus struct {
	Dir string `json:"dir"`
	store.Space
	Releases int `json:"releases"` // held
}

// PastView is a view of the history.
type PastView struct {
	View     string        `json:"view"`
	Since    time.Time     `json:"since"` // when it was last begun to be served
	Served   bool          `json:"served"`
	Releases []ReleaseName `json:"releases"` // top first
}

// ReleaseName names a release.
type ReleaseName struct {
	Source string        `json:"source"`
	Tag    string        `json:"tag"`
	Digest digest.Digest `json:"digest"` // the manifest's
}

// StatusOf is the part of a status that a store alone can tell.
func StatusOf(p *store.Snapshot) Status {
	st := Status{
		Notices: distinct(damageNotices(p), pinNotice(p)), Replica: Replica(), Pinned: p.Pin, Sources: []poller.Status{},
		Store: StoreStatus{Dir: p.Dir, Releases: len(p.Releases)}, History: []PastView{},
	}
	var err error
	if st.Store.Space, err = p.Space(); err != nil {
		st.Notices = append(st.Notices, Notice{What: err.Error(), Cure: "look at the volume of store.dir"})
	}
	if st.Store.ReadOnly {
		st.Notices = append(st.Notices, Notice{What: "the volume of store.dir is read-only: what is held is served, and nothing new can be stored", Cure: store.ReadOnlyCure})
	}
	served := servedPlace(p)
	for n, h := range p.History[:min(len(p.History), maxStatusHistory)] {
		past := PastView{View: h.ID, Since: h.Since}
		if n == served {
			past.Served, past.Since = true, p.Since
		}
		for _, k := range h.Releases {
			past.Releases = append(past.Releases, ReleaseName{Source: k.Source, Tag: k.Tag, Digest: k.Manifest})
		}
		st.History = append(st.History, past)
	}
	if p.View != nil {
		files, bytes := p.View.Files()
		st.Served = &Served{View: p.View.ID(), Since: p.Since, Files: files, Bytes: bytes, Releases: servedReleases(p)}
	}
	return st
}

// StatusOfStopped is the status of a store that no service runs on: what its last syncs
// refused, or missed, is all that is known of a registry.
func StatusOfStopped(p *store.Snapshot) Status {
	st := StatusOf(p)
	for _, source := range slices.Sorted(maps.Keys(p.Following)) {
		for _, c := range p.Following[source] {
			if !c.Lost {
				continue
			}
			st.Notices = append(st.Notices, Notice{Source: source, What: poller.LostNotice(c.Tag, c.Manifest), Cure: poller.LostCure})
			if st.Served != nil {
				st.Served.Incomplete = true
			}
		}
	}
	for _, r := range p.Refused {
		contributes := slices.IndexFunc(p.Following[r.Source], func(c store.Contribution) bool { return c.Tag == r.Tag })
		switch {
		case r.Stage == string(poller.PassedOver):
			continue
		case contributes < 0 && st.Served != nil:
			st.Served.Incomplete = true
		case contributes >= 0 && gotSince(p, r, p.Following[r.Source][contributes].Manifest):
			continue // what was pushed after it was taken
		}
		st.Notices = append(st.Notices, Notice{
			Source: r.Source, What: fmt.Sprintf("%s (%s) was refused at stage %s: %s", r.Tag, r.Manifest, r.Stage, r.Reason),
			Cure: poller.RefusedCure,
		})
	}
	return st
}

// gotSince says whether a release was got after another one of its tag was refused.
func gotSince(p *store.Snapshot, refused store.Refusal, manifest digest.Digest) bool {
	return slices.ContainsFunc(p.Releases, func(r store.Release) bool {
		return r.Source == refused.Source && r.Tag == refused.Tag && r.Manifest == manifest && r.Fetched.After(refused.At)
	})
}

// servedPlace is the place of the served view in the history, -1 if it has none.
// Following may have led to one view several times: its number says which is meant.
func servedPlace(p *store.Snapshot) int {
	if p.View == nil {
		return -1
	}
	id := p.View.ID()
	return slices.IndexFunc(p.History, func(h store.ViewRecord) bool {
		return h.ID == id && (h.Number == p.Expected.Number || p.Expected.ID != id)
	})
}

// status is all that the running service knows.
func (s *Server) status() Status {
	p := s.opts.Store.Snapshot()
	defer p.Close()
	return s.statusOf(p)
}

// statusOf is status, of what the store held at one moment.
func (s *Server) statusOf(p *store.Snapshot) Status {
	var sources []poller.Status
	for _, p := range s.opts.Pollers() {
		sources = append(sources, p.Status())
	}
	if len(sources) > 0 && !slices.ContainsFunc(sources, func(source poller.Status) bool { return !source.LastSuccess.After(s.started) }) {
		p.Damage = nil // of a start; every source has completed the state since
	}
	st := StatusOf(p)
	st.Running, st.Started = true, s.started.UTC()
	st.Replica, st.Version, st.Revision = s.opts.Replica, s.opts.Version, s.opts.Revision
	if st.Ready = s.isReady(); !st.Ready {
		st.Reason = s.Why()
	}
	var polled []Notice
	for _, source := range sources {
		for _, n := range source.Notices {
			polled = append(polled, Notice{Source: source.Source, What: n.What, Cure: n.Cure})
		}
		st.add(source)
	}
	// What StatusOf has found itself comes last, but for damage.
	st.Notices = distinct(damageNotices(p), s.opts.Notices(), polled, st.Notices)
	return st
}

// add puts in what a source's poller knows.
func (s *Status) add(source poller.Status) {
	source.Failures, source.Followed = list(source.Failures), list(source.Followed)
	source.LeftOut, source.Notices = list(source.LeftOut), list(source.Notices)
	s.Sources = append(s.Sources, source)
	if s.Served != nil && slices.ContainsFunc(source.Followed, func(f poller.Followed) bool {
		return f.Contributes == "" && f.State != poller.PassedOver && f.State != poller.Forgotten
	}) {
		s.Served.Incomplete = true
	}
}

// list makes a list that JSON shows as [] and not as null.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

func (s *Server) getStatus(w http.ResponseWriter, _ *http.Request) {
	s.json(w, http.StatusOK, s.status())
}
