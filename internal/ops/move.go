package ops

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"golang.org/x/sys/unix"

	"github.com/specman/specman/internal/store"
)

// Mover is the store as the calls that change what is served use it.
type Mover interface {
	Acquire() *store.View
	AcquireRecord(store.ViewRecord) (*store.View, error)
	Target(version string, alone bool) (store.ViewRecord, error)
	Pin(target store.ViewRecord, kind, reason string) error
	Desired() store.ViewRecord
	Pinned() *store.Pin
	Unpin(by string) (swapped bool, err error)
	Forget(version, by string) (store.Release, error)
	Releases() []store.Release
}

// MoveRequest asks for another view to be served.
type MoveRequest struct {
	// Version is a view's id, or the tag or manifest digest of a release. Empty
	// means: of a rollback the view before, of a pin the served one.
	Version string
	Alone   bool // the release by itself, not the view in which it lay on top
	DryRun  bool // only tell what would change
	By      string
}

// Move is what changed, or would. Its JSON is public: docs/api.md.
type Move struct {
	Replica string        `json:"replica"` // the one whose view it is: others are not touched
	DryRun  bool          `json:"dryRun"`
	From    string        `json:"from"`    // id of the view that was served; empty: none
	To      string        `json:"to"`      // id of the view that is served now
	Pinned  bool          `json:"pinned"`  // and stays, until unpin
	Top     []ReleaseName `json:"top"`     // releases of the new view, top first
	Added   []string      `json:"added"`   // paths of files
	Removed []string      `json:"removed"` //
	Changed []string      `json:"changed"` // other content at the same path
}

// Rollback serves an earlier view and stays there.
func Rollback(s Mover, r MoveRequest) (Move, error) {
	target, err := s.Target(r.Version, r.Alone)
	if err != nil {
		return Move{}, err
	}
	return hold(s, target, r, "rollback")
}

// PinTo holds a view: the served one, if the request names none.
func PinTo(s Mover, r MoveRequest) (Move, error) {
	if r.Version != "" {
		target, err := s.Target(r.Version, r.Alone)
		if err == nil {
			return hold(s, target, r, "pin")
		}
		if !errors.Is(err, store.ErrAlreadyThere) || s.Pinned() != nil {
			return Move{}, err
		}
		// To hold what is served is what a pin is for.
	}
	v := s.Acquire()
	if v == nil {
		return Move{}, fmt.Errorf("nothing is served that could be pinned: %w", store.ErrNotHeld)
	}
	defer v.Close()
	if pin := s.Pinned(); pin != nil {
		return Move{}, fmt.Errorf("view %s is pinned already, since %s (%s): `specman unpin` lets go of it, `specman pin VERSION` goes elsewhere", pin.View, pin.Since.Format(timeFormat), pin.Reason)
	}
	return hold(s, store.RecordOf(v), r, "pin")
}

// hold tells of the views that it holds, whatever a sync has served meanwhile.
func hold(s Mover, target store.ViewRecord, r MoveRequest, kind string) (Move, error) {
	to, err := s.AcquireRecord(target)
	if err != nil {
		return Move{}, err
	}
	defer to.Close()
	reason := kind
	if r.Version != "" {
		reason += " to " + r.Version
	}
	if r.By != "" {
		reason += ", by " + r.By
	}
	from := s.Acquire()
	if from != nil {
		defer from.Close()
	}
	if !r.DryRun {
		if err := s.Pin(target, kind, reason); err != nil {
			return Move{}, err
		}
	}
	m := moveOf(from, to)
	m.DryRun, m.Pinned = r.DryRun, true
	return m, nil
}

