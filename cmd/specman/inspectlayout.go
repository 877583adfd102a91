package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/specman/specman/internal/config"
	"github.com/specman/specman/internal/human"
	"github.com/specman/specman/internal/sync/importer"
	"github.com/specman/specman/internal/sync/oci"
)

// layoutRelease is what inspect finds out of one release of an OCI layout in a file.
type layoutRelease struct {
	Tag string `json:"tag"` // or the digest of the only manifest, where that has none
	// PassedOver says that an import leaves it out and is none the worse for it: it is
	// something else, such as a chart.
	PassedOver bool `json:"passedOver"`
	inspection
}

// notInPlace is what inspect says of a layout that it met in a stream.
func notInPlace(what string) error {
	return withCure(fmt.Errorf("%s is an OCI layout, whose releases can be judged in a plain tar on disk only", what),
		"put it into a file without compression (gunzip, zstd -d), and inspect that")
}

// layout judges all that an import of a layout would take.
func (i *inspector) layout(ctx context.Context, f *os.File, size int64, name string, source *config.Source) error {
	files, err := oci.TarFS(f, size)
	if err != nil {
		return fmt.Errorf("read the OCI layout %s: %w", name, err)
	}
	l, err := importer.OpenLayout(ctx, files, name, "")
	if err != nil {
		return i.layoutFault(err)
	}
	for _, tag := range l.References {
		one := inspector{app: i.app, limits: i.limits}
		if err := one.release(ctx, l.Repository, source.Archive, tag, l.Several()); err != nil {
			if err = one.layoutFault(err); err != nil {
				return err
			}
		}
		if a := one.found.Artifact; a != nil {
			if a.Followed, _, err = followed(source, tag); err != nil {
				return err
			}
		}
		i.found.Releases = append(i.found.Releases, layoutRelease{tag, l.Several() && one.found.noArchive, one.found})
	}
	i.sumUp()
	return nil
}

// layoutFault refuses what a layout on disk is at fault for, and returns what it is not.
func (i *inspector) layoutFault(err error) error {
	if oci.KindOf(err) == oci.Canceled || errors.Is(err, context.Canceled) {
		return err
	}
	i.refuse("", err.Error(), "")
	return nil
}

// sumUp accepts a layout where an import of it would end well: something of it is
// imported, and nothing that was meant to be is not.
func (i *inspector) sumUp() {
	var good int
	var worst *layoutRelease
	for n := range i.found.Releases {
		r := &i.found.Releases[n]
		switch {
		case r.Accepted:
			good++
		case worst == nil, worst.PassedOver && !r.PassedOver:
			worst = r
		}
	}
	if worst == nil || worst.PassedOver && good > 0 {
		return
	}
	reason := worst.Tag + ": " + worst.Refused.String()
	if good > 0 {
		reason = fmt.Sprintf("only %d of its %d releases can be served; %s", good, len(i.found.Releases), reason)
	}
	i.refuse("", reason, worst.cure)
}

func (f *inspection) printLayout(w io.Writer, name string) {
	fmt.Fprintf(w, "%s: an OCI layout, %s, %s\ndigest: %s\n", name, human.Bytes(f.ArchiveBytes), count(len(f.Releases), "release"), f.Digest)
	for n := range f.Releases {
		r := &f.Releases[n]
		r.printFound(w, r.Tag)
		switch {
		case r.Accepted:
			fmt.Fprintf(w, "%s would be accepted\n", r.Tag)
		case r.PassedOver:
			fmt.Fprintf(w, "%s would be passed over: %s\n", r.Tag, r.Refused)
		default:
			fmt.Fprintf(w, "%s would be refused: %s\n", r.Tag, r.Refused)
		}
	}
}
