package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// outputFile is a file that has its name only once it is whole: until commit
// what had that name before is untouched.
type outputFile struct {
	*os.File
	final     string // the name that it is to have
	temporary bool   // written beside, to be renamed
}

// createOutput begins a file called name. What is there and no regular file, such
// as /dev/null or a pipe, is written to as it is.
func createOutput(name string) (*outputFile, error) {
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, withCure(fmt.Errorf("%s is a folder", name), fmt.Sprintf("name the file: -f %s", filepath.Join(name, "manifests.tgz")))
	case !info.Mode().IsRegular():
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return nil, err
		}
		return &outputFile{File: f, final: name}, nil
	default:
		// Not the symlink is to be replaced, but what it leads to.
		if name, err = filepath.EvalSymlinks(name); err != nil {
			return nil, err
		}
	}
	f, err := createBeside(name)
	if err != nil {
		return nil, err
	}
	return &outputFile{File: f, final: name, temporary: true}, nil
}

// createBeside makes a file of a new name in the folder of name. Unlike
// [os.CreateTemp] it leaves the file's mode to the umask.
func createBeside(name string) (*os.File, error) {
	dir, base := filepath.Split(name)
	for try := 0; ; try++ {
		f, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf(".%s.%d-%d.part", base, os.Getpid(), try)), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
		if !errors.Is(err, fs.ErrExist) || try == 1000 {
			return f, err
		}
	}
}

// identities are the files that an archive of the folder around them is not to hold:
// the output itself, and the one that it is going to replace.
func (o *outputFile) identities() ([]fs.FileInfo, error) {
	own, err := o.Stat()
	if err != nil {
		return nil, err
	}
	all := []fs.FileInfo{own}
	if old, err := os.Stat(o.final); err == nil && old.Mode().IsRegular() {
		all = append(all, old)
	}
	return all, nil
}

// commit gives the file its name. Either way it is closed.
func (o *outputFile) commit() error {
	if !o.temporary {
		return o.Close()
	}
	err := errors.Join(o.Sync(), o.Close())
	if err == nil {
		err = os.Rename(o.Name(), o.final)
	}
	if err != nil {
		os.Remove(o.Name())
	}
	return err
}

// discard leaves nothing behind, and what was there before as it was.
func (o *outputFile) discard() {
	o.Close()
	if o.temporary {
		os.Remove(o.Name())
	}
}

// writeOutput has write fill the file called name, or stdout for "-", and leaves no
// file if that fails. The exclude that write is given belong to the file itself.
func (a *app) writeOutput(name string, write func(w io.Writer, exclude []fs.FileInfo) error) error {
	if name == "-" {
		if isTerminal(a.stdout) {
			return usageError{withCure(errors.New("an archive is not for a terminal"), "redirect standard output, or give a file with -f FILE")}
		}
		return write(a.stdout, nil)
	}
	out, err := createOutput(name)
	if err != nil {
		return err
	}
	exclude, err := out.identities()
	if err == nil {
		err = write(out, exclude)
	}
	if err != nil {
		out.discard()
		return err
	}
	return out.commit()
}
