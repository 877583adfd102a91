package poller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/gate"
	"github.com/specman/specman/internal/sync/oci"
	"github.com/specman/specman/internal/sync/selector"
)

// pass is one sync of a source, from the list of tags to the swap.
type pass struct {
	*Poller
	ask      Ask
	follows  []*follow           // as the selectors order them
	kept     []selector.Followed // of what was contributed before, what the selectors would still ask for
	leftOut  []string
	failures []*Failure
	got      []string
	back     []store.Release // taken back: they were forgotten
	swapped  bool
	broken   int // requests in a row that brought no answer
	required *gate.Required
	others   []store.Release // what other sources contributed when this sync began, top first
}

// seen is what the registry said when it was last asked. While it cannot be
// asked, that is still what is known of it.
type seen struct {
	tags    []string
	digests map[string]digest.Digest // by tag
}

// follow is one followed tag, or digest, on its way through a sync.
type follow struct {
	selector.Followed
	listed     bool           // in the registry's list
	registry   digest.Digest  // what it resolved to when last asked, "" if that is not known
	asked      bool           // in this sync
	release    *store.Release // what it contributes, nil for nothing yet
	lost       *store.Release // what it contributed and cannot be read
	moving     *store.Release // held, and to be judged: the tag contributes another one
	waiting    *store.Release // got, and to contribute if others bring what the view would lack with it
	manifest   *oci.Manifest  // fetched, to be had
	vanished   bool           // gone from the registry
	forgotten  bool           // the registry's digest was taken out by hand
	excluded   bool           // the registry's digest is; what was contributed before may stay
	passedOver bool           // no archive; a pattern matched it by chance
	standsIn   bool           // not selected any more, but what takes its place is not had
	refusal    *store.Refusal // of the registry's digest
	overruled  *store.Refusal // the one that a forced sync does not heed
	failure    *Failure       // of this sync
	rank       string         // why it lies where it lies
}

// Once makes one sync now and waits for it.
func (p *Poller) Once(ctx context.Context, ask Ask) Outcome {
	p.running.Lock()
	defer p.running.Unlock()
	started, with := time.Now(), p.Source.Fingerprint()
	p.Metrics.began(p.Name, started)
	p.mu.Lock()
	p.status.LastAttempt, p.status.Syncing = started.UTC(), true
	p.mu.Unlock()

	s := &pass{Poller: p, ask: ask, required: p.Gate.Required(p.Store), others: p.Store.DesiredWith(p.Name, nil)}
	s.run(ctx)
	s.noteByHand()

	o := Outcome{
		Started: started.UTC(), Ended: time.Now().UTC(), Swapped: s.swapped, Result: Noop, with: with,
		Got: append([]string{}, s.got...), Failures: append([]*Failure{}, s.failures...), // lists are never null
	}
	switch {
	case len(s.failures) > 0, ctx.Err() != nil: // what was cut off has not succeeded
		o.Result = Failed
	case s.swapped || len(s.got) > 0:
		o.Result = Success
	}
	notices := s.notices()
	p.logNotices(slices.Concat(notices, p.viewNotices(), s.pinNotice()))

	p.mu.Lock()
	st := &p.status
	st.Syncing, st.LastResult, st.Failures, st.Notices = false, o.Result, s.failures, notices
	switch {
	case o.Result != Failed:
		st.ConsecutiveFailures, st.LastSuccess = 0, o.Ended
		p.Store.NoteSuccess(p.whose(), o.Ended)
	case ctx.Err() == nil: // what was cut off has not failed either
		st.ConsecutiveFailures++
	}
	s.tell(st)
	p.mu.Unlock()
	if ctx.Err() == nil { // a sync that the end of the process cut off has not ended
		p.Metrics.ended(p, o)
	}
	return o
}

func (s *pass) run(ctx context.Context) {
	quick, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	s.log.Info("Syncing with OCI repo")
	s.Store.UnclaimAll(s.Name)
	if s.ask.Force {
		s.takeBack()
	}
	goOn := s.list(quick) && s.resolve(quick) && s.manifests(quick) && s.fetch(ctx)
	if ctx.Err() != nil {
		return
	}
	// Also where the registry could not be asked: what the configuration does not
	// ask for any more leaves the view.
	s.keepDisplaced()
	s.contribute()
	if goOn {
		s.mendHeld(ctx) // last: what is new does not wait for it
		if s.takeMended() {
			s.contribute()
		}
		s.servePinned()
	}
}

// servePinned goes back to what is pinned once that can be served again.
func (s *pass) servePinned() {
	swapped, err := s.Store.ServePinned()
	if err != nil && !errors.Is(err, store.ErrNotHeld) {
		s.failed(fail(StagePublish, "", "", err))
	}
	s.swapped = s.swapped || swapped
}

// takeBack undoes the forgetting of what is still held, the registry's or not.
func (s *pass) takeBack() {
	back, err := s.Store.UnforgetAll(s.Name, s.ask.By)
	s.back = back
	if err != nil {
		s.failed(fail(StagePublish, "", "", fmt.Errorf("take back what was forgotten: %w", err)))
	}
	for _, r := range back {
		s.log.Info("What was forgotten is taken back", "tag", r.Tag, "manifest", r.Manifest)
	}
}

