package ops

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/poller"
)

// Release is a release that the store holds, or one that it knows to be
// refused. Its JSON is public: docs/api.md.
type Release struct {
	Source string        `json:"source"`
	Tag    string        `json:"tag"`
	Digest digest.Digest `json:"digest"`          // the manifest's
	Layer  digest.Digest `json:"layer,omitempty"` // this and what follows: of a held one only
	Held   bool          `json:"held"`

	Rank   int    `json:"rank"`             // place in the served view, 1 on top; 0: not in it
	Reason string `json:"reason,omitempty"` // of the rank
	// Followed says that the selectors lead to it; without a pin, that is what
	// is served.
	Followed bool `json:"followed"`
	Pinned   bool `json:"pinned"` // in the served view, which is pinned

	Archive      string    `json:"archive,omitempty"` // the layer's title
	ArchiveBytes int64     `json:"archiveBytes"`
	Created      time.Time `json:"created,omitzero"`
	Fetched      time.Time `json:"fetched,omitzero"`
	Files        int       `json:"files"`
	Bytes        int64     `json:"bytes"`   // unpacked
	Skipped      int       `json:"skipped"` // entries of the archive that are not served
	IndexVersion string    `json:"indexVersion,omitempty"`

	store.Coverage           // in the served view
	Damaged        int       `json:"damaged"`           // files known to be damaged on disk
	Lost           bool      `json:"lost"`              // its tree is: nothing of it can be served
	Forgotten      bool      `json:"forgotten"`         // taken out by hand
	OutOfUse       time.Time `json:"outOfUse,omitzero"` // since when retention may remove it

	Refused *Refused `json:"refused,omitempty"`
}

// Refused is why a release was refused.
type Refused struct {
	Stage  string    `json:"stage"`
	Reason string    `json:"reason"`
	At     time.Time `json:"time"`
}

// ReleasesOf lists what a store holds, the served view first, from top to
// bottom; then what is followed; then the rest, the latest first; then, for each
// tag, the digest that was refused last, if none of the tag was got since.
func ReleasesOf(p *store.Snapshot) []Release {
	served := servedReleases(p)
	var followed, rest []Release
	for n := range p.Releases {
		r := releaseOf(p, &p.Releases[n])
		if slices.ContainsFunc(served, r.same) {
			continue
		}
		if r.Damaged, r.Lost = p.Condition(r.Layer); r.Followed {
			followed = append(followed, r)
		} else {
			rest = append(rest, r)
		}
	}
	latest := func(a, b Release) int {
		return cmp.Or(b.Fetched.Compare(a.Fetched), cmp.Compare(a.Tag, b.Tag), cmp.Compare(a.Digest, b.Digest))
	}
	slices.SortFunc(followed, latest)
	slices.SortFunc(rest, latest)
	return list(addRefused(slices.Concat(served, followed, rest), p.Refused))
}

// servedReleases are those of the served view, top first.
func servedReleases(p *store.Snapshot) []Release {
	out := []Release{}
	if p.View == nil {
		return out
	}
	coverage := p.View.Coverage()
	for n := range p.View.Releases() {
		r := releaseOf(p, &p.View.Releases()[n])
		r.Rank, r.Coverage, r.Damaged = n+1, coverage[n], p.View.DamagedFiles(n)
		if r.Pinned = p.Pin != nil && p.Pin.View == p.View.ID(); r.Pinned && r.Reason == "" {
			r.Reason = "held there: " + p.Pin.Reason
		}
		r.OutOfUse = time.Time{} // whatever it was when the view was made
		out = append(out, r)
	}
	return out
}

func releaseOf(p *store.Snapshot, r *store.Release) Release {
	out := Release{
		Source: r.Source, Tag: r.Tag, Digest: r.Manifest, Layer: r.Layer, Held: true,
		Archive: r.Archive, ArchiveBytes: r.Size, Created: r.Created, Fetched: r.Fetched,
		Files: r.Files, Bytes: r.Bytes, Skipped: r.Skipped, IndexVersion: r.IndexVersion, OutOfUse: r.Demoted,
		Forgotten: slices.Contains(p.Forgotten, r.Manifest),
	}
	for _, c := range p.Following[r.Source] {
		if c.Tag == r.Tag && c.Manifest == r.Manifest {
			out.Followed, out.Reason = true, c.Reason
		}
	}
	return out
}

func (r *Release) same(o Release) bool {
	return r.Source == o.Source && r.Tag == o.Tag && r.Digest == o.Digest
}

func addRefused(releases []Release, refused []store.Refusal) []Release {
	last := make(map[[2]string]store.Refusal)
	for _, f := range refused { // the latest comes last
		if f.Stage != string(poller.PassedOver) {
			last[[2]string{f.Source, f.Tag}] = f
		}
	}
	for n := range releases {
		r := &releases[n]
		name := [2]string{r.Source, r.Tag}
		f, ok := last[name]
		switch {
		case !ok:
		case f.Manifest == r.Digest:
			r.Refused = refusedOf(f)
			delete(last, name)
		case r.Fetched.After(f.At):
			delete(last, name)
		}
	}
	var out []Release
	for _, f := range last {
		out = append(out, Release{Source: f.Source, Tag: f.Tag, Digest: f.Manifest, Refused: refusedOf(f)})
	}
	slices.SortFunc(out, func(a, b Release) int {
		return cmp.Or(b.Refused.At.Compare(a.Refused.At), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Tag, b.Tag))
	})
	return append(releases, out...)
}

func refusedOf(f store.Refusal) *Refused { return &Refused{Stage: f.Stage, Reason: f.Reason, At: f.At} }

func (s *Server) getReleases(w http.ResponseWriter, _ *http.Request) {
	p := s.opts.Store.Snapshot()
	defer p.Close()
	s.json(w, http.StatusOK, ReleasesOf(p))
}
