package poller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/oci"
	"github.com/specman/specman/internal/sync/selector"
	"github.com/specman/specman/internal/sync/unpack"
)

// fetch gets the releases whose manifests were fetched, and has those judged that are held
// and to be judged, top of the view first. It reports whether there is sense in asking for
// more.
func (s *pass) fetch(ctx context.Context) (goOn bool) {
	order := s.inTurn(StageDownload, s.topFirst())
	goOn = true
	s.claim(order)
	for _, f := range order {
		if f.moving == nil && s.settled(f) {
			continue // another tag of the same manifest was refused meanwhile
		}
		goOn = s.fetchOne(ctx, f)
		s.hadTurn(StageDownload, f, f.failure)
		if !goOn {
			break
		}
	}
	if ctx.Err() != nil {
		return false // what was cut off has not been decided
	}
	return s.decide() && goOn
}

// claim keeps, for as long as this sync goes on, the trees that it will get, there or not,
// whatever GC removes meanwhile: after the state was lost no release names them.
func (s *pass) claim(order []*follow) {
	for _, f := range order {
		if f.manifest == nil {
			continue // it is held, and claimed
		}
		if layer, err := oci.ChooseLayer(f.manifest, s.Archive, f.ByPattern && !f.Named); err == nil {
			s.Store.ClaimTree(store.Release{Source: s.Name, Tag: f.Reference, Manifest: f.manifest.Digest, Layer: layer.Digest})
		}
	}
}

// fetchOne gets one release, to contribute at once or to wait for others.
func (s *pass) fetchOne(ctx context.Context, f *follow) (goOn bool) {
	release, err := s.get(ctx, f)
	var failure *Failure
	switch {
	case errors.As(err, &failure):
		return s.giveUp(f, failure)
	case f.passedOver:
		return true
	}
	s.answered()
	return s.take(f, &release)
}

// add has what waits of some follows contribute: all of it, or none.
func (s *pass) add(follows []*follow) (goOn bool) {
	var releases []store.Release
	for _, f := range follows {
		if f.moving == nil { // or else it is held
			releases = append(releases, *f.waiting)
		}
	}
	var err error
	if len(releases) > 0 {
		err = s.Store.Add(releases...)
	}
	if err != nil {
		goOn = true
		for _, f := range follows {
			goOn = s.giveUp(f, fail(StagePublish, f.Reference, f.registry.String(), err)) && goOn
		}
		return goOn
	}
	for _, f := range follows {
		if f.moving == nil {
			s.got = append(s.got, f.Reference)
		} else {
			s.overrule(f, f.waiting)
		}
		f.release, f.waiting, f.moving = f.waiting, nil, nil
	}
	if s.Store.Served() == nil {
		s.contribute() // somebody is waiting for the first tree
	}
	return true
}

// giveUp notes why a release that was to be got does not contribute.
func (s *pass) giveUp(f *follow, why *Failure) (goOn bool) {
	if r := cmp.Or(f.waiting, f.moving); r != nil {
		s.Store.Unclaim(r.Key())
	}
	f.failure, f.waiting, f.moving = why, nil, nil
	if why.refused {
		s.refuse(f, why)
	}
	return s.failed(why)
}

// topFirst returns what is to be got, as it will lie in the view as far as that
// can be known before the archives are there.
func (s *pass) topFirst() (order []*follow) {
	for _, r := range s.rank(func(f *follow) *selector.Candidate {
		if f.manifest == nil {
			return facts(f.moving)
		}
		return &selector.Candidate{Manifest: f.registry.String(), Created: f.manifest.Created}
	}) {
		order = append(order, r.follow)
	}
	return order
}

// get makes a release of a manifest: its tree is in the store when get returns.
// The error is a *Failure.
func (s *pass) get(ctx context.Context, f *follow) (store.Release, error) {
	if f.moving != nil {
		r := *f.moving
		if failure := s.takeHeld(ctx, f, &r); failure != nil {
			return store.Release{}, failure
		}
		return r, nil
	}
	m := f.manifest
	if s.Verify != nil {
		if err := s.Verify.Verify(ctx, m); err != nil {
			failure := fail(StageVerify, f.Reference, m.Digest.String(), err)
			failure.refused = failure.kind() == "" && ctx.Err() == nil
			return store.Release{}, failure
		}
	}
	layer, err := oci.ChooseLayer(m, s.Archive, f.ByPattern && !f.Named)
	if errors.Is(err, oci.ErrNoArchive) && f.ByChance() {
		s.passOver(f, err)
		return store.Release{}, nil
	}
	if err == nil {
		err = layer.Digest.Validate()
	}
	if err != nil {
		failure := fail(StageManifest, f.Reference, m.Digest.String(), err)
		failure.refused = true
		failure.Cure = "push an archive under the tag, or name it in source.exclude"
		return store.Release{}, failure
	}
	r := store.Release{
		Source: s.Name, Tag: f.Reference, Manifest: m.Digest, Layer: layer.Digest,
		Archive: oci.LayerName(layer, s.Archive), Created: m.Created, Fetched: time.Now().UTC(), Size: layer.Size,
	}
	var failure *Failure
	if s.Store.HasTree(layer.Digest) {
		failure = s.takeHeld(ctx, f, &r)
	} else {
		failure = s.unpack(ctx, f, layer, &r)
	}
	if failure != nil {
		return store.Release{}, failure
	}
	return r, nil
}

