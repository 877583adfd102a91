package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// maxFileSize bounds the configuration file; a large one is not a configuration.
const maxFileSize = 1 << 20

// readFile reads the file that flag, variable or default name, and says which.
func (l *loader) readFile() (layer, string) {
	path, optional := l.opts.DefaultFile, true
	if p, ok := l.vars[configEnv]; ok {
		path, optional = p, false
	}
	if f := l.opts.Flags; f != nil && len(f.file.texts) > 0 {
		path, optional = f.file.last(), false
		if path == "" {
			l.report("config", fromFlag("config"), "names no file; give it a path or leave it out")
			return layer{}, ""
		}
	}
	if path == "" {
		return layer{}, ""
	}
	data, err := readLimited(path)
	if optional && errors.Is(err, fs.ErrNotExist) {
		return layer{}, ""
	}
	place := func(line int) Origin { return Origin{From: "file", Name: path, Line: line} }
	if err != nil {
		l.report("", place(0), fmt.Sprintf("cannot be read: %v", withoutPath(err)))
		return layer{}, path
	}
	reader := &yamlReader{keys: l.keys, place: place, report: l.report}
	return reader.document(data), path
}

func readLimited(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFileSize+1))
	if err == nil && len(data) > maxFileSize {
		return nil, fmt.Errorf("it is larger than %s", formatSize(maxFileSize))
	}
	return data, err
}

// withoutPath drops the path that the message names already.
func withoutPath(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}
