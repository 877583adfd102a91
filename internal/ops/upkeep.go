package ops

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/opencontainers/go-digest"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/poller"
)

// Keeper is the store as the calls that look after it use it.
type Keeper interface {
	Verify(context.Context, store.VerifyOptions) (store.VerifyReport, error)
	Repair(ctx context.Context, layer digest.Digest) error
	GC(dryRun bool) (store.Garbage, error)
	Note(kind, source, message string) error
}

// Forgotten is what forget took out. Its JSON is public: docs/api.md.
type Forgotten struct {
	Replica string        `json:"replica"`
	Release store.Release `json:"release"`
	// Also are the other releases of the same manifest, which are taken out with it.
	Also []store.Release `json:"also"`
	// Served says that a pin keeps it served until `specman unpin`.
	Served bool `json:"served"`
}

// ForgetRelease takes a release out of what is followed. By is who asked for it.
func ForgetRelease(s Mover, version, by string) (Forgotten, error) {
	release, err := s.Forget(version, by)
	f := Forgotten{Replica: Replica(), Release: release, Also: []store.Release{}}
	for _, r := range s.Releases() {
		if err == nil && r.Manifest == release.Manifest && r.Key() != release.Key() {
			f.Also = append(f.Also, r)
		}
	}
	if v := s.Acquire(); v != nil && err == nil {
		defer v.Close()
		f.Served = slices.ContainsFunc(v.Releases(), func(r store.Release) bool { return r.Key() == release.Key() })
	}
	return f, err
}

// VerifyResult is what verify found, and what became of it. Its JSON is public:
// docs/api.md.
type VerifyResult struct {
	Replica string `json:"replica"`
	store.VerifyReport
	Repaired int `json:"repaired"` // trees
	// Left is the damage that is still there.
	Left []store.Damage `json:"left"`
	// Failures say, by source, why a repair could not fetch what the store lacks.
	Failures map[string][]*poller.Failure `json:"failures"`
	// Faults say, by tree, what kept a repair from writing it, as a full volume.
	Faults map[digest.Digest]string `json:"faults"`
}

// GCResult is what retention no longer holds. Its JSON is public: docs/api.md.
type GCResult struct {
	Replica string `json:"replica"`
	DryRun  bool   `json:"dryRun"`
	store.Garbage
}

// CollectGarbage removes what retention no longer holds, or only lists it. By is who
// asked for it: the history tells it where anything was removed.
func CollectGarbage(s Keeper, dryRun bool, by string) (GCResult, error) {
	garbage, err := s.GC(dryRun)
	if !dryRun && len(garbage.Releases)+len(garbage.Trees) > 0 {
		message := fmt.Sprintf("gc, by %s: removed releases: %d, trees: %d", by, len(garbage.Releases), len(garbage.Trees))
		if noteErr := s.Note("gc", "", message); noteErr != nil {
			err = errors.Join(err, fmt.Errorf("note in the history who asked for gc: %w", noteErr))
		}
	}
	garbage.Releases, garbage.Trees = list(garbage.Releases), list(garbage.Trees)
	return GCResult{Replica: Replica(), DryRun: dryRun, Garbage: garbage}, err
}

// VerifyStore checks all files of a store, and with repair makes whole what is
// damaged: from other trees, else by fetch, which syncs the sources.
func VerifyStore(ctx context.Context, s Keeper, opts store.VerifyOptions, repair bool, fetch func(context.Context) (map[string]poller.Outcome, error)) (VerifyResult, error) {
	report, err := s.Verify(ctx, opts)
	result := VerifyResult{Replica: Replica(), VerifyReport: report, Left: list(report.Damaged), Failures: make(map[string][]*poller.Failure), Faults: make(map[digest.Digest]string)}
	result.Damaged = list(result.Damaged)
	if err != nil || !repair || len(report.Damaged) == 0 {
		return result, err
	}
	damaged := make(map[digest.Digest]bool)
	for _, d := range report.Damaged {
		damaged[d.Layer] = true
	}
	lacking := result.repair(ctx, s, damaged)
	if lacking && ctx.Err() == nil {
		outcomes, err := fetch(ctx)
		if err != nil {
			return result, err
		}
		for source, o := range outcomes {
			if len(o.Failures) > 0 {
				result.Failures[source] = o.Failures
			}
		}
		result.repair(ctx, s, damaged) // what one tree got anew may be what another one lacks
	}
	after, err := s.Verify(ctx, opts)
	if err != nil {
		return result, err
	}
	result.Left = list(after.Damaged)
	for _, d := range after.Damaged {
		delete(damaged, d.Layer)
	}
	result.Repaired = len(damaged)
	return result, nil
}

