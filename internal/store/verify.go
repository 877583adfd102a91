package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/time/rate"
)

// Damage is a file, or a whole tree, that is not what was published.
type Damage struct {
	Layer  digest.Digest `json:"layer"`
	Path   string        `json:"path"` // below the tree; empty: the tree as a whole
	Reason string        `json:"reason"`
	Tags   []string      `json:"tags"` // of the releases that have the tree
}

// VerifyReport is what Verify has read and found.
type VerifyReport struct {
	Trees   int      `json:"trees"`
	Files   int      `json:"files"`
	Bytes   int64    `json:"bytes"`
	Damaged []Damage `json:"damaged"`
	// Foreign is what lies among the files and was never published, the first of it.
	Foreign []Foreign `json:"foreign,omitempty"`
}

// VerifyOptions say how Verify goes about it.
type VerifyOptions struct {
	// BytesPerSecond bounds the reading; 0: as fast as it goes.
	BytesPerSecond int
	// Progress is called now and then with what was done so far; may be nil.
	Progress func(VerifyReport)
}

// Verify reads every tree and compares it with what was published. What is
// found damaged is not served any more. Damage is no error: it is in the report.
func (s *Store) Verify(ctx context.Context, opts VerifyOptions) (VerifyReport, error) {
	var report VerifyReport
	limit := rate.NewLimiter(rate.Inf, 0)
	if opts.BytesPerSecond > 0 {
		limit = rate.NewLimiter(rate.Limit(opts.BytesPerSecond), max(opts.BytesPerSecond, blockSize))
	}
	layers, err := s.layers()
	if err != nil {
		return report, err
	}
	for _, layer := range layers {
		if err := s.verifyTree(ctx, layer, limit, opts.Progress, &report); err != nil {
			return report, err
		}
		report.Trees++
	}
	return report, nil
}

// layers are all that have a tree on disk, or should have one.
func (s *Store) layers() ([]digest.Digest, error) {
	layers, err := layersOnDisk(s.dir)
	if err != nil {
		return nil, err
	}
	for _, r := range s.state.Load().Releases {
		layers = append(layers, r.Layer)
	}
	slices.Sort(layers)
	return slices.Compact(layers), nil
}

func (s *Store) verifyTree(ctx context.Context, layer digest.Digest, limit *rate.Limiter, progress func(VerifyReport), report *VerifyReport) error {
	t, err := s.loaded.acquire(layer)
	tags := s.tagsOf(layer)
	if errors.Is(err, errNoTree) && len(tags) == 0 {
		return nil // removed meanwhile
	}
	if isTransient(err) {
		return fmt.Errorf("check a tree: %w", err)
	}
	if err != nil {
		report.Damaged = append(report.Damaged, Damage{Layer: layer, Reason: err.Error(), Tags: tags})
		s.countTree(layer)
		s.markUnreadable(layer)
		return nil
	}
	defer s.loaded.release(t)
	if err := s.checkFolder(t); isTransient(err) {
		return fmt.Errorf("check a tree: %w", err)
	} else if err != nil {
		report.Damaged = append(report.Damaged, Damage{Layer: layer, Reason: err.Error(), Tags: tags})
		s.markFolder(t, err)
		if errors.Is(err, errNoTree) {
			return nil // to name each of its files would say no more
		}
	}
	if err := s.findForeign(ctx, t, report); err != nil {
		return err
	}
	var bad []int32
	// Files go out while others are read, for hours in the background; and whoever ends
	// this early has found something all the same.
	marked := time.Time{}
	mark := func() {
		if len(bad) > 0 {
			s.markDamaged(t, bad...)
			bad, marked = nil, time.Now()
		}
	}
	defer mark()
	for rec := range t.records {
		r := &t.records[rec]
		if r.kind != File || r.real != int32(rec) {
			continue
		}
		if err := s.wait(ctx, limit, r.size); err != nil {
			return err
		}
		reason, err := t.check(int32(rec))
		if err != nil {
			return fmt.Errorf("check a tree: %w", err)
		}
		if reason != "" {
			bad = append(bad, int32(rec))
			if time.Since(marked) > markPause {
				mark()
			}
			report.Damaged = append(report.Damaged, Damage{Layer: layer, Path: t.path(int32(rec)), Reason: reason, Tags: tags})
		}
		report.Files++
		report.Bytes += r.size
		if progress != nil && report.Files%64 == 0 {
			progress(*report)
		}
	}
	return nil
}

