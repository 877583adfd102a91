package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"
)

// goWorkers is how many goroutines a Go client asks with.
const goWorkers = 8

// result is what a load generator did in one run.
type result struct {
	Requests float64 `json:"requests"` // or connections, runs, MiB: what the cell counts
	Seconds  float64 `json:"seconds"`
	Bytes    float64 `json:"bytes"` // on the wire, of a cold run
}

// goClient is a load made by Go's own HTTP client.
type goClient struct {
	base    string
	paths   []string
	until   time.Time
	workers int
}

// runGoClient is the load generator's own process. It prints a result.
func runGoClient(args []string) error {
	flags := flag.NewFlagSet("goclient", flag.ContinueOnError)
	mode := flags.String("mode", "get", "get, connect, resume, cold, cold-zstd or cold-identity")
	http2 := flags.Bool("http2", false, "")
	base := flags.String("base", "", "https://host:port")
	file := flags.String("paths", "", "file with a path a line")
	duration := flags.Duration("time", time.Second, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	paths, err := readLines(*file)
	if err != nil {
		return err
	}
	c := &goClient{base: *base, paths: paths, until: time.Now().Add(*duration), workers: goWorkers}
	start := time.Now()
	var r result
	switch *mode {
	case "get":
		r.Requests, err = c.get(client(*http2))
	case "connect":
		r.Requests, err = c.connect(nil)
	case "resume":
		r.Requests, err = c.connect(tls.NewLRUClientSessionCache(0))
	case "cold":
		r, err = c.cold("")
	case "cold-zstd":
		r, err = c.cold("zstd, gzip")
	case "cold-identity":
		r, err = c.cold("identity")
	default:
		err = fmt.Errorf("no mode %q", *mode)
	}
	if err != nil {
		return err
	}
	if r.Seconds == 0 {
		r.Seconds = time.Since(start).Seconds()
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

func readLines(path string) (lines []string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		lines = append(lines, s.Text())
	}
	return lines, nil
}

// each calls do from all workers, with one path after the other, until the time
// is over or one fails, and returns how many calls there were.
func (c *goClient) each(do func(path string) error) (float64, error) {
	var next atomic.Int64
	var group sync.WaitGroup
	failures := make(chan error, c.workers)
	for range c.workers {
		group.Go(func() {
			for time.Now().Before(c.until) {
				n := next.Add(1) - 1
				if err := do(c.paths[n%int64(len(c.paths))]); err != nil {
					failures <- err
					return
				}
			}
		})
	}
	group.Wait()
	close(failures)
	return float64(next.Load()), <-failures
}

func (c *goClient) get(h *http.Client) (float64, error) {
	return c.each(func(path string) error { return fetch(h, c.base+path, "") })
}

func fetch(h *http.Client, url, acceptEncoding string) error {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	if acceptEncoding != "" {
		req.Header.Set("Accept-Encoding", acceptEncoding)
	}
	resp, err := h.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, done, err := decoded(resp)
	if err != nil {
		return err
	}
	defer done()
	if _, err := io.Copy(io.Discard, body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}

// Decoders are used again, as clients that ask for many files do.
var zstdDecoders, gzipDecoders sync.Pool

// decoded returns an answer's content, whatever its coding: a client that asks
// for codings by itself has to decode by itself. done ends its use.
func decoded(resp *http.Response) (content io.Reader, done func(), err error) {
	switch resp.Header.Get("Content-Encoding") {
	case "zstd":
		z, _ := zstdDecoders.Get().(*zstd.Decoder)
		if z == nil {
			z, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
		}
		if err == nil {
			err = z.Reset(resp.Body)
		}
		return z, func() { zstdDecoders.Put(z) }, err
	case "gzip":
		z, _ := gzipDecoders.Get().(*gzip.Reader)
		if z == nil {
			z = new(gzip.Reader)
		}
		return z, func() { gzipDecoders.Put(z) }, z.Reset(resp.Body)
	default:
		return resp.Body, func() {}, nil
	}
}

// connect makes a connection for each request. With a cache of sessions all but
// the first are resumed; that they are is checked.
func (c *goClient) connect(sessions tls.ClientSessionCache) (float64, error) {
	address := c.base[len("https://"):]
	config := &tls.Config{
		InsecureSkipVerify: true, // of a server that the bench has just started
		NextProtos:         []string{"http/1.1"},
		ClientSessionCache: sessions,
		ServerName:         "127.0.0.1",
		// The key exchange that all contenders know: Go's own would be a
		// post-quantum hybrid where both sides have it.
		CurvePreferences: []tls.CurveID{tls.X25519},
	}
	if sessions != nil { // the first brings the ticket
		if _, err := oneRequest(address, config, c.paths[0]); err != nil {
			return 0, err
		}
	}
	return c.each(func(path string) error {
		resumed, err := oneRequest(address, config, path)
		if err == nil && sessions != nil && !resumed {
			err = errors.New("the server does not resume sessions")
		}
		return err
	})
}

func oneRequest(address string, config *tls.Config, path string) (resumed bool, err error) {
	raw, err := net.Dial("tcp", address)
	if err != nil {
		return false, err
	}
	conn := tls.Client(raw, config)
	defer conn.Close()
	req, err := http.NewRequest(http.MethodGet, "https://"+address+path, nil)
	if err != nil {
		return false, err
	}
	if err := req.Write(conn); err != nil {
		return false, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return false, fmt.Errorf("%s: %s", path, resp.Status)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return conn.ConnectionState().DidResume, err
}

var indexEntry = regexp.MustCompile(`(?m)^  filepath: "(.*)"$`)

// cold is the whole run of a client that comes for the first time, again and
// again: a new connection, the index, and with all workers the files that the
// index names. An empty acceptEncoding is what Go's client sends and decodes by
// itself: gzip.
func (c *goClient) cold(acceptEncoding string) (r result, err error) {
	for time.Now().Before(c.until) {
		start := time.Now()
		bytes, err := c.coldOnce(acceptEncoding)
		if err != nil {
			return r, err
		}
		r.Requests++
		r.Seconds += time.Since(start).Seconds()
		r.Bytes = float64(bytes)
	}
	return r, nil
}

func (c *goClient) coldOnce(acceptEncoding string) (wire int64, err error) {
	var counted atomic.Int64
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // of a server that the bench has just started
		ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			return countedConn{conn, &counted}, err
		},
	}
	h := &http.Client{Transport: transport}
	resp, err := h.Get(c.base + indexPath)
	if err != nil {
		return 0, err
	}
	index, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		return 0, err
	}
	names := indexEntry.FindAllSubmatch(index, -1)
	if len(names) != indexed {
		return 0, fmt.Errorf("the index names %d files, and not %d", len(names), indexed)
	}
	paths := make(chan string, len(names))
	for _, name := range names {
		paths <- string(name[1])
	}
	close(paths)
	var group sync.WaitGroup
	failures := make(chan error, c.workers)
	for range c.workers {
		group.Go(func() {
			for path := range paths {
				if err := fetch(h, c.base+path, acceptEncoding); err != nil {
					failures <- err
					return
				}
			}
		})
	}
	group.Wait()
	close(failures)
	transport.CloseIdleConnections()
	return counted.Load(), <-failures
}

// countedConn counts what goes over the wire, TLS included, in both directions.
type countedConn struct {
	net.Conn
	bytes *atomic.Int64
}

func (c countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.bytes.Add(int64(n))
	return n, err
}

func (c countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.bytes.Add(int64(n))
	return n, err
}
