package ops

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/specman/specman/internal/store"
)

// ErrNotRunning is wrapped where nothing listens at the control socket.
var ErrNotRunning = errors.New("the service does not run")

// answerTimeout is how long an answer that waits for nothing may take.
const answerTimeout = 15 * time.Second

// Client asks a running service through its control socket. Its methods wrap
// ErrNotRunning where there is none; what the service refuses is a
// *RefusedError.
type Client struct {
	Socket string // path, of any length
}

// RefusedError is a call that the service answered with an error.
type RefusedError struct{ Problem }

func (e *RefusedError) Error() string { return e.Detail }

// accessError is a control socket that this user may not use.
type accessError struct {
	error
	cure string
}

func (e accessError) Unwrap() error { return e.error }
func (e accessError) Cure() string  { return e.cure }

// Status asks how the service is doing.
func (c *Client) Status(ctx context.Context) (st Status, err error) {
	return st, c.Get(ctx, "/api/v1/status", nil, &st)
}

// Releases asks what the service holds.
func (c *Client) Releases(ctx context.Context) (releases []Release, err error) {
	return releases, c.Get(ctx, "/api/v1/releases", nil, &releases)
}

// Events asks what happened, newest first.
func (c *Client) Events(ctx context.Context) (events []store.Event, err error) {
	return events, c.Get(ctx, "/api/v1/events", nil, &events)
}

// Diff asks what changes between two views; see DiffOf.
func (c *Client) Diff(ctx context.Context, from, to string) (d Diff, err error) {
	return d, c.Get(ctx, "/api/v1/diff", url.Values{"from": {from}, "to": {to}}, &d)
}

// Sync asks for a sync now and waits for it, however long it takes.
func (c *Client) Sync(ctx context.Context, force bool) (result SyncResult, err error) {
	query := url.Values{"wait": {"true"}}
	if force {
		query.Set("force", "true")
	}
	return result, c.Post(ctx, "/api/v1/sync", query, &result)
}

// Get asks for what path answers, at once.
func (c *Client) Get(ctx context.Context, path string, query url.Values, into any) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	return c.do(ctx, http.MethodGet, path, query, nil, into)
}

// changeTimeout bounds the wait for a change that reads and writes little.
const changeTimeout = time.Minute

// change is Post for one of those.
func (c *Client) change(ctx context.Context, path string, query url.Values, into any) error {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	return c.Post(ctx, path, query, into)
}

// Post asks for a change and waits until it is made.
func (c *Client) Post(ctx context.Context, path string, query url.Values, into any) error {
	return c.do(ctx, http.MethodPost, path, query, nil, into)
}

func (c *Client) do(ctx context.Context, method, path string, query url.Values, body io.Reader, into any) error {
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dialControl(ctx, c.Socket) },
	}
	target := url.URL{Scheme: "http", Host: "specman", Path: path, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, method, target.String(), body)
	if err != nil {
		return fmt.Errorf("ask the service: %w", err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return c.explain(err)
	}
	defer resp.Body.Close()
	decoder := json.NewDecoder(resp.Body)
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json") {
		refused := &RefusedError{}
		if err := decoder.Decode(&refused.Problem); err != nil {
			return fmt.Errorf("the service at %s answered %s: %w", c.Socket, resp.Status, err)
		}
		return refused
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("the service at %s answered %s", c.Socket, resp.Status)
	}
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("read the answer of the service at %s: %w", c.Socket, err)
	}
	return nil
}

// explain says what a failure to connect means.
func (c *Client) explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: nothing listens at %s", ErrNotRunning, c.Socket)
	case errors.Is(err, fs.ErrPermission):
		cure := "run it as the user of the service, as `kubectl exec` into its pod does"
		if info, statErr := os.Stat(c.Socket); statErr == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				cure = fmt.Sprintf("run it as uid %d, as `kubectl exec` into the pod does", st.Uid)
			}
		}
		return accessError{fmt.Errorf("the control socket %s is not for uid %d: %w", c.Socket, os.Getuid(), fs.ErrPermission), cure}
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the service at %s does not answer: %w", c.Socket, err)
	}
	return fmt.Errorf("ask the service at %s: %w", c.Socket, err)
}
