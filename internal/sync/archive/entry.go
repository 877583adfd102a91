package archive

import (
	"archive/tar"
	"io"
	"strings"
	"time"
)

// maxTargetBytes bounds what the targets of all symlinks of an archive take, so
// that memory stays bounded: 64 bytes for each of a million.
const maxTargetBytes = 64 << 20

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