// markPause is how long Verify gathers damaged files of a tree, which are noted on disk.
const markPause = time.Second

// wait holds back until size more bytes may be read.
func (s *Store) wait(ctx context.Context, limit *rate.Limiter, size int64) error {
	for size > 0 && limit.Limit() != rate.Inf {
		n := min(size, int64(limit.Burst()))
		if err := limit.WaitN(ctx, int(n)); err != nil {
			return err
		}
		size -= n
	}
	return ctx.Err()
}

// check reads the file of a record and says what is wrong with it. The error is of a
// file that cannot be looked at now.
func (t *tree) check(rec int32) (reason string, err error) {
	if t.isDamaged(rec) {
		return "it was found damaged before", nil
	}
	f, _, err := t.openFile(rec)
	if isTransient(err) {
		return "", err
	}
	if err != nil {
		return err.Error(), nil
	}
	defer f.Close()
	switch err := compare(f, t.records[rec].sum); {
	case isTransient(err):
		return "", err
	case err != nil:
		return "its content is not the published one", nil
	}
	return "", nil
}

func (s *Store) tagsOf(layer digest.Digest) []string {
	var tags []string
	for _, r := range s.state.Load().Releases {
		if r.Layer == layer {
			tags = append(tags, r.Tag)
		}
	}
	return tags
}

// Repair makes a damaged tree whole from what other trees hold, and puts it in
// the place of the damaged one. The error wraps ErrNotHeld where some content
// is nowhere in the store: then the registry must bring it. It ends early, and
// leaves the damaged tree as it is, when ctx does.
func (s *Store) Repair(ctx context.Context, layer digest.Digest) error {
	t, err := s.loaded.acquire(layer)
	if err != nil {
		return fmt.Errorf("repair tree %s: %w: %w", layer, ErrNotHeld, err)
	}
	defer s.loaded.release(t)
	if t.whole() {
		return nil
	}
	st, err := s.NewStaging(layer)
	if err != nil {
		return err
	}
	defer st.Discard()
	if err := s.refill(ctx, st, t); err != nil {
		return fmt.Errorf("repair tree %s: %w", layer, err)
	}
	return st.Publish()
}

// refill stages a tree anew from its own good files and copies of the others.
func (s *Store) refill(ctx context.Context, st *Staging, t *tree) error {
	date := func(sec int64) time.Time {
		if sec == 0 {
			return time.Time{}
		}
		return time.Unix(sec, 0)
	}
	for rec := range t.records {
		if err := ctx.Err(); err != nil {
			return err
		}
		r, name := &t.records[rec], t.path(int32(rec))
		switch {
		case r.real != int32(rec):
		case r.kind == Dir:
			if err := st.Dir(name, date(r.modTime)); err != nil {
				return err
			}
		default:
			if err := s.refillFile(st, t, int32(rec), date(r.modTime)); err != nil {
				return err
			}
		}
	}
	for rec := range t.records {
		if r := &t.records[rec]; r.real != int32(rec) {
			if err := st.Alias(t.path(int32(rec)), t.path(r.real), r.kind == Dir); err != nil {
				return err
			}
		}
	}
	for _, l := range t.links {
		if err := st.Symlink(l.Name, l.Target, date(l.modTime)); err != nil {
			return err
		}
	}
	st.Skip(t.skipped, t.skippedTotal)
	return nil
}

func (s *Store) refillFile(st *Staging, t *tree, rec int32, modTime time.Time) error {
	r, name := &t.records[rec], t.path(rec)
	f, _, err := t.openAnyway(rec)
	if err == nil {
		// One that is known to be damaged may be right again: the disk had a bad moment. And
		// one that is not was perhaps never asked for.
		if err = compare(f, r.sum); err != nil {
			f.Close()
		}
	}
	if errors.Is(err, ErrDamaged) {
		if f, err = s.loaded.openCopy(r.sum); err != nil {
			err = fmt.Errorf("the content of %q: %w", name, err)
		}
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := st.File(name, modTime, r.size, f); err != nil { // it sums up what it writes
		return err
	}
	if err := st.writers.wait(); err != nil {
		return err
	}
	if st.index.entries[name].sum != r.sum {
		return fmt.Errorf("%q changed while it was read: %w", name, ErrDamaged)
	}
	return nil
}
