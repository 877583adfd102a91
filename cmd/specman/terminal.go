package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/specman/specman/internal/human"
)

// isTerminal says whether a person looks at what is written to w.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// progress is a line on the terminal that tells how far a long command has come.
// In a pipe or a log it is quiet. One goroutine at a time may use it.
type progress struct {
	w    io.Writer // nil: quiet
	what string
	last time.Time
}

// progressInterval is how often the line changes: often enough to look alive.
const progressInterval = 200 * time.Millisecond

// progress begins a line, which end takes away again.
func (a *app) progress(what string) *progress {
	p := &progress{what: what, last: time.Now()} // what is done at once shows nothing
	if isTerminal(a.stderr) {
		p.w = a.stderr
	}
	return p
}

// at says that done bytes of total are through; a total of 0 is unknown.
func (p *progress) at(done, total int64) {
	if p.w == nil || time.Since(p.last) < progressInterval {
		return
	}
	p.last = time.Now()
	text := human.Bytes(done)
	if total > 0 {
		text = fmt.Sprintf("%s of %s, %d %%", text, human.Bytes(total), done*100/total)
	}
	fmt.Fprintf(p.w, "\r\x1b[K%s: %s", p.what, text)
}

// end takes the line away.
func (p *progress) end() {
	if p.w != nil {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

// reader tells the progress of what is read through it.
func (p *progress) reader(r io.Reader, total int64) *progressReader {
	return &progressReader{r: r, p: p, total: total}
}

type progressReader struct {
	r           io.Reader
	p           *progress
	done, total int64
}

func (r *progressReader) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	r.done += int64(n)
	r.p.at(r.done, r.total)
	return n, err
}

// count is a number of things for people: 1 file, 2 files.
func count(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