// repair mends trees from what the store holds; the fault of one keeps it from no other.
// Lacking says that some need what the store does not hold.
func (r *VerifyResult) repair(ctx context.Context, s Keeper, layers map[digest.Digest]bool) (lacking bool) {
	r.Faults = make(map[digest.Digest]string)
	for layer := range layers {
		switch err := s.Repair(ctx, layer); {
		case errors.Is(err, store.ErrNotHeld):
			lacking = true
		case err != nil:
			r.Faults[layer] = err.Error()
		}
	}
	return lacking
}

// Forget asks for a release to be taken out of the view.
func (c *Client) Forget(ctx context.Context, version string) (f Forgotten, err error) {
	return f, c.change(ctx, "/api/v1/forget", url.Values{"version": {version}}, &f)
}

// Verify asks for all files to be checked, and waits for it, however long.
func (c *Client) Verify(ctx context.Context, repair bool) (r VerifyResult, err error) {
	return r, c.Post(ctx, "/api/v1/verify", url.Values{"repair": {strconv.FormatBool(repair)}}, &r)
}

// GC asks for what retention no longer holds to be removed.
func (c *Client) GC(ctx context.Context, dryRun bool) (r GCResult, err error) {
	return r, c.Post(ctx, "/api/v1/gc", url.Values{"dryRun": {strconv.FormatBool(dryRun)}}, &r)
}

func (s *Server) postForget(w http.ResponseWriter, r *http.Request) {
	version := r.URL.Query().Get("version")
	if version == "" {
		s.problem(w, http.StatusBadRequest, "name a release: ?version=TAG or ?version=sha256:…")
		return
	}
	forgotten, err := ForgetRelease(s.opts.Store, version, caller(r))
	if err != nil {
		s.refuse(w, err)
		return
	}
	forgotten.Replica = s.opts.Replica
	s.log.Warn("A release was taken out by hand", "by", caller(r), "tag", forgotten.Release.Tag, "manifest", forgotten.Release.Manifest)
	s.json(w, http.StatusOK, forgotten)
}

func (s *Server) postVerify(w http.ResponseWriter, r *http.Request) {
	repair, err := flag(r, "repair")
	if err != nil {
		s.problem(w, http.StatusBadRequest, "%v", err)
		return
	}
	fetch := func(ctx context.Context) (map[string]poller.Outcome, error) {
		return s.syncAll(ctx, poller.Ask{Mend: true})
	}
	result, err := VerifyStore(r.Context(), s.opts.Store, store.VerifyOptions{}, repair, fetch)
	if err != nil {
		s.problem(w, http.StatusInternalServerError, "%v", err)
		return
	}
	result.Replica = s.opts.Replica
	s.json(w, http.StatusOK, result)
}

func (s *Server) postGC(w http.ResponseWriter, r *http.Request) {
	dryRun, err := flag(r, "dryRun")
	if err != nil {
		s.problem(w, http.StatusBadRequest, "%v", err)
		return
	}
	result, err := CollectGarbage(s.opts.Store, dryRun, caller(r))
	if err != nil {
		s.problem(w, http.StatusInternalServerError, "%v", err)
		return
	}
	result.Replica = s.opts.Replica
	s.json(w, http.StatusOK, result)
}
