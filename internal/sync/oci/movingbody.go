package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// minProgress is what a body must bring per stall timeout: 64 KiB per minute is
// slower than any line that can be worked with.
const minProgress = 64 << 10

var errStalled = fmt.Errorf("fewer than %d KiB came within source.stallTimeout", minProgress>>10)

// movingBody fails a body that moves too slowly. Only time spent waiting for
// the other side counts, so that a reader with a slow disk may take its time.
type movingBody struct {
	io.ReadCloser
	ctx   context.Context // of the request: stop ends it
	stop  context.CancelCauseFunc
	limit time.Duration

	waited time.Duration // since the last minProgress bytes had come
	got    int64         // in that time
}

func (b *movingBody) Read(p []byte) (int, error) {
	start := time.Now()
	timer := time.AfterFunc(b.limit-b.waited, func() { b.stop(errStalled) })
	n, err := b.ReadCloser.Read(p)
	timer.Stop()
	b.waited += time.Since(start)
	if b.got += int64(n); b.got >= minProgress {
		b.waited, b.got = 0, 0
	}
	if err != nil && !errors.Is(err, io.EOF) {
		// A canceled request reports only that it was canceled.
		if cause := context.Cause(b.ctx); cause != nil {
			err = cause
		}
	}
	return n, err
}

// Close reads the little that may be left of a short body, so that the
// connection can be used again, and ends the request.
func (b *movingBody) Close() error {
	if b.ReadCloser != http.NoBody {
		_, _ = io.CopyN(io.Discard, b, 4<<10)
	}
	err := b.ReadCloser.Close()
	b.stop(context.Canceled)
	return err
}
