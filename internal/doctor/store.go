package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/specman/specman/internal/human"
	"github.com/specman/specman/internal/store"
)

// Store is the store as the configuration has it.
type Store struct {
	Dir     string
	Sources []string // names, top of the view first
	MinFree int64    // bytes

	// Service asks whether a service runs on the store; its error wraps NotRunning
	// where none does.
	Service    func(ctx context.Context) error
	NotRunning error
}

// check looks at the folder, its room and its content. What it gives goes for a store
// that is yet to be made, too.
func (s Store) check(c *series) *holdings {
	h := nothing()
	if dir, err := filepath.Abs(s.Dir); err == nil {
		s.Dir = dir
	}
	var there string // the folder, or the nearest one above it that there is
	c.try("service", s.service)
	c.check("folder", func(context.Context) (f finding) {
		there, f = s.folder()
		return f
	})
	c.try("write", func(context.Context) finding { return s.write(there) })
	c.try("space", func(context.Context) finding { return s.space(there, &h) })
	c.try("content", func(context.Context) finding { return s.content(&h) })
	return &h
}

func (s Store) service(ctx context.Context) finding {
	err := s.Service(ctx)
	switch {
	case err == nil:
		return ok("it runs, and answers on its control socket")
	case errors.Is(err, s.NotRunning):
		return ok("none runs here: %v", err)
	case errors.Is(err, fs.ErrPermission):
		return warn(fmt.Sprintf("run this as the user of the service; it is uid %d now", os.Getuid()), "%v", err)
	}
	return warn("its log may say why", "%v", err)
}

// folder finds the store's folder, or the nearest one above it that there is.
func (s Store) folder() (there string, f finding) {
	const cure = "give store.dir the path of a folder on a volume"
	for there = s.Dir; ; there = filepath.Dir(there) {
		info, err := os.Stat(there)
		switch {
		case errors.Is(err, fs.ErrNotExist) && there != filepath.Dir(there):
			continue
		case err != nil:
			return "", fail(cure, "%v", err)
		case !info.IsDir():
			return "", fail(cure, "%s is no folder (store.dir)", there)
		case there != s.Dir:
			return there, ok("%s is not there yet; it is made in %s", s.Dir, there)
		}
		return there, ok("%s", there)
	}
}

// write tries what a sync does: to make a file durable, where unfinished things lie.
func (s Store) write(there string) finding {
	dir := filepath.Join(s.Dir, "staging")
	if _, err := os.Stat(dir); err != nil {
		dir = there
	}
	if err := tryWrite(dir); err != nil {
		return fail(writeCure(err), "%v", err)
	}
	return ok("uid %d may write %s", os.Getuid(), there)
}

func tryWrite(dir string) error {
	f, err := os.CreateTemp(dir, "doctor-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString("can this be written?\n")
	return errors.Join(err, f.Sync(), f.Close())
}

func writeCure(err error) string {
	switch {
	case errors.Is(err, unix.EROFS):
		return "it is mounted read-only: mount a volume at store.dir, or look at the kernel's log if it was one (a file system that met an error turns read-only)"
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("let uid %d write store.dir: in Kubernetes, securityContext.fsGroup; else chown it", os.Getuid())
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return "enlarge the volume, or lower store.keep and run `specman gc`"
	}
	return "give store.dir a volume that can be written"
}

func (s Store) space(there string, h *holdings) finding {
	var volume unix.Statfs_t
	if err := unix.Statfs(there, &volume); err != nil {
		return fail("look at the mount of store.dir", "ask for the free space of %s: %v", there, err)
	}
	free, size := int64(volume.Bavail)*volume.Bsize, int64(volume.Blocks)*volume.Bsize
	h.free = max(0, free-s.MinFree)
	switch {
	case free < s.MinFree:
		return fail("enlarge the volume, or lower store.keep and run `specman gc`",
			"%s of %s are free, and %s are to stay free (store.minFree)", human.Bytes(free), human.Bytes(size), human.Bytes(s.MinFree))
	case volume.Files > 0 && volume.Ffree < 1000:
		return fail("make the file system with more inodes, or run `specman gc`", "%d inodes are free: there is room for bytes, but not for files", volume.Ffree)
	}
	return ok("%s of %s are free", human.Bytes(free), human.Bytes(size))
}

func (s Store) content(h *holdings) finding {
	held, err := store.Read(s.Dir, s.Sources...)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ok("there is no store yet")
	case errors.Is(err, store.ErrNewer):
		return fail("run the newer version, or give this one an empty store.dir", "%v", err)
	case err != nil:
		return fail(fmt.Sprintf("let uid %d read store.dir", os.Getuid()), "%v", err)
	}
	defer held.Close()
	layers := make(map[digest.Digest]bool)
	for _, r := range held.Releases {
		layers[r.Layer] = true
	}
	h.hasTree = func(layer digest.Digest) bool { return layers[layer] }
	const repair = "`specman verify --repair`"
	switch {
	case held.Damage != nil:
		return warn("the next sync completes it; "+repair, "the state was damaged, what could be read of it is used: %v", held.Damage)
	case held.Expected != nil && (held.View == nil || held.View.ID() != held.Expected.ID):
		return fail(repair, "the view %s is damaged", held.Expected.ID)
	case held.View == nil:
		return warn("a sync, or `specman import`, brings something", "it holds nothing to serve")
	}
	files, _ := held.View.Files()
	return ok("view %s is held; releases: %d, files: %d", held.View.ID(), len(held.View.Releases()), files)
}
