package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"syscall"
)

// PackOptions say how [Pack] packs.
type PackOptions struct {
	// Zstd compresses with zstd, which unpacks faster, instead of gzip, which
	// everybody reads.
	Zstd bool

	// Exclude names files that are left out wherever they are met in the
	// folder, by identity ([os.SameFile]): the archive that is being written.
	Exclude []fs.FileInfo

	// Limits are those that the archive must keep to.
	Limits Limits
}

// Pack writes the folder dir to w as an archive that is a function of its
// content alone: names, bytes, and where symlinks point. It is the same on any
// machine and at any time, since names are sorted and dates (1970), modes (0644,
// 0755) and owners (0) fixed. A file with several hard links is packed once for
// each, since a copy of the folder may not have them.
//
// Pack reads what it writes as [Extract] would, and fails with a *[RefusedError]
// as soon as that would be refused; Report is of that reading. Symlinks are
// packed as they are and never followed. Report.Skipped names those that would
// not be served, and the devices, pipes and sockets, which are not packed.
//
// dir must not change meanwhile; a file that does is an error. After an error,
// what was written to w is of no use.
func Pack(ctx context.Context, w io.Writer, dir string, opts PackOptions) (Report, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Report{}, fmt.Errorf("packing: %w", err)
	}
	defer root.Close()

	p := &packer{ctx: ctx, root: root, exclude: opts.Exclude}
	report, err := packChecked(ctx, w, opts, p.pack)
	if err != nil {
		err = fmt.Errorf("packing %s: %w", dir, err)
	}
	report.Skipped = slices.Concat(p.skips.Skipped, report.Skipped)
	report.Skipped = report.Skipped[:min(len(report.Skipped), maxSkippedNamed)]
	report.SkippedTotal += p.skips.SkippedTotal
	return report, err
}

// packChecked has pack write an archive to w, and reads it meanwhile as [Extract]
// would.
func packChecked(ctx context.Context, w io.Writer, opts PackOptions, pack func(*writer) error) (Report, error) {
	copyOut, copyIn := io.Pipe()
	type result struct {
		Report
		err error
	}
	checked := make(chan result)
	go func() {
		// Not Extract: reading on after a refusal would only pack on.
		src := &source{ctx: ctx, r: copyOut}
		report, err := extract(src, opts.Limits, checker{})
		if src.err != nil {
			err = src.err
		}
		copyOut.CloseWithError(err) // stops the packing
		checked <- result{report, err}
	}()

	err := func() error {
		out, err := newWriter(io.MultiWriter(w, copyIn), opts.Zstd)
		if err != nil {
			return err
		}
		if err := pack(out); err != nil {
			return err
		}
		return out.close()
	}()
	copyIn.CloseWithError(err) // nil: the archive is complete
	check := <-checked
	if check.err != nil {
		err = check.err // either the cause of err, or the same
	}
	return check.Report, err
}

// packer is one run of Pack.
type packer struct {
	ctx     context.Context // of this run
	root    *os.Root
	exclude []fs.FileInfo
	out     *writer
	skips   Report // what is not packed at all
}

func (p *packer) pack(out *writer) error {
	p.out = out
	return p.folder(".")
}

// folder packs what lies in the folder name.
func (p *packer) folder(name string) error {
	bases, err := p.list(name)
	if err != nil {
		return err
	}
	for _, base := range bases {
		if err := p.entry(join(name, base)); err != nil {
			return err
		}
	}
	return nil
}

func (p *packer) list(name string) ([]string, error) {
	f, err := p.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	bases, err := f.Readdirnames(-1)
	slices.Sort(bases)
	return bases, err
}

func (p *packer) entry(name string) error {
	if err := p.ctx.Err(); err != nil {
		return err
	}
	info, err := p.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return changed(name)
	}
	if err != nil {
		return err
	}
	if slices.ContainsFunc(p.exclude, func(x fs.FileInfo) bool { return os.SameFile(x, info) }) {
		return nil
	}
	switch info.Mode().Type() {
	case 0:
		return p.file(name, info)
	case fs.ModeDir:
		if err := p.out.folder(name); err != nil {
			return err
		}
		return p.folder(name)
	case fs.ModeSymlink:
		target, err := p.root.Readlink(name)
		if err != nil {
			return err
		}
		return p.out.symlink(name, target)
	}
	p.skips.skip(name, special(info.Mode()))
	return nil
}

func special(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeSocket != 0:
		return "socket"
	case mode&fs.ModeNamedPipe != 0:
		return isFifo.String()
	case mode&fs.ModeCharDevice != 0: // has ModeDevice, too
		return isCharDevice.String()
	case mode&fs.ModeDevice != 0:
		return isBlockDevice.String()
	}
	return "no regular file, folder or symlink"
}

// file packs a regular file, and fails if it is not the same from first to last.
func (p *packer) file(name string, seen fs.FileInfo) error {
	// Should it have become a symlink or a pipe by now, neither follow nor wait.
	f, err := p.root.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(seen, before) {
		return changed(name)
	}
	if err := p.out.file(name, before.Size()); err != nil {
		return err
	}
	switch _, err := io.CopyN(p.out.tar, f, before.Size()); {
	case err == io.EOF:
		return changed(name)
	case err != nil:
		return err
	}
	after, err := f.Stat()
	if err != nil {
		return err
	}
	if after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) {
		return changed(name)
	}
	return nil
}

func changed(name string) error {
	return fmt.Errorf("%s changed while the folder was packed; let it settle and try again", quote(name))
}
