package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/specman/specman/internal/human"
	"github.com/specman/specman/internal/sync/oci"
	"github.com/specman/specman/internal/sync/selector"
)

// sourceDoctor is the way through one source.
type sourceDoctor struct {
	Source
	repository *oci.Repository
	tags       []string
	tagsErr    error
	followed   []selector.Followed
	layers     []layer
}

// layer is the archive of a followed tag.
type layer struct {
	tag string
	ocispec.Descriptor
}

// check goes the way of a sync, as far as it leads.
func (s Source) check(c *series, h holdings) {
	if s.Connection.Repository == "" {
		c.report("repository", ok("none is configured: what is held or imported is served"))
		return
	}
	d := &sourceDoctor{Source: s}
	// Whatever is asked for must come within the time of the check that asks.
	d.Connection.Timeout, d.Connection.StallTimeout = c.timeout, c.timeout
	c.check("repository", d.open)
	if c.broken == "" && !strings.HasPrefix(strings.TrimSpace(s.Connection.Repository), "oci-layout:") {
		d.network(c)
	}
	c.check("tags", d.list)
	c.check("selectors", d.choose)
	c.check("manifests", d.manifests)
	c.check("layer", d.download)
	c.check("room", func(context.Context) finding { return d.room(h) })
}

func (d *sourceDoctor) open(context.Context) finding {
	var err error
	if d.repository, err = oci.Open(d.Connection); err != nil {
		return fail("correct the setting; `specman config` tells where each comes from", "%v", err)
	}
	return ok("%s", d.repository)
}

// transport is what an error of the registry's client says.
func transport(err error) finding {
	cure := "the registry's own log may say why"
	var e *oci.Error
	if errors.As(err, &e) && e.Cure != "" {
		cure = e.Cure
	}
	return fail(cure, "%v", err)
}

// login asks for the tags, and judges only whether somebody may ask.
func (d *sourceDoctor) login(ctx context.Context) finding {
	d.tags, d.tagsErr = d.repository.Tags(ctx)
	var e *oci.Error
	if errors.As(d.tagsErr, &e) && (e.Kind == oci.Unauthorized || e.Kind == oci.Misconfigured || e.Operation == "token") {
		return transport(e)
	}
	who := "as configured (source.auth.provider " + orAuto(d.Connection.Auth.Provider) + ")"
	if d.tagsErr != nil {
		return ok("not refused, %s", who)
	}
	return ok("accepted, %s", who)
}

func orAuto(provider string) string {
	if provider == "" {
		return "auto"
	}
	return provider
}

func (d *sourceDoctor) list(ctx context.Context) finding {
	if d.tags == nil && d.tagsErr == nil { // no login came before
		d.tags, d.tagsErr = d.repository.Tags(ctx)
	}
	switch {
	case oci.KindOf(d.tagsErr) == oci.Absent, d.tagsErr == nil && len(d.tags) == 0:
		return fail("push something: specman push DIR "+d.repository.String()+":0.0.0; or correct the path in source.repository", "nothing was pushed there yet")
	case oci.KindOf(d.tagsErr) == oci.Forbidden && d.onlyNamed():
		return warn("let the account list tags, to see what else there is", "%v", d.tagsErr)
	case d.tagsErr != nil:
		return transport(d.tagsErr)
	}
	return ok("%d: %s", len(d.tags), some(d.tags))
}

// onlyNamed says that no selector needs the list.
func (d *sourceDoctor) onlyNamed() bool {
	selectors, err := selector.ParseAll(d.Select)
	for _, s := range selectors {
		if s.Pattern() {
			return false
		}
	}
	return err == nil
}

// some are the first few of many.
func some(names []string) string {
	const most = 10
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], " "), len(names)-most)
	}
	return strings.Join(names, " ")
}

func (d *sourceDoctor) choose(context.Context) finding {
	selectors, err := selector.ParseAll(d.Select)
	if err != nil {
		return fail("correct source.select", "%v", err)
	}
	choice := selector.Choose(d.tags, selectors, d.Exclude, d.MaxReleases)
	d.followed = choice.Followed
	var names []string
	for _, f := range choice.Followed {
		names = append(names, f.Reference)
	}
	switch {
	case len(names) == 0:
		return fail("push a tag that they follow, or change source.select", "%s follow none of the tags", strings.Join(d.Select, ","))
	case len(choice.LeftOut) > 0:
		return warn("raise source.maxReleases to follow them, too", "%d tags are followed, %d more would be: %s", len(names), len(choice.LeftOut), some(choice.LeftOut))
	}
	return ok("%s follow %s", strings.Join(d.Select, ","), some(names))
}

// manifests fetches all that are followed, and looks for the archive in each.
func (d *sourceDoctor) manifests(ctx context.Context) finding {
	var passedOver []string
	for n, f := range d.followed {
		m, err := d.repository.Manifest(ctx, f.Reference)
		if err != nil && ctx.Err() != nil && len(d.layers) > 0 {
			return warn("the registry or the way to it is slow; a sync has source.timeout for it", "%d of %d were had in the time of this check", n, len(d.followed))
		}
		if err != nil {
			return transport(err)
		}
		l, err := oci.ChooseLayer(m, d.Archive, f.ByPattern && !f.Named)
		switch {
		case err != nil && f.ByChance():
			passedOver = append(passedOver, f.Reference)
		case err != nil:
			return fail("push the archive as "+d.Archive+" (source.archive), or as the only file", "%s: %v", f.Reference, err)
		default:
			d.layers = append(d.layers, layer{f.Reference, l})
		}
	}
	switch {
	case len(d.layers) == 0:
		return fail("push the archive as "+d.Archive+" (source.archive), or as the only file", "none of the followed tags holds an archive: %s", some(passedOver))
	case len(passedOver) > 0:
		return warn("exclude them (source.exclude), or choose other selectors", "%d hold an archive; passed over are %s", len(d.layers), some(passedOver))
	}
	return ok("%d, each with an archive", len(d.layers))
}

// download reads the beginning of one layer, which shows whether blobs can be had at
// all: many registries keep them at another host.
func (d *sourceDoctor) download(ctx context.Context) finding {
	l := d.layers[0]
	body, err := d.repository.Blob(ctx, l.Descriptor)
	if err != nil {
		return transport(err)
	}
	defer body.Close()
	n, err := io.CopyN(io.Discard, body, min(l.Size, 64<<10))
	if err != nil {
		return transport(err)
	}
	return ok("%s of %s (%s) were read of %s", human.Bytes(n), human.Bytes(l.Size), l.Digest, l.tag)
}

// room compares what is to be fetched with what is free.
func (d *sourceDoctor) room(h holdings) finding {
	var need int64
	for _, l := range d.layers {
		if !h.hasTree(l.Digest) {
			need += l.Size
		}
	}
	const cure = "enlarge the volume, or lower store.keep"
	// A gzip of manifests unpacks to some five times its size.
	const unpacked = 5
	switch {
	case need == 0:
		return ok("all followed layers are held")
	case h.free < 0:
		return skip("the free space is not known")
	case need > h.free:
		return fail(cure, "%s are to be fetched, and there is room for %s", human.Bytes(need), human.Bytes(h.free))
	case need*unpacked > h.free:
		return warn(cure, "%s are to be fetched, which may unpack to more than there is room for, %s", human.Bytes(need), human.Bytes(h.free))
	}
	return ok("%s are to be fetched, and there is room for %s", human.Bytes(need), human.Bytes(h.free))
}
