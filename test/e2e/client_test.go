package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// newClient makes a client with connections of its own that trusts the store's
// self-made certificate, and speaks HTTP/2 or only HTTP/1.1. It follows no
// redirect and decodes nothing.
func newClient(t testing.TB, dir string, http2 bool) *http.Client {
	t.Helper()
	pem, err := os.ReadFile(filepath.Join(dir, "tls", "tls.crt"))
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(pem))
	transport := &http.Transport{
		TLSClientConfig:    &tls.Config{RootCAs: roots},
		ForceAttemptHTTP2:  http2,
		DisableCompression: true,
	}
	if !http2 {
		transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     transport,
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// answer is a response whose body was read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
	proto  string
}

// fetch makes a GET. An error means that no whole answer came.
func fetch(client *http.Client, target string, header http.Header) (answer, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, target, nil)
	if err != nil {
		return answer{}, err
	}
	if header != nil {
		req.Header = header
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, fmt.Errorf("body of %s: %w", target, err)
	}
	return answer{resp.StatusCode, resp.Header, body, resp.Proto}, nil
}

// get makes a GET that has to be answered by 200.
func (s *specman) get(client *http.Client, path string) answer {
	s.t.Helper()
	a, err := fetch(client, s.running.url+path, nil)
	require.NoError(s.t, err)
	require.Equal(s.t, http.StatusOK, a.status, "GET %s: %s", path, a.body)
	return a
}

// tree reads everything that is served, by its listings, as path → content.
func (s *specman) tree(client *http.Client) map[string]string {
	s.t.Helper()
	files := map[string]string{}
	var walk func(folder string)
	walk = func(folder string) {
		a, err := fetch(client, s.running.url+escaped(folder), http.Header{"Accept": {"application/json"}})
		require.NoError(s.t, err)
		require.Equal(s.t, http.StatusOK, a.status, "GET %s: %s", folder, a.body)
		if !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
			files[folder+"index.html"] = string(a.body) // a folder that has its own page
			return
		}
		var entries []struct{ Name, Type string }
		require.NoError(s.t, json.Unmarshal(a.body, &entries))
		for _, e := range entries {
			if e.Type == "directory" {
				walk(folder + e.Name + "/")
				continue
			}
			files[folder+e.Name] = string(s.get(client, escaped(folder+e.Name)).body)
		}
	}
	walk("/")
	return files
}

func escaped(path string) string { return (&url.URL{Path: path}).EscapedPath() }

// metrics reads /metrics, as name{labels} → value.
func (s *specman) metrics() map[string]float64 {
	s.t.Helper()
	resp, err := (&http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}).Get(s.running.ops + "/metrics")
	require.NoError(s.t, err)
	defer resp.Body.Close()
	require.Equal(s.t, http.StatusOK, resp.StatusCode)
	values := map[string]float64{}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		line := lines.Text()
		if cut := strings.LastIndexByte(line, ' '); cut > 0 && !strings.HasPrefix(line, "#") {
			value, err := strconv.ParseFloat(line[cut+1:], 64)
			require.NoError(s.t, err, line)
			values[line[:cut]] = value
		}
	}
	require.NoError(s.t, lines.Err())
	return values
}

// waitMetric returns when a metric has reached a value.
func (s *specman) waitMetric(name string, atLeast float64) {
	s.t.Helper()
	eventually(s.t, func() error {
		if value := s.metrics()[name]; value < atLeast {
			return fmt.Errorf("%s is %v, not yet %v", name, value, atLeast)
		}
		return nil
	})
}

// status is /api/v1/status.
func (s *specman) status() status {
	s.t.Helper()
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	a, err := fetch(client, s.running.ops+"/api/v1/status", nil)
	require.NoError(s.t, err)
	require.Equal(s.t, http.StatusOK, a.status)
	var st status
	require.NoError(s.t, json.Unmarshal(a.body, &st))
	return st
}

// status is what the tests read of the documented JSON.
type status struct {
	Notices []struct{ What, Cure string }
	Running bool
	Ready   bool
	Served  *struct {
		View       string
		Since      time.Time
		Incomplete bool
		Releases   []servedRelease
	}
	Sources []struct {
		LastResult          string
		ConsecutiveFailures int
		Failures            []struct{ Stage, Tag, Reason, Cure string }
		Followed            []struct{ Tag, State, Rank string }
		Current             bool
	}
}

type servedRelease struct {
	Tag, Digest, Reason      string
	Served, Covered, Differs int
}

// order is the served view's tags, top first.
func (st status) order() []string {
	if st.Served == nil {
		return nil
	}
	var tags []string
	for _, r := range st.Served.Releases {
		tags = append(tags, r.Tag)
	}
	return tags
}

// says tells whether a notice holds all these words.
func (st status) says(words ...string) bool {
	for _, n := range st.Notices {
		all := true
		for _, w := range words {
			all = all && strings.Contains(n.What+" "+n.Cure, w)
		}
		if all {
			return true
		}
	}
	return false
}
