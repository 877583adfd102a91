package archive

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
	"time"
)

// bufferSize is that of each of the two buffers, before and after the decoder.
const bufferSize = 64 << 10

// maxTargetBytes bounds what the targets of all symlinks of an archive take, so
// that memory stays bounded: 64 bytes for each of a million.
const maxTargetBytes = 64 << 20

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

	x.stream = &stream{r: bufio.NewReaderSize(decoded, bufferSize)}
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

// entry keeps one entry of the archive, notes it as skipped, or refuses it.
func (x *extractor) entry(hdr *tar.Header, content io.Reader) error {
	const volumeLabel, listing, multiVolume = 'V', 'D', 'M' // GNU tar

	switch hdr.Typeflag {
	case tar.TypeXGlobalHeader, volumeLabel:
		return nil // about the archive, no entry of it
	case multiVolume:
		return refuse(hdr.Name, "it continues a file of another volume; pack into one archive, without --multi-volume")
	}

	name, fault := clean(hdr.Name)
	if fault != "" {
		return refuse(hdr.Name, "%s", fault)
	}
	switch hdr.Typeflag {
	case tar.TypeDir, listing:
		return x.folder(name, date(hdr.ModTime))
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		if strings.HasSuffix(hdr.Name, "/") && hdr.Size == 0 {
			return x.folder(name, date(hdr.ModTime)) // as tars older than folders' own type wrote them
		}
		if fault := unknownSparse(hdr); fault != "" {
			return refuse(hdr.Name, "%s", fault)
		}
		return x.file(name, date(hdr.ModTime), hdr.Size, content)
	case tar.TypeLink:
		return x.hardLink(name, hdr.Linkname)
	case tar.TypeSymlink:
		return x.symlink(name, hdr.Linkname, date(hdr.ModTime))
	case tar.TypeChar:
		return x.skip(name, isCharDevice, hdr.Typeflag)
	case tar.TypeBlock:
		return x.skip(name, isBlockDevice, hdr.Typeflag)
	case tar.TypeFifo:
		return x.skip(name, isFifo, hdr.Typeflag)
	default:
		return x.skip(name, isUnknown, hdr.Typeflag)
	}
}

// unknownSparse guards against sparse files of a version that archive/tar takes
// for ordinary ones, map and all.
func unknownSparse(hdr *tar.Header) string {
	major, minor := hdr.PAXRecords["GNU.sparse.major"], hdr.PAXRecords["GNU.sparse.minor"]
	switch major + "." + minor {
	case ".", "0.0", "0.1", "1.0":
		return ""
	}
	return "it is a sparse file of an unknown version; pack without -S"
}

func (x *extractor) folder(name string, modTime time.Time) error {
	if name == "." {
		return nil
	}
	if _, err := x.place(name, folder); err != nil {
		return err
	}
	return x.sink.Dir(name, modTime)
}

func (x *extractor) file(name string, modTime time.Time, size int64, content io.Reader) error {
	if err := x.unpack(name, size); err != nil {
		return err
	}
	id, err := x.place(name, file)
	if err != nil {
		return err
	}
	if err := x.sink.File(name, modTime, size, content); err != nil {
		return err
	}
	x.tree.setFile(id, size)
	return nil
}

// unpack counts content before it is read, or linked.
func (x *extractor) unpack(name string, size int64) error {
	switch {
	case size < 0:
		return refuse(name, "its size is negative")
	case size > x.limits.FileBytes:
		return refuse(name, "it has %d bytes, more than the limit of one file, %d (store.maxFileBytes)", size, x.limits.FileBytes)
	case size > x.limits.TreeBytes-x.unpacked:
		return refuse(name, "with it the archive unpacks to more than the limit of %d bytes (store.maxTreeBytes)", x.limits.TreeBytes)
	}
	x.unpacked += size
	return nil
}