// failed notes a failure and logs it, once. It reports whether to go on.
func (s *pass) failed(f *Failure) (goOn bool) {
	if errors.Is(f.err, context.Canceled) {
		return false
	}
	s.failures = append(s.failures, f)
	level := slog.LevelError
	if f.quiet {
		level = slog.LevelInfo
	}
	args := []any{"stage", string(f.Stage), "error", f.Reason}
	if f.Digest != "" {
		args = append(args, "digest", f.Digest)
	}
	if f.Cure != "" {
		args = append(args, "cure", f.Cure)
	}
	what := "Sync failed"
	if f.Tag != "" {
		what = "Cannot get " + f.Tag
	}
	s.log.Log(context.Background(), level, what, args...)
	if !f.quiet {
		if err := s.Store.Note("failure", s.Name, fmt.Sprintf("%s at %s: %s", what, f.Stage, f.Reason)); err != nil {
			s.log.Warn("The failure cannot be noted in the history", "error", err)
		}
	}
	if !f.unanswered() {
		s.broken = 0
	} else if s.broken++; s.broken > 1 {
		return false
	}
	return !f.endsSync()
}

// answered notes that the way to the registry is open.
func (s *pass) answered() { s.broken = 0 }

// resolve asks what each followed tag is now. Where those that stumbled before end it
// again, the sync goes on with the others: else nothing new of them would ever be had.
func (s *pass) resolve(ctx context.Context) (goOn bool) {
	defer s.dropExcluded()
	s.forgetTurns()
	for _, f := range s.inTurn(StageResolve, s.follows) {
		if f.Tag() == "" && f.release != nil {
			s.found(f, f.release.Manifest) // a digest does not move
			continue
		}
		if f.ByPattern && !f.Named && !f.listed {
			s.gone(f)
			continue
		}
		desc, err := s.Source.Resolve(ctx, f.Reference)
		if err != nil {
			f.failure = fail(StageResolve, f.Reference, "", err)
			if f.failure.kind() == oci.Absent {
				s.gone(f)
				if f.release != nil {
					f.failure.Cure = "its last content is still served; push it again, or `specman forget` it"
				}
			}
			before := s.hadTurn(StageResolve, f, f.failure)
			if !s.failed(f.failure) {
				return before
			}
			continue
		}
		s.hadTurn(StageResolve, f, nil)
		s.answered()
		s.found(f, desc.Digest)
	}
	return true
}

// manifests fetches the manifest of each digest that is not held. All are had
// before the first blob, so that the top of the view can be fetched first. It goes on
// where resolve does.
func (s *pass) manifests(ctx context.Context) (goOn bool) {
	defer s.dropExcluded()
	for _, f := range s.inTurn(StageManifest, s.follows) {
		if !f.asked || s.settled(f) {
			continue
		}
		m, err := s.Source.Manifest(ctx, f.Reference)
		if err != nil {
			f.failure = s.manifestFailure(ctx, f, err)
			if f.failure.refused {
				s.refuse(f, f.failure)
			}
			before := s.hadTurn(StageManifest, f, f.failure)
			if !s.failed(f.failure) {
				return before
			}
			continue
		}
		s.hadTurn(StageManifest, f, nil)
		s.answered()
		// The tag may have moved since it was resolved: what was got counts.
		s.found(f, m.Digest)
		if !s.settled(f) {
			f.manifest = m
		}
	}
	return true
}

// manifestFailure says why a manifest was not had. What a tag brings is checked
// by no digest: a proxy may have answered in the registry's place. Only what is
// malformed by its own digest is refused, for that is remembered.
func (s *pass) manifestFailure(ctx context.Context, f *follow, err error) *Failure {
	failure := fail(StageManifest, f.Reference, f.registry.String(), err)
	if failure.refused {
		_, again := s.Source.Manifest(ctx, f.registry.String())
		failure.refused = oci.KindOf(again) == oci.Malformed
	}
	return failure
}

// settled says whether nothing is to be fetched for a follow: its digest is
// held, or it is known that it will not be taken.
func (s *pass) settled(f *follow) bool {
	if f.excluded {
		return true
	}
	if s.Store.Forgotten(f.registry) {
		if !s.ask.Force {
			f.forgotten = true
			return true
		}
		if err := s.Store.Unforget(f.registry); err != nil {
			s.log.Warn("What was forgotten cannot be taken back", "tag", f.Reference, "error", err)
			return true
		}
	}
	if r, ok := s.Store.Claim(store.ReleaseKey{Source: s.Name, Tag: f.Reference, Manifest: f.registry}); ok {
		s.takeOrJudge(f, &r)
		return true
	}
	if s.ask.Force {
		f.overruled = s.refusalOf(f)
		return false
	}
	return s.recall(f)
}

// refuse remembers that a release is not to be fetched again.
func (s *pass) refuse(f *follow, why *Failure) {
	policy := s.policy(!f.ByChance())
	if errors.Is(why.err, gate.ErrLacking) {
		policy = s.policyBeside(f)
	}
	r := store.Refusal{
		Source: s.Name, Tag: f.Reference, Manifest: f.registry, Policy: policy,
		Stage: string(why.Stage), Reason: why.Reason, At: why.At,
	}
	if err := s.Store.Refuse(r); err != nil {
		s.log.Warn("The refusal cannot be remembered; the release will be fetched again", "tag", f.Reference, "error", err)
	}
	f.refusal = &r
}