// Follow goes back to following the selectors.
func Follow(s Mover, r MoveRequest) (Move, error) {
	if s.Pinned() == nil {
		return Move{}, errors.New("nothing is pinned: the selectors are followed already")
	}
	to, err := followed(s)
	if err != nil {
		return Move{}, err
	}
	defer func() { to.Close() }()
	from := s.Acquire()
	if from != nil {
		defer from.Close()
	}
	if !r.DryRun {
		if _, err := s.Unpin(r.By); err != nil {
			return Move{}, err
		}
		if now := s.Acquire(); now != nil { // a sync may have contributed since followed looked
			to.Close()
			to = now
		}
	}
	m := moveOf(from, to)
	m.DryRun = r.DryRun
	return m, nil
}

// followed returns, held, the view to which unpin leads. Where nothing is followed, or a
// tree of it is lost, what is served goes on being served, unpinned.
func followed(s Mover) (*store.View, error) {
	target := s.Desired()
	err := fmt.Errorf("nothing is served: %w", store.ErrNotHeld)
	if len(target.Releases) > 0 {
		var to *store.View
		if to, err = s.AcquireRecord(target); err == nil {
			return to, nil
		}
	}
	if v := s.Acquire(); v != nil {
		return v, nil
	}
	return nil, err
}

// moveOf tells what changes for clients from the served view, nil if there is none, to
// another.
func moveOf(from, to *store.View) Move {
	m := Move{Replica: Replica(), To: to.ID(), Top: []ReleaseName{}, Added: []string{}, Removed: []string{}, Changed: []string{}}
	for _, r := range to.Releases() {
		m.Top = append(m.Top, ReleaseName{Source: r.Source, Tag: r.Tag, Digest: r.Manifest})
	}
	if from != nil {
		d := diffViews(from, to)
		m.From, m.Added, m.Removed, m.Changed = d.From, d.Added, d.Removed, d.Changed
	}
	return m
}

// Rollback asks for an earlier view.
func (c *Client) Rollback(ctx context.Context, r MoveRequest) (m Move, err error) {
	return m, c.change(ctx, "/api/v1/rollback", r.query(), &m)
}

// Pin asks for a view to be held.
func (c *Client) Pin(ctx context.Context, r MoveRequest) (m Move, err error) {
	return m, c.change(ctx, "/api/v1/pin", r.query(), &m)
}

// Unpin asks for the selectors to be followed again.
func (c *Client) Unpin(ctx context.Context, r MoveRequest) (m Move, err error) {
	return m, c.change(ctx, "/api/v1/unpin", r.query(), &m)
}

// move answers a call that changes what is served.
func (s *Server) move(act func(Mover, MoveRequest) (Move, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		request, err := moveRequest(r)
		if err != nil {
			s.problem(w, http.StatusBadRequest, "%v", err)
			return
		}
		m, err := act(s.opts.Store, request)
		if err != nil {
			s.refuse(w, err)
			return
		}
		m.Replica = s.opts.Replica
		if !m.DryRun {
			s.logMove(m, request.By)
		}
		s.json(w, http.StatusOK, m)
	}
}

// logMove tells of a change by hand. A pin, or its end, need not change what is served.
func (s *Server) logMove(m Move, by string) {
	switch {
	case m.From != m.To:
		s.log.Warn("What is served was changed by hand", "by", by, "from", m.From, "to", m.To, "pinned", m.Pinned)
	case m.Pinned:
		s.log.Warn("What is served is held by hand", "by", by, "view", m.To)
	default:
		s.log.Warn("What is served is not held any more, by hand", "by", by, "view", m.To)
	}
}

// refuse answers with the status that an error of the store stands for.
func (s *Server) refuse(w http.ResponseWriter, err error) {
	status := http.StatusConflict
	switch {
	case errors.Is(err, store.ErrNotHeld):
		status = http.StatusNotFound
	case errors.Is(err, store.ErrNoSpace):
		status = http.StatusInsufficientStorage
	case errors.Is(err, unix.EROFS):
		err = fmt.Errorf("%w: %s", err, store.ReadOnlyCure)
	}
	s.problem(w, status, "%v", err)
}
