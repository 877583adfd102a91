package ops

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// maxHookBody is the size of a notification that is read, in bytes.
	maxHookBody = 1 << 20
	// hookInterval is the least time between two polls that notifications lead
	// to. A push makes several: one a blob, and the manifest's last.
	hookInterval = 2 * time.Second
)

// HookResult answers a notification. Its JSON is public: docs/api.md.
type HookResult struct {
	Replica string `json:"replica"`
	// Poll says that a poll follows; a notification of a mere download asks for none.
	Poll bool `json:"poll"`
}

// postHook takes a notification of a registry: of zot, Harbor, distribution, or
// anything else. What it says is not relied on: the poll finds out.
func (s *Server) postHook(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxHookBody))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			s.problem(w, http.StatusRequestEntityTooLarge, "a notification of more than %d bytes is not read", maxHookBody)
			return
		}
		s.problem(w, http.StatusBadRequest, "the notification could not be read to its end")
		return
	}
	poll := !onlyPulls(body)
	if poll {
		s.log.Debug("A registry sent a notification", "by", caller(r))
		s.hooks.trigger()
	}
	s.json(w, http.StatusAccepted, HookResult{Replica: s.opts.Replica, Poll: poll})
}

// onlyPulls says whether a notification tells of downloads alone. Polls are
// downloads to a registry: answering each with a poll would never end.
func onlyPulls(body []byte) bool {
	var n struct {
		Type   string                    `json:"type"`   // Harbor: PULL_ARTIFACT; as CloudEvents: harbor.artifact.pulled
		Events []struct{ Action string } `json:"events"` // distribution
	}
	if json.Unmarshal(body, &n) != nil {
		return false
	}
	for _, e := range n.Events {
		if e.Action != "pull" {
			return false
		}
	}
	return len(n.Events) > 0 || n.Type == "PULL_ARTIFACT" || strings.HasSuffix(n.Type, ".pulled")
}

// coalescer calls f at most once per interval: at once if the last call is that
// long ago, else when it is. No trigger is lost: after each, f is called.
type coalescer struct {
	interval time.Duration
	f        func() // quick

	mu    sync.Mutex
	last  time.Time
	due   *time.Timer // nil: no call is due
	ended bool
}

func newCoalescer(interval time.Duration, f func()) *coalescer {
	return &coalescer{interval: interval, f: f}
}

func (c *coalescer) trigger() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch wait := c.interval - time.Since(c.last); {
	case c.ended || c.due != nil:
	case wait > 0:
		c.due = time.AfterFunc(wait, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.due = nil; !c.ended {
				c.call()
			}
		})
	default:
		c.call()
	}
}

func (c *coalescer) call() {
	c.last = time.Now()
	c.f()
}

// stop ends it; a call that is due is dropped.
func (c *coalescer) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if c.due != nil {
		c.due.Stop()
	}
}
