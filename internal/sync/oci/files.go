package oci

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxFileBytes bounds what is read of any file that a setting names.
const maxFileBytes = 4 << 20

// file is a file that a setting names.
type file struct{ setting, path string }

// read names the setting, the file and the cure where it fails.
func (f file) read() ([]byte, error) {
	content, err := f.content()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.setting, err)
	}
	return content, nil
}

func (f file) content() ([]byte, error) {
	opened, err := os.Open(f.path)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	content, err := io.ReadAll(io.LimitReader(opened, maxFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxFileBytes {
		return nil, fmt.Errorf("%s is larger than %d MiB", f.path, maxFileBytes>>20)
	}
	return content, nil
}

// lookPause is how old a look at the files may be for a request. The requests of a
// poll follow each other within milliseconds, and opening files for each of them cost
// a twentieth of an idle poll.
const lookPause = time.Second

// fingerprinter tells by content whether any file changed. It follows the
// symlinks by which the kubelet swaps a Secret, since it opens by name.
type fingerprinter struct {
	salt  [32]byte // keeps a fingerprint that leaks from confirming guesses of a password
	files []file

	mu     sync.Mutex
	last   string
	looked time.Time
}

func newFingerprinter(files []file) *fingerprinter {
	f := &fingerprinter{files: files}
	_, _ = rand.Read(f.salt[:]) // it never fails
	return f
}

// recent is what now said last, or says where that was more than lookPause ago.
func (f *fingerprinter) recent() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last == "" || time.Since(f.looked) > lookPause {
		f.look()
	}
	return f.last
}

func (f *fingerprinter) now() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.look()
	return f.last
}

// look reads the files. Most often there is none, or one that is not there.
func (f *fingerprinter) look() {
	f.looked = time.Now()
	if len(f.files) == 0 {
		f.last = "no files"
		return
	}
	text := append(make([]byte, 0, 512), f.salt[:]...)
	for _, file := range f.files {
		content, err := file.content()
		if err != nil {
			content = []byte(err.Error())
		}
		text = strconv.AppendQuote(text, file.path)
		text = strconv.AppendBool(text, err == nil)
		text = strconv.AppendInt(text, int64(len(content)), 10)
		text = append(append(text, '\n'), content...)
	}
	sum := sha256.Sum256(text)
	f.last = hex.EncodeToString(sum[:16])
}

// secret is a value that is given as such or in a file.
type secret struct {
	setting     string
	value, path string
}

func (s secret) given() bool { return s.value != "" || s.path != "" }

func (s secret) check() error {
	if s.value != "" && s.path != "" {
		return fmt.Errorf("%s and %sFile are both set: remove one of them", s.setting, s.setting)
	}
	return nil
}

func (s secret) files() []file {
	if s.path == "" {
		return nil
	}
	return []file{{s.setting + "File", s.path}}
}

// read takes off the line's end that editors and echo put behind a secret.
func (s secret) read() (string, error) {
	if s.path == "" {
		return s.value, nil
	}
	content, err := file{s.setting + "File", s.path}.read()
	if err != nil {
		return "", err
	}
	value := strings.TrimRight(string(content), "\r\n")
	if value == "" {
		return "", fmt.Errorf("%sFile: %s is empty", s.setting, s.path)
	}
	return value, nil
}
