//go:build kube

package kube_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	serviceHost = "specman-service.hubble-system.svc.cluster.local"
	endpoint    = "https://" + serviceHost + ":8443" // the guide's, step 9
)

// A reader reads the tree as Palette does, but verifies whom it reads from.
type reader struct{ tls *tls.Config }

// newReader trusts what the chart hands to clients.
func newReader(s *site) *reader {
	s.t.Helper()
	ca, err := base64.StdEncoding.DecodeString(s.field("secret/specman-self-signed", ".data.ca\\.crt"))
	require.NoError(s.t, err)
	pool := x509.NewCertPool()
	require.True(s.t, pool.AppendCertsFromPEM(ca))
	return &reader{&tls.Config{RootCAs: pool}}
}

// client makes connections of its own; fresh ones for each request, or lasting ones.
func (r *reader) client(fresh bool) *http.Client {
	return &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: r.tls.Clone(), DisableKeepAlives: fresh, ForceAttemptHTTP2: !fresh}}
}

// get returns the body of a path and the tag that it comes from.
func (r *reader) get(path string) (body, release string, err error) {
	return getWith(r.client(true), path)
}

func getWith(client *http.Client, path string) (body, release string, err error) {
	response, err := client.Get(endpoint + path)
	if err != nil {
		return "", "", err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s: %s", path, response.Status, content)
	}
	return string(content), response.Header.Get("Specman-Release"), err
}

// want asks that path has this content by now.
func (r *reader) want(path, content string) func() error {
	return func() error {
		body, _, err := r.get(path)
		if err == nil && body != content {
			err = fmt.Errorf("%s is still %q", path, body)
		}
		return err
	}
}

// A load is clients that read without a pause until told to stop.
type load struct {
	stop    context.CancelFunc
	running sync.WaitGroup
	mu      sync.Mutex
	reads   int
	faults  []error
}

// start begins to read with both kinds of clients.
func (r *reader) start(path string) *load {
	ctx, stop := context.WithCancel(context.Background())
	l := &load{stop: stop}
	for _, fresh := range []bool{true, true, false, false} {
		client := r.client(fresh)
		l.running.Go(func() {
			for ctx.Err() == nil {
				_, _, err := getWith(client, path)
				l.mu.Lock()
				l.reads++
				if err != nil {
					l.faults = append(l.faults, err)
				}
				l.mu.Unlock()
				time.Sleep(5 * time.Millisecond) // the node's two cores run all of the cluster, too
			}
		})
	}
	return l
}

// end demands that every read was answered.
func (l *load) end(t *testing.T) {
	t.Helper()
	l.stop()
	l.running.Wait()
	assert.NoError(t, errors.Join(l.faults...))
	assert.Greater(t, l.reads, 100, "nobody read anything")
	t.Logf("%d reads, %d failed", l.reads, len(l.faults))
}
