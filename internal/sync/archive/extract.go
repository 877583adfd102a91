package archive

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"io"
)

// bufferSize is that of each of the two buffers: what the decoder reads from, and
// what tar headers are looked at in.
const bufferSize = 64 << 10

// extract is Extract without the last word of the source.
func extract(src *source, limits Limits, sink Sink) (Report, error) {
	x := &extractor{limits: limits.withDefaults(), sink: sink, ctx: src.ctx, tree: newTree()}
	err := x.run(src)
	x.fillReport()
	return x.report, err
}

// extractor is one run of Extract.
type extractor struct {
	ctx    context.Context // of this run
	limits Limits
	sink   Sink
	tree   *tree
	report Report

	stream   *stream
	unpacked int64  // content so far, what was replaced since included
	previous string // the entry before, for errors that lie between two
	circles  Report // what is skipped below symlinks, so that no entry names it
}

func (x *extractor) run(src *source) error {
	raw := bufio.NewReaderSize(src, bufferSize)
	head, err := raw.Peek(blockSize)
	if err != nil && err != io.EOF {
		return err
	}
	format, refused := detect(head)
	if refused != nil {
		return refused
	}
	x.report.Format = format.name
	decoded, err := openDecoded(format, raw, x.limits.streamBytes())
	if err != nil {
		return err
	}
	defer decoded.Close()

	ahead := readAhead(decoded)
	defer ahead.close()
	x.stream = newStream(ahead)
	head, err = x.stream.r.Peek(blockSize)
	switch {
	case err != nil && err != io.EOF:
		return err
	case len(head) == 0:
		return refuse("", "the %s holds nothing; %s", format.what, cure)
	case !isTar(head):
		return refuse("", "what the %s holds is no tar archive but %s; %s", format.what, guess(head), cure)
	}
	if err := x.entries(); err != nil {
		return err
	}
	if err := x.stream.finish(); err != nil {
		return err
	}
	x.tree.resolveLinks()
	if x.tree.files == 0 {
		return x.noFile()
	}
	return x.tellLinks()
}

func (x *extractor) entries() error {
	tr := tar.NewReader(x.stream)
	for {
		end, err := x.stream.atEnd()
		if err != nil {
			return x.broken(err)
		}
		if end {
			return nil
		}
		if err := x.stream.checkLongNames(); err != nil {
			return x.broken(err)
		}
		hdr, err := tr.Next()
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) { // names are checked here, whatever GODEBUG says
			return x.broken(noEOF(err))
		}
		content := &content{r: tr}
		if err := x.entry(hdr, content); err != nil {
			if content.err != nil { // the sink may have reworded it
				return x.brokenContent(hdr.Name, content.err)
			}
			return err
		}
		// Entries that are no files can have content too; and the next header
		// is looked for behind it.
		if _, err := io.Copy(io.Discard, content); err != nil {
			return x.brokenContent(hdr.Name, err)
		}
		x.previous = hdr.Name
	}
}

// broken is for errors between two entries.
func (x *extractor) broken(err error) error {
	where := "at its first entry"
	if x.previous != "" {
		where = "after entry " + quote(x.previous)
	}
	var refused *RefusedError
	switch {
	case errors.As(err, &refused):
		return &RefusedError{Reason: refused.Reason + " " + where, Err: refused.Err}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &RefusedError{Reason: "the tar archive is truncated: it stops " + where + " without the mark of its end", Err: err}
	default:
		return &RefusedError{Reason: "the tar header " + where + " is corrupt", Err: err}
	}
}

// brokenContent is for errors inside of an entry.
func (x *extractor) brokenContent(name string, err error) error {
	var refused *RefusedError
	switch {
	case errors.As(err, &refused):
		return &RefusedError{Entry: shorten(name), Reason: refused.Reason, Err: refused.Err}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &RefusedError{Entry: shorten(name), Reason: "the tar archive is truncated in its content", Err: err}
	default:
		return &RefusedError{Entry: shorten(name), Reason: "its content is corrupt", Err: err}
	}
}

func (x *extractor) noFile() error {
	x.fillReport()
	if total := x.report.SkippedTotal; total > 0 {
		return refuse("", "there is not one file in it (skipped entries: %d, the first %s); %s", total, x.report.Skipped[0], cure)
	}
	return refuse("", "there is not one file in it; %s", cure)
}

// fillReport says what the tree holds now.
func (x *extractor) fillReport() {
	r, t := &x.report, x.tree
	r.Files, r.Dirs, r.Bytes = t.files, t.folders, t.bytes
	r.Skipped, r.SkippedTotal = nil, 0
	t.skips(r.skip)
	for _, c := range x.circles.Skipped {
		r.skip(c.Name, c.Reason)
	}
	r.SkippedTotal += x.circles.SkippedTotal - len(x.circles.Skipped)
}

// content is the content of one entry. It remembers how reading it failed.
type content struct {
	r   io.Reader
	err error
}

func (c *content) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if err != nil && err != io.EOF {
		c.err = err
	}
	return n, err
}
