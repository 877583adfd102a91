package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/specman/specman/internal/testenv/tools"
)

// registry is a real zot on loopback, over plain HTTP, and the real oras.
type registry struct {
	*process
	address string
	oras    string
}

const repository = "bench/manifests"

func (b *bench) startRegistry() (*registry, error) {
	b.say("syncing: building zot and oras where they are missing")
	zot, err := tools.Build(b.ctx, "zot")
	if err != nil {
		return nil, err
	}
	r := &registry{}
	if r.oras, err = tools.Build(b.ctx, "oras"); err != nil {
		return nil, err
	}
	if r.address, err = freeAddress(); err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(r.address)
	if err != nil {
		return nil, err
	}
	type object map[string]any
	config, err := json.Marshal(object{
		"storage": object{"rootDirectory": b.path("zot"), "gc": false, "dedupe": false},
		"http":    object{"address": host, "port": port},
		"log":     object{"level": "error"},
	})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(b.path("zot.json"), config, 0o644); err != nil {
		return nil, err
	}
	if r.process, err = b.start("zot", zot, "serve", b.path("zot.json")); err != nil {
		return nil, err
	}
	err = b.waitFor(r.process, "zot answers", func() bool {
		resp, err := http.Get("http://" + r.address + "/v2/")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	if err != nil {
		r.stop()
		return nil, err
	}
	return r, nil
}

func (r *registry) repository() string { return r.address + "/" + repository }

func (r *registry) ref(tag string) string { return r.repository() + ":" + tag }

// push pushes an archive under a tag, with oras, as people do.
func (b *bench) pushArchive(r *registry, archive, tag string) error {
	cmd := exec.CommandContext(b.ctx, r.oras, "push", "--plain-http", r.ref(tag), filepath.Base(archive))
	cmd.Dir = filepath.Dir(archive)
	cmd.Env = b.environment()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("oras push: %w\n%s", err, out)
	}
	return nil
}
