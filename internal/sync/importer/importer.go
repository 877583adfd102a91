package importer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/archive"
	"github.com/specman/specman/internal/sync/gate"
	"github.com/specman/specman/internal/sync/selector"
	"github.com/specman/specman/internal/sync/unpack"
)

const (
	defaultTag     = "0.0.0" // of an archive that nobody has named
	defaultArchive = "manifests.tgz"
)

// Options say how to import.
type Options struct {
	// Tag names the release. Empty: the layout's own tags, else 0.0.0. Of a layout
	// with several tags it is the one that is imported.
	Tag     string
	Archive string         // title of the layer in a layout's artifacts; empty: manifests.tgz
	Limits  archive.Limits // of each archive, and of a layout as a whole
	Gate    gate.Rules     // what each release must pass beside being whole
	Force   bool           // lets pass what only the gate refuses
	By      string         // who asked for it, for the history
	Logger  *slog.Logger   // nil: none
}

// Result is what an import came to. Its JSON is public: docs/api.md.
type Result struct {
	Imported   []Imported   `json:"imported"`   // in the order of the input
	PassedOver []PassedOver `json:"passedOver"` // tags of a layout that brought nothing
	Swapped    bool         `json:"swapped"`    // what is served has changed
	Pinned     bool         `json:"pinned"`     // it cannot change: the view is pinned
}

// Imported is a release that is held now.
type Imported struct {
	store.Release
	// Covered says that a registry's source has the same tag, so that this one stands
	// by and is not part of the view.
	Covered      bool            `json:"coveredBySource"`
	SkippedNames []store.Skipped `json:"skippedEntries"` // up to 1,000
}

// PassedOver is a tag of a layout that was not imported, and why.
type PassedOver struct {
	Tag    string `json:"tag"`
	Reason string `json:"reason"`
	// Fault says that it is, or was meant to be, an archive to serve; else it is
	// something else, such as a chart.
	Fault bool `json:"fault"`
}

