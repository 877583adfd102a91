package oci_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	stdsync "sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/sync/oci"
	"github.com/specman/specman/internal/testenv"
)

// proxy is an HTTP proxy that connects every name to one address.
type proxy struct {
	address string
	refuse  int // status, or 0

	mu        stdsync.Mutex
	connected []string
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	p.mu.Lock()
	p.connected = append(p.connected, req.Method+" "+req.Host)
	p.mu.Unlock()
	if p.refuse != 0 {
		w.WriteHeader(p.refuse)
		return
	}
	upstream, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", p.address)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	_, _ = io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n")
	go func() {
		defer upstream.Close()
		_, _ = io.Copy(upstream, buffered)
	}()
	defer client.Close()
	_, _ = io.Copy(client, upstream)
}

// net/http reads the environment once per process, so the client runs in a
// process of its own: this test again, with proxyClient set.
const proxyClient = "SPECMAN_TEST_PROXY_CLIENT"

func TestProxyOfTheEnvironment(t *testing.T) {
	if host := os.Getenv(proxyClient); host != "" {
		net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("no DNS here")
		}}
		r := open(t, host, overTLS(func(c *oci.TLSConfig) { c.CAFile = os.Getenv(proxyClient + "_CA") }))
		got, err := sync(t.Context(), r, "0.0.0")
		if err != nil {
			e := failure(t, err)
			t.Logf("failed: %s %v; %s", e.Kind, e, e.Cure)
			return
		}
		t.Logf("got: %s", got)
		return
	}

	registry := newRegistry()
	registry.Push("0.0.0", "manifests.tgz", []byte("archive"), day)
	ca := testenv.NewCA(t)
	address := startTLS(t, registry, ca.Server(t, nil, "registry.test"), nil)
	client := func(p *proxy, noProxy string) string {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProxyOfTheEnvironment$", "-test.v")
		env := slices.DeleteFunc(os.Environ(), func(v string) bool { return v == "NO_PROXY" || v == "no_proxy" })
		cmd.Env = append(env, proxyClient+"=registry.test", proxyClient+"_CA="+ca.File,
			"HTTPS_PROXY=http://"+startHTTP(t, p), "https_proxy=", "NO_PROXY="+noProxy, "no_proxy=")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}

	through := &proxy{address: address}
	assert.Contains(t, client(through, ""), "got: archive")
	assert.Equal(t, []string{"CONNECT registry.test:443"}, through.connected, "one connection for all")

	around := &proxy{address: address}
	assert.Contains(t, client(around, "registry.test"), "failed: network", "without the proxy nobody knows the name")
	assert.Empty(t, around.connected)

	refused := client(&proxy{refuse: http.StatusProxyAuthRequired}, "")
	assert.Contains(t, refused, "failed: network")
	assert.Contains(t, refused, "407 Proxy Authentication Required")
	assert.Contains(t, refused, "HTTPS_PROXY")
}
