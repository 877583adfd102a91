package store

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
)

// stateFormat is the number of the state file's format. A file of a higher
// number was written by a newer Specman and is refused.
const stateFormat = 1

// Bounds of what the state keeps for people to look back at.
const (
	maxHistory  = 50
	maxEvents   = 500
	maxRefusals = 1000
)

// ErrNewer is returned by Open for a store that a newer Specman has written.
var ErrNewer = errors.New("the store was written by a newer Specman")

// state is what state.json holds. A state that is in use is never changed: a
// change is made to a clone, written, and then put in its place.
type state struct {
	Format   int       `json:"format"`
	Releases []Release `json:"releases"`
	// Following is what each source contributes to the view, top first.
	Following map[string][]Contribution `json:"following"`
	View      *ViewRecord               `json:"view,omitempty"` // the served one
	// History is every view that following led to, newest first, the served one
	// included if it is one of them.
	History   []ViewRecord    `json:"history"`
	Pin       *Pin            `json:"pin,omitempty"`
	Refused   []Refusal       `json:"refused"`
	Forgotten []digest.Digest `json:"forgotten"`
	Events    []Event         `json:"events"` // oldest first
	// HighWater is the latest moment at which what is served changed.
	HighWater time.Time `json:"highWater"`
	// Succeeded is when each source's last sync ended well, as far as something was written
	// since.
	Succeeded map[string]time.Time `json:"succeeded,omitempty"`
	// Scrubbed is when the last background check of all files ended.
	Scrubbed time.Time `json:"scrubbed,omitzero"`
}

// Contribution is a held release that a source contributes to the view.
type Contribution struct {
	Tag      string        `json:"tag"`
	Manifest digest.Digest `json:"manifest"`
	Reason   string        `json:"reason"` // of its rank, for people
	// Lost says that its tree was lost and may be had again: it is no part of the view
	// until then, and yet not given up.
	Lost bool `json:"lost,omitempty"`
}

// ViewRecord names a view that is or was served.
type ViewRecord struct {
	ID       string       `json:"id"`
	Releases []ReleaseKey `json:"releases"` // top first
	Since    time.Time    `json:"since"`    // when it was last begun to be served
	// Number counts the views in the order in which following led to them; a
	// step back goes to a lower one.
	Number int `json:"number"`
	// Alone is of a view that following never led to, as `pin --alone` makes them. It is no
	// step: its Number is that of the view before it.
	Alone bool `json:"alone,omitempty"`
}

// Pin holds the served view where it is.
type Pin struct {
	View   string    `json:"view"`
	Number int       `json:"number"` // of the view in the history, 0 for one that following never led to
	Since  time.Time `json:"since"`
	Reason string    `json:"reason"` // what was asked for, for people
}

// Notice tells people of the pin.
func (p *Pin) Notice() string {
	return fmt.Sprintf("the served view is held at %s since %s: %s", p.View, p.Since.UTC().Format(time.RFC3339), p.Reason)
}

// Refusal remembers a manifest that was refused for good reason, and what the
// rules were, so that it is not fetched at each poll.
type Refusal struct {
	Source   string        `json:"source"`
	Tag      string        `json:"tag"`
	Manifest digest.Digest `json:"manifest"`
	Policy   string        `json:"policy"` // a digest of the configuration that judged it
	Stage    string        `json:"stage"`
	Reason   string        `json:"reason"`
	At       time.Time     `json:"at"`
}

// Event is something that an operator may want to look up later.
type Event struct {
	At      time.Time `json:"time"`
	Kind    string    `json:"kind"` // release, swap, failure, refused, rollback, pin, unpin, forget, removed, damage, repair, sync, import, gc
	Source  string    `json:"source,omitempty"`
	Message string    `json:"message"`
	// Count is how many times this happened with nothing but its like between,
	// the last of them At.
	Count int `json:"count"`
}

func (s *state) clone() *state {
	c := *s
	c.Releases = slices.Clone(s.Releases)
	c.Following = maps.Clone(s.Following)
	c.History = slices.Clone(s.History)
	c.Refused = slices.Clone(s.Refused)
	c.Forgotten = slices.Clone(s.Forgotten)
	c.Events = slices.Clone(s.Events)
	return &c
}

// wall is the time of day. What is kept, or compared with what is kept, must not have a
// reading of the monotonic clock in it: that does not see when the clock is set.
// It is a variable for tests.
var wall = func() time.Time { return time.Now().Round(0) }

func (s *state) release(key ReleaseKey) *Release {
	for n := range s.Releases {
		if s.Releases[n].Key() == key {
			return &s.Releases[n]
		}
	}
	return nil
}

func (s *state) event(at time.Time, kind, source, format string, args ...any) {
	e := Event{At: at.UTC(), Kind: kind, Source: source, Message: fmt.Sprintf(format, args...), Count: 1}
	// Registries that are down for days must not push out all that went before,
	// also where several say the same in turn, or one never the same twice.
	for n := len(s.Events) - 1; n >= 0 && s.Events[n].Kind == kind; n-- {
		if s.Events[n].Source == source && s.Events[n].Message == e.Message {
			e.Count += s.Events[n].Count
			s.Events = slices.Delete(s.Events, n, n+1)
			break
		}
	}
	s.Events = append(s.Events, e)
	if len(s.Events) > maxEvents {
		failures := 0
		for _, old := range s.Events {
			if old.Kind == "failure" {
				failures++
			}
		}
		drop := 0
		if failures > maxEvents/2 {
			drop = slices.IndexFunc(s.Events, func(old Event) bool { return old.Kind == "failure" })
		}
		s.Events = slices.Delete(s.Events, drop, drop+1)
	}
}