// Import reads an archive, or an OCI layout in one, to its end and puts what it holds
// into the store. The error is a *[archive.RefusedError], wrapped, where the input is
// at fault, and a *[gate.RefusedError] where the site's own rules hold it back. Where a
// layout holds several releases, those that can be had are imported, and it is no error
// that others cannot: see PassedOver.
func Import(ctx context.Context, st *store.Store, r io.Reader, opts Options) (Result, error) {
	if err := CheckTag(opts.Tag); err != nil {
		return Result{}, err
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	opts.Archive = cmp.Or(opts.Archive, defaultArchive)
	i := &run{Options: opts, store: st, required: opts.Gate.Required(st), imported: []Imported{}, passedOver: []PassedOver{}}
	defer i.discard()
	if err := i.input(ctx, r); err != nil {
		return Result{}, err
	}
	if err := i.publish(); err != nil {
		return Result{}, err
	}
	return i.contribute()
}

// ErrTag is wrapped where Options.Tag is no tag.
var ErrTag = errors.New("is no tag: letters, digits and . _ - up to 128")

// CheckTag says whether tag may be an Options.Tag.
func CheckTag(tag string) error {
	if tag == "" {
		return nil
	}
	s, err := selector.Parse(tag)
	if err != nil || s.Pattern() || strings.Contains(tag, ":") {
		return fmt.Errorf("%q %w", tag, ErrTag)
	}
	return nil
}

// run is one run of Import.
type run struct {
	Options
	store      *store.Store
	required   *gate.Required
	staged     []*staged // in the order of the input
	imported   []Imported
	passedOver []PassedOver
}

// staged is a release that is unpacked, and imported when all the others are.
type staged struct {
	store.Release
	reference string       // what the layout calls it
	tree      *unpack.Tree // several releases may have the same
}

// input unpacks what is to be imported.
func (i *run) input(ctx context.Context, r io.Reader) error {
	tree, err := i.unpack(ctx, r, "", 0)
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	defer i.discardUnneeded(tree)
	if isLayout(tree.Staging) {
		return i.layout(ctx, tree.Staging.Folder())
	}
	release := store.Release{
		Tag: cmp.Or(i.Tag, defaultTag), Archive: i.Archive,
		// There is no manifest, and nobody noted when it was made. As with a push, now
		// is when it came to be.
		Manifest: tree.Layer, Created: time.Now().UTC().Truncate(time.Second),
	}
	err = i.stage(ctx, tree, &staged{Release: release})
	if err == nil {
		err = i.judgeTogether(func(_ *staged, why error) error { return why })
	}
	if err != nil {
		return fmt.Errorf("import %s: %w", release.Tag, err)
	}
	return nil
}

// unpack stages an archive. Where nobody told its digest and size, layer is empty and
// size 0.
func (i *run) unpack(ctx context.Context, r io.Reader, layer digest.Digest, size int64) (*unpack.Tree, error) {
	if err := i.store.MakeSpace(size, 1); err != nil {
		return nil, err
	}
	return unpack.Stream(ctx, i.store, r, layer, i.Limits)
}

// stage has what was unpacked wait for the rest of the input: an import that is cut off
// imports nothing.
func (i *run) stage(ctx context.Context, tree *unpack.Tree, s *staged) error {
	if err := i.judge(ctx, tree, s.Tag); err != nil {
		return err
	}
	s.Source, s.Layer, s.Size, s.Fetched = store.ImportSource, tree.Layer, tree.Size, time.Now().UTC()
	s.Files, s.Bytes = tree.Staging.Files()
	s.Skipped = tree.SkippedTotal
	var warnings []string
	s.IndexVersion, warnings = selector.HighestIndexVersion(func(name string) (io.ReadCloser, error) { return tree.Staging.Open(name) })
	for _, w := range warnings {
		i.Logger.Warn("The index of "+s.Tag+" is read in part", "warning", w)
	}
	s.tree = tree
	i.staged = append(i.staged, s)
	i.required.Learn(s.Layer, tree.Staging)
	i.store.ClaimTree(s.Release)
	return nil
}

// discardUnneeded lets go of a tree that no release waits with. One that is held already
// is kept, too: by the end of the import it may be gone.
func (i *run) discardUnneeded(tree *unpack.Tree) {
	if !slices.ContainsFunc(i.staged, func(s *staged) bool { return s.tree == tree }) {
		tree.Staging.Discard()
	}
}

// discard lets go of what is staged and was not published.
func (i *run) discard() {
	for _, s := range i.staged {
		s.tree.Staging.Discard()
		i.store.Unclaim(s.Key())
	}
}

// publish makes all that is staged held releases, or nothing of it.
func (i *run) publish() error {
	var releases []store.Release
	var news []string
	for _, s := range i.staged {
		i.Logger.Info("Persisting "+s.Tag, "source", store.ImportSource)
		if !i.store.HasTree(s.Layer) {
			if err := s.tree.Staging.Publish(); err != nil {
				return fmt.Errorf("import %s: %w", s.Tag, err)
			}
		}
		releases = append(releases, s.Release)
		if _, held := i.store.Release(s.Key()); !held || i.Force || i.store.Forgotten(s.Manifest) {
			news = append(news, fmt.Sprintf("%s (%s)", s.Tag, s.Manifest))
		}
		i.imported = append(i.imported, Imported{Release: s.Release, SkippedNames: s.tree.Skipped})
	}
	if err := i.store.Add(releases...); err != nil {
		return fmt.Errorf("import: %w", err)
	}
	// To import what was forgotten is to want it back.
	for _, r := range releases {
		if !i.store.Forgotten(r.Manifest) {
			continue
		}
		if err := i.store.Unforget(r.Manifest); err != nil {
			return fmt.Errorf("import %s: %w", r.Tag, err)
		}
	}
	i.note(news)
	return nil
}

// note puts into the history who imported what was not held, or was to pass a gate
// unasked. An init container imports the same at each start.
func (i *run) note(news []string) {
	if len(news) == 0 || i.By == "" {
		return
	}
	what := "imported"
	if i.Force {
		what = "forced import of"
	}
	message := fmt.Sprintf("%s %s, by %s", what, strings.Join(news, ", "), i.By)
	if err := i.store.Note("import", store.ImportSource, message); err != nil {
		i.Logger.Warn("Who asked for the import cannot be noted in the history", "by", i.By, "error", err)
	}
}

// contribute makes all that is imported, now and before, part of what is followed.
func (i *run) contribute() (Result, error) {
	swapped, err := followImports(i.store)
	if err != nil {
		return Result{}, fmt.Errorf("serve what was imported: %w", err)
	}
	result := Result{Imported: i.imported, PassedOver: i.passedOver, Swapped: swapped, Pinned: i.store.Pinned() != nil}
	contributes := make(map[store.ReleaseKey]bool)
	for _, k := range i.store.Desired().Releases {
		contributes[k] = true
	}
	for n := range result.Imported {
		result.Imported[n].Covered = !contributes[result.Imported[n].Key()]
	}
	return result, nil
}

// TakeBack undoes `specman forget` for what is held of imports, and of sources that
// nothing polls, and contributes it again. It returns what it took back. By is who asked
// for it, for the history.
func TakeBack(st *store.Store, by string, unpolled ...string) (all []store.Release, err error) {
	for _, source := range append([]string{store.ImportSource}, unpolled...) {
		back, err := st.UnforgetAll(source, by)
		if err != nil {
			return nil, fmt.Errorf("take back what was forgotten: %w", err)
		}
		if len(back) == 0 {
			continue
		}
		if source == store.ImportSource {
			_, err = followImports(st)
		} else {
			_, err = st.FollowOf(source, func() []store.Contribution { return st.Following(source) })
		}
		if err != nil {
			return nil, fmt.Errorf("serve what was taken back: %w", err)
		}
		all = append(all, back...)
	}
	return all, nil
}

// followImports contributes all imports that are held.
func followImports(st *store.Store) (swapped bool, err error) {
	return st.FollowOf(store.ImportSource, func() (contributes []store.Contribution) {
		for _, c := range order(st) {
			contributes = append(contributes, store.Contribution{Tag: c.Tag, Manifest: c.Manifest, Reason: c.reason})
		}
		return contributes
	})
}

// placed is a release with the reason of its place.
type placed struct {
	store.Release
	reason string
}

// order is what imports contribute, top first, and would with others imported also. It
// is made of all that is held, so that of two imports at the same time neither loses the
// other's.
func order(st *store.Store, also ...store.Release) []placed {
	latest := make(map[string]store.Release) // by tag
	for _, r := range st.Releases() {
		if r.Source == store.ImportSource && !r.Fetched.Before(latest[r.Tag].Fetched) {
			latest[r.Tag] = r
		}
	}
	maps.DeleteFunc(latest, func(_ string, r store.Release) bool { return st.Forgotten(r.Manifest) })
	for _, r := range also {
		latest[r.Tag] = r
	}
	var candidates []selector.Candidate
	for _, r := range latest {
		candidates = append(candidates, selector.Candidate{Tag: r.Tag, Manifest: r.Manifest.String(), Created: r.Created, IndexVersion: r.IndexVersion})
	}
	var order []placed
	for _, r := range selector.Rank(candidates) {
		order = append(order, placed{latest[r.Tag], r.Reason})
	}
	return order
}
