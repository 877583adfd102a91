package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// check holds a server against the right answers, for every path and over both
// protocols: whole bodies, 304 to its own validators, gzip. A server that does
// less work than the others, by being wrong, is not measured. What is asked for
// is then in the server's caches, as far as it has any.
func (b *bench) check(s *server, site *site) error {
	s.validators = make(map[string]string)
	var mu sync.Mutex
	for _, http2 := range []bool{false, true} {
		c := client(http2)
		defer c.CloseIdleConnections()
		var group errgroup.Group
		group.SetLimit(goWorkers)
		for path, want := range site.content {
			group.Go(func() error {
				validator, err := b.checkPath(s, c, http2, path, want)
				if err != nil {
					return fmt.Errorf("%s, HTTP/2 %t: %s: %w", s.name, http2, path, err)
				}
				mu.Lock()
				defer mu.Unlock()
				s.validators[path] = validator
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
	}
	return b.checkLarge(s)
}

func (b *bench) checkPath(s *server, c *http.Client, http2 bool, path string, want []byte) (validator string, err error) {
	resp, body, err := b.get(c, s, path, "")
	switch {
	case err != nil:
		return "", err
	case resp.StatusCode != http.StatusOK || !bytes.Equal(body, want):
		return "", fmt.Errorf("status %d and %d bytes where 200 and %d are right", resp.StatusCode, len(body), len(want))
	case (resp.ProtoMajor == 2) != http2:
		return "", fmt.Errorf("answered in %s", resp.Proto)
	case resp.Header.Get("Etag") != "":
		validator = "If-None-Match: " + resp.Header.Get("Etag")
	case resp.Header.Get("Last-Modified") != "":
		validator = "If-Modified-Since: " + resp.Header.Get("Last-Modified")
	default:
		return "", fmt.Errorf("neither ETag nor Last-Modified: nobody can ask whether it changed")
	}
	resp, body, err = b.get(c, s, path, validator)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusNotModified || len(body) != 0 {
		return "", fmt.Errorf("status %d and %d bytes to %q, where 304 is right", resp.StatusCode, len(body), validator)
	}
	if !s.coded {
		return validator, nil
	}
	resp, body, err = b.get(c, s, path, "Accept-Encoding: gzip")
	if err != nil {
		return "", err
	}
	if resp.Header.Get("Content-Encoding") != "gzip" || len(body) >= len(want) {
		return "", fmt.Errorf("no smaller with Accept-Encoding: gzip")
	}
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	if plain, err := io.ReadAll(z); err != nil || !bytes.Equal(plain, want) {
		return "", fmt.Errorf("what was gzipped is other content (error: %w)", err)
	}
	return validator, nil
}

func (b *bench) checkLarge(s *server) error {
	resp, body, err := b.get(client(false), s, largePath, "")
	if err == nil && (resp.StatusCode != http.StatusOK || len(body) != largeSize) {
		err = fmt.Errorf("status %d and %d bytes", resp.StatusCode, len(body))
	}
	if err != nil {
		return fmt.Errorf("%s: %s: %w", s.name, largePath, err)
	}
	return nil
}

// get sends a request with one header line more, if any.
func (b *bench) get(c *http.Client, s *server, path, header string) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(b.ctx, http.MethodGet, s.url(path), nil)
	if err != nil {
		return nil, nil, err
	}
	if name, value, ok := strings.Cut(header, ": "); ok {
		req.Header.Set(name, value)
	}
	return read(c.Do(req))
}

// awaitVariants waits until Specman, which makes them in the background, has
// made the compressed forms of all that is asked for.
func (b *bench) awaitVariants(s *server, paths []string) error {
	c := client(true)
	defer c.CloseIdleConnections()
	deadline := time.Now().Add(10 * time.Minute)
	for _, path := range paths {
		for {
			resp, _, err := b.get(c, s, path, "Accept-Encoding: gzip")
			if err == nil && resp.Header.Get("Content-Encoding") == "gzip" {
				break
			}
			if err := b.ctx.Err(); err != nil {
				return err
			}
			if err := s.process.ended(); err != nil {
				return err
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("%s is not there in gzip after ten minutes", path)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	return nil
}

// getAll asks for each path once, over HTTP/2.
func (b *bench) getAll(s *server, paths []string, header string) error {
	c := client(true)
	defer c.CloseIdleConnections()
	var group errgroup.Group
	group.SetLimit(goWorkers)
	for _, path := range paths {
		group.Go(func() error {
			resp, _, err := b.get(c, s, path, header)
			if err == nil && resp.StatusCode != http.StatusOK {
				err = fmt.Errorf("%s: %s", path, resp.Status)
			}
			return err
		})
	}
	return group.Wait()
}
