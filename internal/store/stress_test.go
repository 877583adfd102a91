package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Readers read what they hold, whole and right, whatever swaps, removals, repairs,
// checks, damage and changes of configuration go on meanwhile; and when all have
// let go, nothing is left open.
func TestReadersUnderEverythingAtOnce(t *testing.T) {
	duration := 4 * time.Second
	if os.Getenv("SPECMAN_TORTURE") != "" {
		duration = 2 * time.Minute
	}
	dir := t.TempDir()
	before := openDescriptors(t)
	s := openStore(t, dir, func(o *Options) { o.Keep = 1 })
	const versions = 4
	var trees []content
	for n := range versions {
		files := content{"same": "the same in all", "frail": fmt.Sprintf("frail %d", n)}
		for m := range 20 {
			files[fmt.Sprintf("d/%02d", m)] = fmt.Sprintf("%d of version %d", m, n)
		}
		trees = append(trees, files)
	}
	follow(t, s, hold(t, s, "0.0.0", trees[0]))

	quit := make(chan struct{})
	var running sync.WaitGroup
	var reads, misses, repairs atomic.Int64
	loop := func(f func(r *rand.Rand) bool) {
		seed := rand.Uint64()
		running.Go(func() {
			for r := rand.New(rand.NewPCG(seed, 1)); ; {
				select {
				case <-quit:
					return
				default:
				}
				if !f(r) {
					return
				}
			}
		})
	}
	for range 3 {
		loop(func(*rand.Rand) bool {
			v := s.Acquire()
			defer v.Close()
			reads.Add(1)
			return assert.NoError(t, readWhole(s, v))
		})
	}
	loop(func(r *rand.Rand) bool { // by name, held or not
		h := s.History()
		v, err := s.AcquireVersion(h[r.IntN(len(h))].ID)
		if err != nil {
			misses.Add(1)
			return assert.ErrorIs(t, err, ErrNotHeld)
		}
		defer v.Close()
		return assert.NoError(t, readWhole(s, v))
	})
	loop(func(r *rand.Rand) bool { // by layer
		v, err := s.AcquireTree(layerFor(trees[r.IntN(versions)]))
		if err != nil {
			misses.Add(1)
			return assert.ErrorIs(t, err, ErrNotHeld)
		}
		defer v.Close()
		return assert.NoError(t, readWhole(s, v))
	})
	loop(func(*rand.Rand) bool { _, err := s.GC(false); return assert.NoError(t, err) })
	loop(func(*rand.Rand) bool {
		_, err := s.Verify(context.Background(), VerifyOptions{})
		return assert.NoError(t, err)
	})
	loop(func(r *rand.Rand) bool {
		p := s.Snapshot()
		defer p.Close()
		if _, err := p.Space(); !assert.NoError(t, err) {
			return false
		}
		return assert.NoError(t, s.Configure(Options{Sources: []string{"default"}, Keep: r.IntN(3)}))
	})
	loop(func(r *rand.Rand) bool { // a disk that takes away a file now and then
		time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond)
		v := s.Acquire()
		defer v.Close()
		err := os.Remove(filepath.Join(dir, treesFolder, treeName(v.releases[0].Layer), "files", "frail"))
		if errors.Is(err, os.ErrNotExist) {
			return true
		}
		return assert.NoError(t, err)
	})

	// One sync after the other, as there is one poller.
	for end, n := time.Now().Add(duration), 1; time.Now().Before(end) && !t.Failed(); n++ {
		files := trees[n%versions]
		if !s.HasTree(layerFor(files)) {
			require.NoError(t, stage(t, s, layerFor(files), files).Publish())
			repairs.Add(1)
		}
		r := Release{Source: "default", Tag: "0.0.0", Manifest: manifestFor(files), Layer: layerFor(files), Fetched: time.Now()}
		err := s.Add(r)
		if errors.Is(err, ErrNotHeld) {
			continue // found damaged since
		}
		require.NoError(t, err)
		_, err = s.Follow("default", []Contribution{{Tag: "0.0.0", Manifest: r.Manifest}})
		if !errors.Is(err, ErrNotHeld) { // removed since, by a GC that keeps nothing
			require.NoError(t, err)
		}
	}
	close(quit)
	running.Wait()
	require.NoError(t, s.Close())
	assert.Equal(t, before, openDescriptors(t), "something is still open")
	left, err := os.ReadDir(filepath.Join(dir, stagingFolder))
	require.NoError(t, err)
	assert.Empty(t, left)
	t.Logf("%d views read, %d not held, %d trees unpacked", reads.Load(), misses.Load(), repairs.Load())
}

func manifestFor(files content) digest.Digest {
	return digest.FromString("0.0.0" + layerFor(files).String())
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(open)
}

// readWhole reads all of a view. A file that the disk took away is refused as
// damaged, and told to the store; nothing else may be missing or wrong.
func readWhole(s *Store, v *View) error {
	for name, e := range v.All() {
		if e.Kind != File {
			continue
		}
		if name == "d/00" {
			time.Sleep(8 * time.Millisecond) // a slow client: whatever comes meanwhile lets it end
		}
		f, err := v.Open(e)
		if errors.Is(err, ErrDamaged) && name == "frail" {
			s.ReportDamage(v, e)
			continue
		}
		if err != nil {
			return err
		}
		b, err := io.ReadAll(f)
		f.Close()
		if err != nil {
			return err
		}
		if sha256.Sum256(b) != e.Sum {
			return fmt.Errorf("%s of %s is %q", name, v.ID(), b)
		}
	}
	return nil
}
