package poller

import (
	"maps"
	"slices"
	"time"
)

// question is what a stage asks of the registry for one follow.
type question struct {
	stage     Stage
	reference string
}

// inTurn returns what is followed in the order in which a stage asks for it. What ended
// without an answer when it was last asked for, and may have ended that sync, comes after
// the others, and among its like what was asked for longest ago comes first. So each has
// its turn, however many others are not to be had.
func (s *pass) inTurn(stage Stage, follows []*follow) []*follow {
	stumbled := func(f *follow) time.Time { return s.stumbled[question{stage, f.Reference}] }
	return slices.SortedStableFunc(slices.Values(follows), func(a, b *follow) int {
		return stumbled(a).Compare(stumbled(b))
	})
}

// hadTurn notes how a stage's question ended: in a failure, or nil. It reports whether the
// one before had ended without an answer: then all others have had their turn.
func (s *pass) hadTurn(stage Stage, f *follow, failure *Failure) (before bool) {
	q := question{stage, f.Reference}
	_, before = s.stumbled[q]
	if failure == nil || !failure.unanswered() && !failure.endsSync() {
		delete(s.stumbled, q)
		return before
	}
	if s.stumbled == nil {
		s.stumbled = make(map[question]time.Time)
	}
	s.stumbled[q] = time.Now()
	return before
}

// forgetTurns drops what is not followed any more.
func (s *pass) forgetTurns() {
	maps.DeleteFunc(s.stumbled, func(q question, _ time.Time) bool {
		return !slices.ContainsFunc(s.follows, func(f *follow) bool { return f.Reference == q.reference })
	})
}
