package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
)

// site is what all servers serve: 5,000 YAML and JSON files, an index that
// names some of them, and a large file.
type site struct {
	dir     string            // with a .gz and a .zst beside each text, for nginx and Caddy
	content map[string][]byte // by URL path; the large file is not in it
	paths   []string          // of content, in the order in which they are asked for
}

const (
	siteFiles = 5000
	siteBytes = siteFiles * 9 << 10
	indexPath = "/index.yaml"
	indexed   = 200 // files that the index names
	largePath = "/large/image.bin"
	largeSize = 100 << 20
)

// newSite makes the site, and pushes it to an OCI layout for Specman before the
// compressed siblings are beside it.
func (b *bench) newSite() (*site, error) {
	s := &site{dir: b.path("www"), content: make(map[string][]byte)}
	files, _, err := treeSpec{seed: 4, files: siteFiles, bytes: siteBytes}.write(s.dir)
	if err != nil {
		return nil, err
	}
	// Neighbours in the tree are not neighbours in time.
	order := rand.New(rand.NewPCG(4, 3))
	order.Shuffle(len(files), func(n, m int) { files[n], files[m] = files[m], files[n] })
	var index bytes.Buffer
	for n, file := range files {
		path := "/" + file
		s.paths = append(s.paths, path)
		if s.content[path], err = os.ReadFile(filepath.Join(s.dir, file)); err != nil {
			return nil, err
		}
		if n < indexed {
			fmt.Fprintf(&index, "- name: pack-%d\n  filepath: %q\n", n, path)
		}
	}
	s.content[indexPath] = index.Bytes()
	if err := os.WriteFile(s.dir+indexPath, index.Bytes(), 0o644); err != nil {
		return nil, err
	}
	if err := writeNoise(s.dir + largePath); err != nil {
		return nil, err
	}
	if err := b.push(s.dir, "oci-layout:"+b.path("layout")+":1.0.0"); err != nil {
		return nil, err
	}
	return s, s.compress()
}

// push packs and pushes with the program itself.
func (b *bench) push(dir, ref string) error {
	cmd := exec.CommandContext(b.ctx, b.specman, "push", dir, ref)
	cmd.Env = b.environment()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("specman push: %w\n%s", err, out)
	}
	return nil
}

// writeNoise makes the large file: bytes that nobody compresses.
func writeNoise(path string) error {
	noise := make([]byte, largeSize)
	_, _ = rand.NewChaCha8([32]byte{4}).Read(noise) // never fails, its documentation says
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, noise, 0o644)
}

// compress puts beside each text what gzip_static and precompressed look for, at
// the levels that Specman uses.
func (s *site) compress() error {
	var buffer bytes.Buffer
	z, err := gzip.NewWriterLevel(&buffer, 6)
	if err != nil {
		return err
	}
	zs, err := zstd.NewWriter(nil)
	if err != nil {
		return err
	}
	defer zs.Close()
	for path, text := range s.content {
		buffer.Reset()
		z.Reset(&buffer)
		if _, err := z.Write(text); err != nil {
			return err
		}
		if err := z.Close(); err != nil {
			return err
		}
		if err := os.WriteFile(s.dir+path+".gz", buffer.Bytes(), 0o644); err != nil {
			return err
		}
		if err := os.WriteFile(s.dir+path+".zst", zs.EncodeAll(text, nil), 0o644); err != nil {
			return err
		}
	}
	return nil
}
