package main

import (
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/testenv"
)

// running is a service that was started as `specman serve` is.
type running struct {
	t    *testing.T
	tree string // URL of the tree
	ops  string // URL of metrics, health and API
	log  *testenv.Log
	stop func() // ends it, once, and waits
}

var servingLine = regexp.MustCompile(`msg="Serving" address="(\S+)" ops="(\S+)"`)

// startService runs `specman serve` on free ports until the test ends.
func startService(t *testing.T, args ...string) *running {
	t.Helper()
	r := &running{t: t, log: &testenv.Log{}}
	ctx, cancel := context.WithCancel(context.Background())
	status := make(chan int, 1)
	args = append([]string{"serve", "--http.listen=127.0.0.1:0", "--ops.listen=127.0.0.1:0"}, args...)
	go func() { status <- run(ctx, args, nil, strings.NewReader(""), io.Discard, r.log) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		assert.Equal(t, 0, <-status, "%s", r.log)
	})
	t.Cleanup(r.stop)
	require.Eventually(t, func() bool {
		found := servingLine.FindStringSubmatch(r.log.String())
		if found == nil {
			return false
		}
		r.tree, r.ops = found[1], found[2]
		return true
	}, 30*time.Second, 5*time.Millisecond, "%s", r.log)
	return r
}

// get asks the ops port.
func (r *running) get(path string) (status int, body string) {
	r.t.Helper()
	resp, err := http.Get(r.ops + path)
	require.NoError(r.t, err)
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	require.NoError(r.t, err)
	return resp.StatusCode, string(content)
}

// ready waits until a view is served.
func (r *running) ready() {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		status, _ := r.get("/readyz")
		return status == http.StatusOK
	}, 30*time.Second, 10*time.Millisecond, "%s", r.log)
}