func (x *extractor) hardLink(name, rawTarget string) error {
	target, fault := clean(rawTarget)
	if fault != "" {
		return refuse(name, "it is a hard link to %s: %s", quote(rawTarget), fault)
	}
	from, ok := x.tree.find(target)
	if !ok {
		return refuse(name, "it is a hard link to %s, which is no earlier entry of the archive", quote(rawTarget))
	}
	source := x.tree.nodes[from]
	if source.kind == folder {
		return refuse(name, "it is a hard link to %s, which is a folder", quote(rawTarget))
	}
	if name == target {
		return nil // a file with several links that was given to tar twice
	}
	switch source.kind {
	case link:
		l := x.tree.links[from]
		return x.symlink(name, l.target, l.modTime)
	case skipped:
		return x.skip(name, linksToSkipped, 0)
	}
	if err := x.unpack(name, source.size); err != nil {
		return err
	}
	id, err := x.replace(name, file)
	if err != nil {
		return err
	}
	if err := x.sink.HardLink(name, target); err != nil {
		return err
	}
	x.tree.setFile(id, source.size)
	return nil
}

func (x *extractor) symlink(name, target string, modTime time.Time) error {
	id, err := x.replace(name, link)
	if err != nil {
		return err
	}
	x.tree.setLink(id, target, modTime)
	if x.tree.targetBytes > maxTargetBytes {
		return refuse(name, "the symlinks up to here have targets of more than %d bytes together", maxTargetBytes)
	}
	return nil
}

func (x *extractor) skip(name string, why skipReason, typeflag byte) error {
	id, err := x.replace(name, skipped)
	if err != nil {
		return err
	}
	x.tree.setSkipped(id, why, typeflag)
	return nil
}

// replace is place, and removes an earlier file of that name from the sink.
func (x *extractor) replace(name string, k kind) (int32, error) {
	id, err := x.place(name, k)
	if err != nil {
		return 0, err
	}
	if x.tree.nodes[id].kind == file {
		if err := x.sink.Remove(name); err != nil {
			return 0, err
		}
		x.tree.setSkipped(id, isUnknown, 0)
	}
	return id, nil
}

// place finds or makes the path of an entry that is going to be of kind k, and
// announces the folders on the way that are new.
func (x *extractor) place(name string, k kind) (int32, error) {
	t := x.tree
	if name == "." {
		return 0, refuse(name, "it is the root of the tree, and no folder")
	}
	parent, base, err := x.parent(name)
	if err != nil {
		return 0, err
	}
	id, exists := t.index[place{parent, base}]
	was := skipped
	if exists {
		was = t.nodes[id].kind
	}
	switch {
	case exists && (was == folder) != (k == folder):
		return 0, refuse(name, "the archive holds the same path as a folder and as something else")
	case k == file && was != file && t.files >= x.limits.Files:
		return 0, x.tooManyFiles(name)
	case k != file && (!exists || was == file) && t.others() >= x.limits.others():
		return 0, x.tooManyOthers(name)
	}
	if !exists {
		if k != folder {
			k = skipped // until it is known to be what it is to be
		}
		id = t.add(parent, base, k)
	}
	return id, nil
}

// parent finds the folder of a path, making it and its parents where needed.
func (x *extractor) parent(name string) (id int32, base string, err error) {
	t := x.tree
	slash := strings.LastIndexByte(name, '/')
	if slash < 0 {
		return root, name, nil
	}
	path, base := name[:slash], name[slash+1:]
	if path == t.lastPath {
		return t.lastFolder, base, nil
	}
	id = root
	for start := 0; start < slash; {
		end := start + strings.IndexByte(name[start:], '/')
		child, exists := t.index[place{id, name[start:end]}]
		switch {
		case !exists:
			if t.others() >= x.limits.others() {
				return 0, "", x.tooManyOthers(name)
			}
			child = t.add(id, name[start:end], folder)
			if err := x.sink.Dir(name[:end], time.Time{}); err != nil {
				return 0, "", err
			}
		case t.nodes[child].kind == link:
			return 0, "", refuse(name, "its path leads through the symlink %s", quote(name[:end]))
		case t.nodes[child].kind != folder:
			return 0, "", refuse(name, "its path leads through %s, which is no folder", quote(name[:end]))
		}
		id, start = child, end+1
	}
	t.lastPath, t.lastFolder = strings.Clone(path), id
	return id, base, nil
}

func (x *extractor) tooManyFiles(name string) error {
	return refuse(name, "with it there are more than %d files, the limit (store.maxFiles)", x.limits.Files)
}

func (x *extractor) tooManyOthers(name string) error {
	return refuse(name, "with it there are more than %d folders, links and skipped entries, the limit (store.maxFiles)", x.limits.others())
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
