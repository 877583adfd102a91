package httpserve

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// On HTTP/2 a connection can move while an answer on it stands still: its client
// opens no window for it, and sends a PING now and then. Such an answer would
// hold its view and its file for ever, so it is looked at by itself.
//
// What net/http takes of an answer is seen only when a Write returns. So bodies
// are written in pieces, and in small ones once a client was seen to be slow: if
// it takes anything worth the name, a piece is done within the allowed time. A
// client that becomes slow is seen to be while a large piece is under way; that
// may take the longer, the larger it is. The looking costs the quick answers
// nothing that can be measured, and the slow ones no timer each.
const (
	piece     = 16 << 10 // a frame of HTTP/2
	slowPiece = 256
	// timely is how much of a piece is due in the allowed time.
	timely = 4 << 10
	// quickPieces are so many slow ones between two looks that the client is not
	// slow any more.
	quickPieces = 256
	// share is what goes over a connection at most before each of its answers had
	// its turn: a block for each stream, and some more.
	share = 8 << 20
)

// streams are the answers under way on a connection of HTTP/2.
type streams struct {
	total atomic.Int64 // requests so far

	streamsMu sync.Mutex
	answers   []*answer // that have a body to send

	// Of the goroutine that looks.
	idle int   // looks in a row at which there was nothing to answer
	seen int64 // total at the last look
}

// progress is how far an answer is.
type progress struct {
	conn  *conn         // nil: not HTTP/2
	known bool          // it is one of conn.answers
	place int           // there; guarded by streamsMu
	steps atomic.Uint32 // pieces begun and done: odd within one
	size  atomic.Int32  // of the piece
	slow  atomic.Bool

	// Of the goroutine that looks.
	seen  uint32 // steps at the last look
	quiet int    // looks in a row at which nothing had moved
	mark  int64  // conn.sent when something had moved
}

// done notes that a request of HTTP/2 is answered.
func (s *streams) done(a *answer) {
	if !a.known {
		return
	}
	s.streamsMu.Lock()
	defer s.streamsMu.Unlock()
	last := len(s.answers) - 1
	s.answers[a.place] = s.answers[last]
	s.answers[a.place].place = a.place
	s.answers[last] = nil
	s.answers = s.answers[:last]
}

// writePieces is Write, so that it is seen how far it is.
func (a *answer) writePieces(p []byte) (written int, err error) {
	if !a.known {
		s := &a.conn.streams
		s.streamsMu.Lock()
		a.known, a.place = true, len(s.answers)
		s.answers = append(s.answers, a)
		s.streamsMu.Unlock()
	}
	for len(p) > 0 && err == nil {
		slow := a.slow.Load()
		size := min(piece, len(p))
		if slow {
			size = min(slowPiece, len(p))
		}
		n := 0
		a.size.Store(int32(size))
		a.steps.Add(1)
		n, err = a.ResponseWriter.Write(p[:size])
		if slow && err == nil { // or net/http gathers 4 KiB of them
			err = http.NewResponseController(a.ResponseWriter).Flush()
		}
		a.steps.Add(1)
		written += n
		p = p[n:]
	}
	return written, err
}

// look ends the answers of which the client took nothing for that many looks. It
// reports how many answers wait for the client to take something, and whether the
// connection is over: where no request is answered any more, and net/http, which
// closes what is idle, does not: for it there is the end of an answer that the client
// does not take.
func (s *streams) look(c *conn, stall, idle int) (over bool, held int) {
	total := s.total.Load()
	if total == 0 {
		return false, 0 // HTTP/1, or no request yet: the connection is the answer
	}
	busy := c.busy()
	if s.idle++; busy || total != s.seen || c.answering.Load() > 0 {
		s.idle, s.seen = 0, total
	}
	s.streamsMu.Lock() // until it is ended an answer must not return
	defer s.streamsMu.Unlock()
	for _, a := range s.answers {
		if a.look(busy, c.sent.Load()) >= stall*max(1, int(a.size.Load())/timely) {
			_ = http.NewResponseController(a.ResponseWriter).SetWriteDeadline(time.Unix(1, 0)) // resets the stream
		}
		held += int(a.steps.Load() % 2)
	}
	return s.idle >= idle, held
}

// look returns for how many looks nothing has moved.
func (a *answer) look(busy bool, sent int64) int {
	steps := a.steps.Load()
	moved := steps - a.seen
	if moved > 0 || steps%2 == 0 { // or the server itself takes its time
		if a.slow.Load() && moved >= 2*quickPieces {
			a.slow.Store(false)
		}
		a.seen, a.quiet, a.mark = steps, 0, sent
		return 0
	}
	a.slow.Store(true)
	// On a connection that has something to carry, it may be on its way, or its
	// turn is yet to come.
	if !busy || sent-a.mark > share {
		a.quiet++
	}
	return a.quiet
}

// busy says whether the connection has bytes to carry to the client.
func (c *conn) busy() bool {
	if c.writing.Load() {
		return true
	}
	left := unsent(c.Conn)
	return left > 0 && left < unknown
}
