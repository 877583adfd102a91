package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	// maxIdleResumes is how often a body is taken up again without at least
	// progress in between.
	maxIdleResumes = 3
	// maxResumes bounds them altogether: a proxy that cuts each connection after
	// a minute lets 8 GiB pass in that many pieces over a line of 15 Mbit/s.
	maxResumes = 100
	// minProgressOfStalled is more than a body brings that drips just below the
	// limit, which would else go on for maxResumes.
	minProgressOfStalled = 16 * minProgress

	firstResumeWait = 500 * time.Millisecond
	maxResumeWait   = 10 * time.Second
)

// download is a blob's body that outlives broken connections.
type download struct {
	remote   *remoteRepository
	desc     ocispec.Descriptor
	ctx      context.Context // ends with the caller's cancel or Close, not with the caller's deadline
	cancel   context.CancelCauseFunc
	body     io.ReadCloser // nil between connections
	sized    bool          // the body has a Content-Length that fits
	offset   int64
	broken   error // what ended the last body
	idle     int   // resumes in a row without progress
	resumes  int
	progress int64 // offset at the last resume that counted as progress
}

func (r *remoteRepository) blob(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	inner, cancel := detach(ctx)
	d := &download{remote: r, desc: desc, ctx: inner, cancel: cancel}
	wait := r.cfg.Timeout
	if deadline, ok := ctx.Deadline(); ok {
		wait = time.Until(deadline)
	}
	if err := d.open(wait); err != nil {
		cancel(nil)
		return nil, explain(err, opBlob, r.target(string(desc.Digest)))
	}
	return d, nil
}

// detach keeps ctx's values and cancelation, but not its deadline.
func detach(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	inner, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			cancel(context.Cause(ctx))
		}
	})
	return inner, func(cause error) {
		stop()
		cancel(cause)
	}
}

// open requests the body from offset on. Where the registry does not resume, it
// begins again, and what is known already is read over; whether both beginnings
// were the same the digest tells.
func (d *download) open(wait time.Duration) error {
	ctx, stop := context.WithCancelCause(d.ctx)
	timer := time.AfterFunc(wait, func() { stop(context.DeadlineExceeded) })
	defer timer.Stop()

	s, err := d.remote.sessions.get()
	if err != nil {
		stop(nil)
		return err
	}
	header := http.Header{}
	if d.offset > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", d.offset))
	}
	path := "blobs/" + d.desc.Digest.String()
	resp, err := d.remote.request(ctx, s, http.MethodGet, path, header)
	var refused *Error
	if errors.As(err, &refused) && refused.Status == http.StatusRequestedRangeNotSatisfiable {
		resp, err = d.remote.request(ctx, s, http.MethodGet, path, nil)
	}
	if err == nil && resp.StatusCode == http.StatusPartialContent && !startsAt(resp, d.offset) {
		discard(resp)
		resp, err = d.remote.request(ctx, s, http.MethodGet, path, nil)
	}
	if err != nil {
		stop(nil)
		return err
	}
	body := &requestBody{ReadCloser: resp.Body, stop: stop}

	want := d.desc.Size
	resumed := resp.StatusCode == http.StatusPartialContent
	if resumed {
		want -= d.offset
	}
	if resp.ContentLength >= 0 && resp.ContentLength != want {
		body.Close()
		return &Error{Kind: Corrupt, Cure: hintDamaged, Err: fmt.Errorf("the registry has %d bytes of it, and not %d", resp.ContentLength+d.desc.Size-want, d.desc.Size)}
	}
	if !resumed && d.offset > 0 {
		timer.Stop() // this may be long; the stall limit guards it
		if _, err := io.CopyN(io.Discard, body, d.offset); err != nil {
			body.Close()
			return unexpected(err)
		}
	}
	d.body, d.sized = body, resp.ContentLength >= 0
	return nil
}

// startsAt reads the beginning of Content-Range (RFC 9110, section 14.4).
func startsAt(resp *http.Response, offset int64) bool {
	return strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", offset))
}

// requestBody ends its request when it is closed.
type requestBody struct {
	io.ReadCloser
	stop context.CancelCauseFunc
}

func (b *requestBody) Close() error {
	b.stop(context.Canceled) // first: a hanging body would not let itself be closed in time
	return b.ReadCloser.Close()
}

// unexpected makes an end that came too early an error.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (d *download) Read(p []byte) (int, error) {
	for {
		if d.body == nil {
			if err := d.resume(); err != nil {
				return 0, explain(err, opBlob, d.remote.target(string(d.desc.Digest)))
			}
		}
		if d.offset == d.desc.Size && d.sized {
			return 0, io.EOF
		}
		n, err := d.body.Read(p)
		d.offset += int64(n)
		if err == nil {
			return n, nil
		}
		if d.offset >= d.desc.Size {
			// All is there, and the digest is the judge: how the connection ended does not matter.
			return n, io.EOF
		}
		d.body.Close()
		d.body, d.broken = nil, unexpected(err)
		if n > 0 {
			return n, nil
		}
	}
}

// resume waits and opens the body again, until it moves or nothing helps.
func (d *download) resume() error {
	for {
		if cause := context.Cause(d.ctx); cause != nil {
			return cause
		}
		failure := d.broken
		enough := int64(minProgress)
		if errors.Is(failure, errStalled) {
			enough = minProgressOfStalled
		}
		if d.offset-d.progress >= enough {
			d.idle, d.progress = 0, d.offset
		}
		if d.idle >= maxIdleResumes || d.resumes >= maxResumes {
			e := connectionError(failure)
			var own *Error
			if errors.As(failure, &own) {
				e = own
			}
			if e.Cure == "" {
				e.Cure = "the connection breaks again and again: look at proxies and load balancers before the registry"
			}
			e.Err = fmt.Errorf("broken at %d of %d bytes, after %d resumes: %w", d.offset, d.desc.Size, d.resumes, e.Err)
			return e
		}
		wait := min(firstResumeWait<<d.idle, maxResumeWait)
		wait += rand.N(wait / 4)
		d.idle++
		d.resumes++
		d.remote.cfg.Logger.Debug("resuming a broken download", "source", d.remote.cfg.Source, "digest", d.desc.Digest.String(),
			"offset", d.offset, "size", d.desc.Size, "wait", wait, "cause", oneLine(failure.Error()))
		timer := time.NewTimer(wait)
		select {
		case <-d.ctx.Done():
			timer.Stop()
			continue
		case <-timer.C:
		}
		err := d.open(d.remote.cfg.Timeout)
		if err == nil {
			return nil
		}
		if !mayRecover(err) {
			return err
		}
		d.broken = err
	}
}

// mayRecover says whether an error at resuming may go away by itself soon. A
// registry that says how long to wait is not asked again before.
func mayRecover(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		e = connectionError(err)
	}
	switch e.Kind {
	case Network, Stalled:
		return true
	case Unavailable:
		return e.RetryAfter == 0
	default:
		return false
	}
}

func (d *download) Close() error {
	d.cancel(context.Canceled)
	if d.body == nil {
		return nil
	}
	err := d.body.Close()
	d.body = nil
	return err
}