// passOver names, once, a tag that a pattern matched by chance.
func (s *pass) passOver(f *follow, why error) {
	s.log.Info("Passing over "+f.Reference, "reason", why)
	s.refuse(f, &Failure{Stage: Stage(PassedOver), Reason: why.Error(), At: time.Now().UTC()})
	f.passedOver = true
}

// unpack streams a layer into the store and publishes its tree.
func (s *pass) unpack(ctx context.Context, f *follow, layer ocispec.Descriptor, r *store.Release) *Failure {
	failed := func(stage Stage, err error) *Failure {
		return fail(stage, f.Reference, r.Manifest.String(), err)
	}
	if err := s.Gate.Startable(); err != nil {
		return s.gateFailure(f, err)
	}
	if err := s.makeSpace(layer); err != nil {
		return failed(StageSpace, err)
	}
	tree, stage, err := s.stream(ctx, f, layer, r)
	if s.learnNeed(layer, err) {
		// Now it is known: older releases may make room, and if not, no later sync will
		// download it to find that out.
		if err := s.makeSpace(layer); err != nil {
			return failed(StageSpace, err)
		}
		tree, stage, err = s.stream(ctx, f, layer, r)
		s.learnNeed(layer, err)
	}
	if err != nil {
		failure := failed(stage, err)
		failure.begun = stage == StageUnpack
		return failure
	}
	staging := tree.Staging
	defer staging.Discard()
	s.log.Info(fmt.Sprintf("filename: %s, isDir: false", r.Archive))
	r.Files, r.Bytes = staging.Files()
	r.Skipped = tree.SkippedTotal
	r.IndexVersion = s.indexVersion(f.Reference, func(name string) (io.ReadCloser, error) { return staging.Open(name) })
	if failure := s.gate(ctx, f, r, staging); failure != nil {
		return failure
	}
	s.log.Info("Persisting " + f.Reference)
	if err := staging.Publish(); err != nil {
		return failed(StagePublish, err)
	}
	return nil
}

// stream downloads a layer into a staging folder.
func (s *pass) stream(ctx context.Context, f *follow, layer ocispec.Descriptor, r *store.Release) (*unpack.Tree, Stage, error) {
	s.log.Info("Downloading " + f.Reference)
	body, err := s.Source.Blob(ctx, layer)
	if err != nil {
		return nil, StageDownload, err
	}
	defer body.Close()
	tree, err := unpack.Stream(ctx, s.Store, body, layer.Digest, s.Limits)
	if err != nil {
		return nil, StageUnpack, fmt.Errorf("unpack %s of %s: %w", r.Archive, f.Reference, err)
	}
	return tree, "", nil
}

// makeSpace sees to it that there is room for a layer's tree.
func (s *pass) makeSpace(layer ocispec.Descriptor) error { return s.room(layer, s.Store.MakeSpace) }

// room asks for room for a layer's tree: for what it was found to need, else for as much
// as its archive. How many files it has, and how much of it is held already, nobody knows
// before.
func (s *pass) room(layer ocispec.Descriptor, ask func(bytes, files int64) error) error {
	need, known := s.needs[layer.Digest]
	if !known {
		return ask(layer.Size, 1)
	}
	err := ask(need.Bytes, need.Files)
	if free, _ := s.Store.Free(); err != nil && free > need.free+need.Bytes/8 {
		return nil // there was less when it did not do, and what it shares may be more now
	}
	return err
}

// need is what a tree needs that found the volume full.
type need struct {
	Bytes, Files int64
	free         int64 // bytes of the volume, after the tree was given up
}

// learnNeed notes what a tree needs that found the volume full, and reports whether err
// tells it.
func (s *pass) learnNeed(layer ocispec.Descriptor, err error) bool {
	var lack *unpack.SpaceError
	if !errors.As(err, &lack) {
		return false
	}
	if s.needs == nil || len(s.needs) >= maxNeeds {
		s.needs = make(map[digest.Digest]need)
	}
	free, _ := s.Store.Free()
	need := need{Bytes: lack.Bytes, Files: lack.Files, free: free}
	if before, known := s.needs[layer.Digest]; known {
		// That much was free and did not do: the file system has its own needs.
		need.Bytes, need.Files = max(need.Bytes, before.Bytes+before.Bytes/8), max(need.Files, before.Files+before.Files/8)
	}
	s.needs[layer.Digest] = need
	return true
}
